"""The pictures of docs/discord.md: what they show is what the bot posts, and the page shows each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simcord.backend.models import Message

from tests.bot.discord.gallery import PICTURES, moments
from tests.bot.discord.surface import World, shown
from tests.slack.server import ROOT

SEEN = {
    "discord-form": "What should the model do?",
    "discord-channel": "5 of 11 steps done",
    "discord-plan": "Train for $0.04",
    "discord-training": "67 %",
    "discord-results": "Train with typos",
}


async def test_each_moment_shows_what_it_is_named_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord.pacer.PERIOD_S", 0.0)  # see conftest.py
    monkeypatch.setattr("bot.chat.feed.EDIT_EVERY_S", 0.05)
    seen = {}
    async for world, moment in moments(tmp_path):
        seen[moment.name] = "\n".join(
            _text(world, target) for target in moment.targets or world.all_messages()
        )
    assert tuple(seen) == PICTURES
    for name, text in SEEN.items():
        assert text in seen[name]


def _text(world: World, target: Any) -> str:
    if isinstance(target, Message):
        return shown(target.content or "", target.components or ())
    return str(world.requests("POST", "/callback")[-1])


def test_the_documentation_shows_each_picture() -> None:
    text = (ROOT / "docs" / "discord.md").read_text()
    for name in PICTURES:
        assert f"pictures/{name}.png" in text
        assert (ROOT / "docs" / "pictures" / f"{name}.png").stat().st_size < 150_000
