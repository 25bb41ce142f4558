"""Fixtures: ``slack``, an empty local Slack for each test (one process for the session) with the proxy in front.

Elsewhere: ``from tests.slack.conftest import local_slack, slack`` in that folder's conftest. The proxy lives in the
test's event loop, so a bot in a process of its own needs a test that does not block the loop while it waits.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.slack.server import LocalSlack, why_not
from tests.slack.world import World


@pytest.fixture(scope="session")
def local_slack() -> Iterator[LocalSlack]:
    """The process. Where it cannot run the test is skipped, but in CI that is a failure."""
    if reason := why_not():
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with LocalSlack() as started:
        yield started


@pytest.fixture
async def slack(local_slack: LocalSlack) -> AsyncIterator[World]:
    async with World(local_slack) as world:
        yield world
