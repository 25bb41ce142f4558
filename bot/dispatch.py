"""The one door to the graph. Surfaces, the command line and the Python door reach a run only through here.

``start`` and ``decide`` write first and queue then, so that nothing that was said is lost when this process dies;
a worker, or ``intern resume``, picks it up. With SQLite the queue is in this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bot.access import Access
from bot.answers import read_answer
from bot.errors import AlreadyDecided, NotAChoice, NotAllowed, NotWaiting, StalePlan, UsageError
from graph.deps import Decision, Deps, Event, Run
from graph.driver import Driver, RunBusy, decision_for
from graph.names import RunStatus
from graph.predict import predict
from graph.reproduce import Reproduction, reproduce
from graph.state import Request

POLL_S = 0.1  # how soon a follower hears of an event
MAX_SENTENCE_CHARS = 40_000


class Queue:
    """Runs to move, in this process; one task a run at a time. (With Postgres, procrastinate takes its place.)"""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._tasks: dict[str, asyncio.Task[Run]] = {}

    def put(self, run_id: str) -> asyncio.Task[Run]:
        task = self._tasks.get(run_id)
        if task is None or task.done():
            task = self._tasks[run_id] = asyncio.create_task(
                self._driver.advance(run_id), name=f"run {run_id}"
            )
        return task

    async def close(self) -> None:
        """Stop moving runs; each goes on from its last checkpoint another time."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


class Dispatch:
    def __init__(self, deps: Deps, driver: Driver, access: Access, new_id: Callable[[], str]) -> None:
        self._deps = deps
        self._driver = driver
        self._store = deps.store
        self._queue = Queue(driver)
        self._access = access
        self._new_id = new_id

    async def close(self) -> None:
        await self._queue.close()

    async def start(self, request: Request) -> Run:
        """Create a run. ``move`` works on it. Raises UsageError for what no run should be made of."""
        check_request(request)
        return await self._store.create_run(
            self._new_id(), request, _title(request.sentence), self._deps.at()
        )

    async def move(self, run_id: str) -> Run:
        """Work on the run here until it waits for a person or has ended. Raises RunBusy, StoreError."""
        return await asyncio.shield(self._queue.put(run_id))

    async def find(self, prefix: str) -> Run:
        return await self._store.find(prefix)

    async def runs(self, limit: int = 50) -> list[Run]:
        return await self._store.runs(limit)

    async def events(self, run_id: str, after: int = -1) -> list[Event]:
        return await self._store.events(run_id, after)

    async def runnable(self) -> list[str]:
        return await self._store.runnable(self._deps.now().timestamp())

    async def decide(
        self,
        run_id: str,
        text: str,
        *,
        actor: str,
        surface: str,
        plan_hash: str | None = None,
        groups: Iterable[str] = (),
    ) -> Decision:
        """Record a person's answer to the open question. The first one wins; a stale plan is refused.

        Raises NotWaiting, NotAChoice, StalePlan, NotAllowed, AlreadyDecided.
        """
        run = await self._store.run(run_id)
        question = run.question
        if run.status is not RunStatus.WAITING or question is None:
            raise NotWaiting(f"Run {run.id} has no open question; it is {run.status}.")
        value = read_answer(question, text)
        if value is None:
            names = ", ".join(c.value for c in question.choices)
            raise NotAChoice(f"{text.strip()[:80]!r} is not one of the choices: {names}.")
        if plan_hash is not None and question.plan_hash is not None and plan_hash != question.plan_hash:
            price = "unknown" if question.price_usd is None else f"${question.price_usd:.2f}"
            raise StalePlan(f"The plan has changed since; its price is now {price}. Please look again.")
        refusal = self._access.refusal(question, run.request, actor, surface, value, groups)
        if refusal:
            raise NotAllowed(refusal)
        held, won = await self._store.decide(
            decision_for(question, run, value, actor, self._deps.at(), surface=surface)
        )
        if not won:
            raise AlreadyDecided(f"{held.actor} already decided {held.value!r} at {held.at}.")
        return held

    async def cancel(self, run_id: str, *, actor: str) -> Run:
        """Ask the run to stop; whoever works on it stops its jobs. Raises UsageError for one that has ended."""
        run = await self._store.run(run_id)
        if run.status.ended:
            raise UsageError(f"Run {run.id} has already ended: {run.status}.")
        await self._store.request_cancel(run.id, actor)
        try:
            return await self.move(run.id)
        except RunBusy:
            return await self._store.run(run.id)  # its worker looks twice a second

    async def predict(
        self, run_id: str, texts: Sequence[str], *, allow_unisolated: bool = False
    ) -> list[Mapping[str, Any]]:
        """What the run's model says to each text (``docs/jobs.md``, predict). Raises StageFailed, BackendError."""
        return await predict(self._deps, run_id, texts, allow_unisolated=allow_unisolated)

    async def reproduce(self, run_id: str) -> Reproduction:
        """Train again from what the run recorded, and compare. Raises StageFailed, BackendError."""
        return await reproduce(self._deps, await self._driver.state(run_id), run_id)

    async def follow(self, run_id: str, after: int = -1) -> AsyncIterator[Event]:
        """Events as they come, until the run waits for a person or has ended and all were told."""
        while True:
            run = await self._store.run(run_id)  # before the events: what ended it is then among them
            for event in await self._store.events(run_id, after):
                after = event.seq
                yield event
            if run.status is not RunStatus.RUNNING:
                return
            await asyncio.sleep(POLL_S)


def check_request(request: Request) -> None:
    if len(request.sentence) > MAX_SENTENCE_CHARS:
        raise UsageError(f"The request has over {MAX_SENTENCE_CHARS} characters: say it in a few sentences.")
    if request.minutes is not None and not 0 < request.minutes <= 7 * 24 * 60:
        raise UsageError("--minutes must be above 0 and at most a week.")
    if request.budget_usd is not None and not 0 <= request.budget_usd < 1e6:
        raise UsageError("--budget must be 0 or more US dollars.")
    if request.out:
        out = Path(request.out)
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UsageError(f"--out {out} exists and is not an empty folder: name another one.")


def _title(sentence: str) -> str:
    line = " ".join(sentence.split())
    return line if len(line) <= 60 else line[:57] + "…"
