"""The search over the tests' Hub: the right data set first, and each refusal with its reason."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from graph.research.hub import HubSource
from graph.state import Candidate, Request, TaskSpec
from graph.understanding import understand
from tests.hub.collection import TASKS, stock
from tests.hub.server import HubServer

NOW = datetime(2026, 11, 1, tzinfo=UTC)


class World:
    def __init__(self, server: HubServer, home: Path) -> None:
        self.server, self.home = server, home
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def source(self) -> HubSource:
        return HubSource(
            home=self.home,
            endpoint=self.server.url,
            viewer_url=f"{self.server.url}/viewer",
            sleep=self.sleep,
            now=lambda: NOW,
        )

    async def search(self, sentence: str) -> list[Candidate]:
        return await self.source().search(task_of(sentence))


def task_of(sentence: str) -> TaskSpec:
    task = understand(Request(sentence), {}).task
    assert task is not None
    return task


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with HubServer().running() as server:
        stock(server)
        yield World(server, tmp_path)


async def test_the_right_one_comes_first_for_eighteen_of_twenty(world: World) -> None:
    wrong = {}
    for sentence, right in TASKS:
        found = await world.search(sentence)
        if not found or not found[0].usable or found[0].id != right:
            wrong[sentence] = [(c.id, c.score, c.why_not) for c in found]
    assert len(TASKS) == 20
    assert len(wrong) <= 2, wrong
