"""What the run's log hears of a job: all that counts, in order, each once, and soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from graph import jobs
from graph.context import Context
from graph.deps import Deps, Event, Said
from graph.errors import LeaseLost
from graph.names import EventType, Stage
from graph.state import Request
from graph.store.sqlite import SqliteStore
from remote.backend import BackendError, JobRef
from remote.backends.fake import FakeBackend
from remote.protocol import FailureKind, JobEvent, JobEventType

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REF = JobRef("fake", "job-1")


class Told(FakeBackend):
    """One job, of which a test says what it says and when."""

    def __init__(self) -> None:
        super().__init__({})
        self.queue: asyncio.Queue[JobEvent | BackendError | None] = asyncio.Queue()
        self.seq = 0

    def say(self, type_: JobEventType, after_s: float = 0.0, stage: str = "train", **fields: Any) -> None:
        at = (NOW + timedelta(seconds=after_s)).isoformat(timespec="milliseconds")
        self.queue.put_nowait(JobEvent(self.seq, at, type_, stage, fields))
        self.seq += 1

    async def events(self, ref: JobRef, after: int = -1) -> AsyncIterator[JobEvent]:
        while (said := await self.queue.get()) is not None:
            if isinstance(said, BackendError):
                raise said
            yield said


class Counted(SqliteStore):
    """Knows how many events it was given at a time."""

    sizes: list[int]

    async def append_all(self, run_id: str, said: Sequence[Said], *, fence: int | None = None) -> None:
        self.sizes.append(len(said))
        await super().append_all(run_id, said, fence=fence)


@dataclass
class World:
    store: Counted
    job: Told = field(default_factory=Told)
    fence: int = 1

    def context(self) -> Context:
        deps = Deps(self.store, [self.job], [], {}, None, Path(), lambda: NOW, fence=self.fence)  # type: ignore[arg-type]
        return Context(deps, "r1", Stage.WATCH, 0)

    async def listen(self) -> jobs.Outcome:
        return await jobs.listen(self.context(), REF, "train", to_end=True)

    async def log(self) -> list[Event]:
        return await self.store.events("r1")

    async def until(self, count: int) -> list[Event]:
        """The log as soon as it has so many events."""
        async with asyncio.timeout(60):
            while len(found := await self.log()) < count:
                await asyncio.sleep(0)
        return found


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = await Counted.open(tmp_path / "intern.db")
    assert isinstance(store, Counted)
    store.sizes = []
    await store.create_run("r1", Request("Sort tickets"), "Sort tickets", NOW.isoformat())
    await store.lease("r1", "me", 0.0, 1e9)
    yield World(store)
    await store.close()


async def test_an_event_is_in_the_log_while_the_job_goes_on_in_silence(world: World) -> None:
    listening = asyncio.create_task(world.listen())
    for count in (1, 2, 3):
        world.job.say(JobEventType.EPOCH, epoch=count, metrics={"loss": 0.5})
        assert (await world.until(count))[-1].payload == {"epoch": count, "metrics": {"loss": 0.5}}
    listening.cancel()
    await asyncio.wait({listening})
    assert listening.cancelled()


async def test_a_flood_is_told_in_order_each_once_and_in_few_transactions(world: World) -> None:
    for _ in range(2):  # the second time as after a crash
        world.job.seq = 0
        for n in range(3000):
            world.job.say(JobEventType.WARNING, kind="note", detail=str(n))
        world.job.say(JobEventType.RESULT, data={"n": 1})
        world.job.queue.put_nowait(None)
        assert (await world.listen()).result == {"n": 1}
    assert [event.payload["detail"] for event in await world.log()] == [str(n) for n in range(3000)]
    assert len(world.store.sizes) < 40
    assert sum(world.store.sizes) == 6000


async def test_progress_is_thinned_by_the_jobs_own_time_and_its_end_is_kept(world: World) -> None:
    for step in range(1, 101):
        world.job.say(JobEventType.PROGRESS, step / 20, step=step, total=100)
    world.job.say(JobEventType.RESULT, 5.0, data={})
    world.job.queue.put_nowait(None)
    assert (await world.listen()).seconds == pytest.approx(4.95)
    assert [event.payload["step"] for event in await world.log()] == [1, 21, 41, 61, 81, 100]


async def test_what_was_heard_is_kept_when_the_job_is_lost_from_sight(world: World) -> None:
    world.job.say(JobEventType.EPOCH, epoch=1)
    world.job.say(JobEventType.FAILED, kind="nan_loss", detail="The loss is no number.")
    world.job.queue.put_nowait(BackendError(FailureKind.UNREACHABLE, "It is out of sight."))
    with pytest.raises(BackendError, match="out of sight"):
        await world.listen()
    assert [event.type for event in await world.log()] == [EventType.JOB_EPOCH, EventType.JOB_FAILED]


async def test_who_lost_the_run_tells_nothing_more_of_it(world: World) -> None:
    world.fence = 0
    for n in range(5):
        world.job.say(JobEventType.WARNING, kind="note", detail=str(n))
    world.job.queue.put_nowait(None)
    with pytest.raises(LeaseLost):
        await world.listen()
    assert await world.log() == []
