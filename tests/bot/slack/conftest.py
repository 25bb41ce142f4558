from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.slack.surface import SlackSurface
from tests.contract.surface import Jobs
from tests.slack.conftest import local_slack, slack
from tests.slack.world import World

__all__ = ["local_slack", "slack"]


@pytest.fixture
def office(slack: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SlackSurface:
    """A team's Slack with the intern in it. Slack's own pace is tested in test_pacer.py, and not waited for here."""
    monkeypatch.setattr("bot.slack.pacer.POST_EVERY_S", 0.0)
    monkeypatch.setattr("bot.slack.pacer.EDITS_PER_MINUTE", 60_000)
    monkeypatch.setattr("bot.chat.feed.EDIT_EVERY_S", 0.05)
    return SlackSurface(slack, Jobs(tmp_path / "home"))
