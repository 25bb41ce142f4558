"""The surfaces of ``test_surface.py``, each from its own folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.console_surface import ConsoleSurface
from tests.bot.discord.conftest import server
from tests.bot.discord.surface import DiscordSurface
from tests.bot.slack.conftest import local_slack, office, slack
from tests.bot.slack.surface import SlackSurface
from tests.contract.surface import Jobs

__all__ = ["local_slack", "office", "server", "slack"]


@pytest.fixture
def console_surface(tmp_path: Path) -> ConsoleSurface:
    return ConsoleSurface(Jobs(tmp_path / "home"))


@pytest.fixture
def slack_surface(office: SlackSurface) -> SlackSurface:
    return office


@pytest.fixture
def discord_surface(server: DiscordSurface) -> DiscordSurface:
    return server
