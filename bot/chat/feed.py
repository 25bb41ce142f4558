"""Keeps a chat surface in step with the runs that it shows: one reader of the whole log, one projector a run.

- One query every ``POLL_S`` serves any number of runs; each event goes to the tail of its run.
- A tail is a :class:`bot.projector.Projector` in a task of its own. It begins with the run's backlog, so a restart,
  a run resumed after weeks and a new run are one case. It ends when the run has been silent for ``IDLE_S``.
- A surface that cannot be reached (:class:`SurfaceDown`) makes the tail wait and begin anew: the run goes on
  meanwhile, and the thread catches up. A conversation that is gone (:class:`PlaceGone`) ends the tail; the surface
  says so elsewhere.
- One process at a time shows a surface's runs (``ChatMemory.lead``); another one stands by and takes over.

This is a surface's outermost edge: what a card's rendering did not foresee is logged, and the next event tries again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from bot.chat.memory import CardMemory, ChatMemory
from bot.errors import BotError
from bot.projector import Projector, Renderer
from graph.deps import Event, Run
from graph.errors import StoreError

log = logging.getLogger(__name__)

POLL_S = 0.25
IDLE_S = 120.0
EDIT_EVERY_S = 2.5  # of one message; Slack and Discord allow about one edit a second
BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
LEAD_S = 5.0  # how often the lead is renewed, or asked for


class SurfaceDown(BotError):
    """The surface cannot be reached now; try again in ``retry_s`` seconds where it said so."""

    def __init__(self, text: str, retry_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_s = retry_s


class PlaceGone(BotError):
    """The conversation was archived or deleted, or the intern was removed from it."""


class Reader(Protocol):
    """What the feed needs of :class:`bot.dispatch.Dispatch`."""

    async def feed(self, after: int) -> list[tuple[int, Event]]: ...
    async def feed_end(self) -> int: ...
    async def events(self, run_id: str, after: int = -1) -> list[Event]: ...
    async def find(self, prefix: str) -> Run: ...


class Showing(Protocol):
    """What a surface shows runs with."""

    async def renderer(self, run: Run) -> Renderer:
        """Where and how the run is shown. Raises SurfaceDown, PlaceGone."""

    async def gone(self, run: Run, why: str) -> None:
        """The run's conversation is gone: tell somebody elsewhere. Never raises."""


class Feed:
    """``clock`` gives POSIX seconds; ``pause`` waits that many seconds."""

    def __init__(
        self,
        surface: str,
        reader: Reader,
        memory: ChatMemory,
        showing: Showing,
        *,
        clock: Callable[[], float],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        edit_every_s: float | None = None,
    ) -> None:
        self._surface = surface
        self._reader = reader
        self._memory = memory
        self._showing = showing
        self._clock = clock
        self._pause = pause
        self._edit_every_s = EDIT_EVERY_S if edit_every_s is None else edit_every_s
        self._tails: dict[str, _Tail] = {}
        self._ours: dict[str, bool] = {}

    async def run(self) -> None:
        """Show runs until cancelled."""
        try:
            while True:
                try:
                    await self._lead()
                except StoreError as error:
                    log.warning("%s: the store cannot be read: %s", self._surface, error)
                    await self._pause(LEAD_S)
        finally:
            await self.close()

    async def close(self) -> None:
        tails = [tail.task for tail in self._tails.values() if tail.task]
        for task in tails:
            task.cancel()
        await asyncio.gather(*tails, return_exceptions=True)
        await self._memory.stop_leading()

    async def _lead(self) -> None:
        while not await self._memory.lead(self._clock()):
            await self._pause(LEAD_S)
        position = (
            await self._reader.feed_end()
        )  # before the backlog: what comes in between is only seen twice
        for run_id in await self._memory.untold():
            self._wake(run_id)
        renew_at = self._clock() + LEAD_S
        while True:
            if self._clock() >= renew_at:
                renew_at = self._clock() + LEAD_S
                if not await self._memory.lead(self._clock()):
                    log.warning("%s: another process shows the runs now", self._surface)
                    return
            news = await self._reader.feed(position)
            for position, event in news:  # noqa: B007 - kept for the next query
                if await self._shows(event.run_id):
                    self._wake(event.run_id).put(event)
            if not news:
                await self._pause(POLL_S)

    async def _shows(self, run_id: str) -> bool:
        """Whether this surface shows the run; remembered once it does."""
        if not self._ours.get(run_id):
            run = await self._reader.find(run_id)
            ours = run.request.surface == self._surface or await self._memory.place_of(run_id) is not None
            if ours:
                self._ours[run_id] = True
            return ours
        return True

    def _wake(self, run_id: str) -> _Tail:
        tail = self._tails.get(run_id)
        if tail is None or tail.ended:
            tail = self._tails[run_id] = _Tail()
            tail.task = asyncio.create_task(self._follow(run_id, tail), name=f"{self._surface} {run_id}")
            tail.task.add_done_callback(lambda _: self._forget(run_id, tail))
        return tail

    def _forget(self, run_id: str, tail: _Tail) -> None:
        if self._tails.get(run_id) is tail:
            del self._tails[run_id]

    async def _follow(self, run_id: str, tail: _Tail) -> None:
        failures = 0
        while True:
            try:
                run = await self._reader.find(run_id)
                projector = Projector(
                    run_id,
                    _TailReader(self._reader, tail),
                    await self._showing.renderer(run),
                    CardMemory(self._memory),
                    clock=self._clock,
                    min_interval_s=self._edit_every_s,
                    pause=self._pause,
                )
                await projector.run()
                await self._memory.tell(run_id, projector.last_seq)
            except PlaceGone as error:
                log.warning("%s: %s: %s", self._surface, run_id, error)
                await self._showing.gone(await self._reader.find(run_id), str(error))
                await self._memory.tell(run_id, (await self._reader.events(run_id))[-1].seq)
            except SurfaceDown as error:
                wait_s = error.retry_s or BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)]
                log.warning("%s: %s: %s; again in %.0f s", self._surface, run_id, error, wait_s)
                failures += 1
                tail.awake()
                await self._pause(wait_s)
                continue
            except Exception:  # the surface's outermost edge
                log.exception("%s: %s could not be shown", self._surface, run_id)
                failures += 1
                if failures < len(BACK_OFF_S):
                    tail.awake()
                    await self._pause(BACK_OFF_S[failures])
                    continue
            if tail.ended or not tail.waiting:
                tail.ended = True
                return


class _Tail:
    """Events on their way to one run's projector."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.ended = False
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def put(self, event: Event) -> None:
        self._events.put_nowait(event)

    @property
    def waiting(self) -> bool:
        return not self._events.empty()

    def awake(self) -> None:
        """The projector begins anew, from the log: what is queued is in there too."""
        while not self._events.empty():
            self._events.get_nowait()

    async def next(self, timeout_s: float) -> Event | None:
        """``None`` when nothing came for so long: the tail has ended then, and nothing can be put any more."""
        try:
            return await asyncio.wait_for(self._events.get(), timeout_s)
        except TimeoutError:
            self.ended = self._events.empty()
            return None if self.ended else self._events.get_nowait()


class _TailReader:
    def __init__(self, reader: Reader, tail: _Tail) -> None:
        self._reader = reader
        self._tail = tail

    async def events(self, run_id: str, after: int = -1) -> list[Event]:
        return await self._reader.events(run_id, after)

    async def follow(self, run_id: str, after: int = -1) -> AsyncIterator[Event]:
        while (event := await self._tail.next(IDLE_S)) is not None:
            yield event
