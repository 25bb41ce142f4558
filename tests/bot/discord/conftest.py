from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.discord.surface import DiscordSurface, World
from tests.contract.surface import Jobs


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiscordSurface:
    """A team's Discord with the intern in it. Discord's pace is tested in test_pacer.py, and not waited for here."""
    monkeypatch.setattr("bot.discord.pacer.PERIOD_S", 0.0)
    monkeypatch.setattr("bot.chat.feed.EDIT_EVERY_S", 0.05)
    return DiscordSurface(Jobs(tmp_path / "home"), World.make())
