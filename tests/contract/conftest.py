"""The surfaces of ``test_surface.py``, each from its own folder."""

from __future__ import annotations

import pytest

from tests.bot.slack.conftest import local_slack, office, slack
from tests.bot.slack.surface import SlackSurface

__all__ = ["local_slack", "office", "slack"]


@pytest.fixture
def slack_surface(office: SlackSurface) -> SlackSurface:
    return office
