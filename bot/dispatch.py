"""The one door to the graph. Surfaces, the command line and the Python door reach a run only through here.

``start`` and ``decide`` write first and queue then, so that nothing that was said is lost when this process dies;
a worker, or ``intern resume``, picks it up. With SQLite the queue is in this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot.access import Access
from bot.answers import read_answer
from bot.errors import AlreadyDecided, NotAChoice, NotAllowed, NotWaiting, StalePlan, UsageError
from graph.deps import Decision, Deps, Event, PublishFile, Run, Spend
from graph.driver import Driver, RunBusy, decision_for
from graph.names import EventType, RunStatus, Stage
from graph.predict import predict
from graph.publishing.withdraw import preview, unpublish
from graph.reproduce import Reproduction, reproduce
from graph.state import Question, Request
from graph.understanding.changes import read_change
from remote.backend import BackendError, Sweeper

POLL_S = 0.1  # how soon a follower hears of an event
MAX_SENTENCE_CHARS = 40_000
BEFORE_THE_PLAN = (
    Stage.INTAKE,
    Stage.RESEARCH,
    Stage.CHOOSE_DATASET,
    Stage.AUDIT,
    Stage.WRITE_SCRIPT,
    Stage.SMOKE_TEST,
    Stage.REPAIR,
    Stage.BASELINES,
)


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
        self._news = asyncio.Event()  # a run can move that could not before

    async def news(self, timeout_s: float) -> None:
        """Returns when a run was started, decided or cancelled in this process, or after ``timeout_s``."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), timeout_s)
        self._news.clear()

    async def close(self) -> None:
        await self._queue.close()

    async def start(self, request: Request, run_id: str | None = None) -> Run:
        """Create a run; with a ``run_id`` from ``new_id``, once. ``move`` works on it.

        Raises UsageError for what no run should be made of.
        """
        check_request(request)
        run = await self._store.create_run(
            run_id or self._new_id(), request, _title(request.sentence), self._deps.at()
        )
        self._news.set()
        return run

    def new_id(self) -> str:
        """An id for a run that will be started: drawn before, so that a repeated start finds its run."""
        return self._new_id()

    async def again(
        self,
        run_id: str,
        overrides: Mapping[str, Any],
        *,
        actor: str,
        name: str,
        surface: str,
        channel: str | None,
        new_id: str | None = None,
    ) -> Run:
        """A child run: the same task on the same data with other settings, asked for by ``actor``."""
        parent = await self._store.run(run_id)
        chosen = chosen_data(await self._store.events(run_id))
        data = chosen.get("data") or parent.request.data or ""
        if Path(data).is_absolute() and not await asyncio.to_thread(Path(data).exists):
            raise UsageError(
                f"The file that run {parent.id} used is no longer here: attach it to a new request, or name it there."
            )
        request = replace(
            parent.request,
            **chosen,
            requester=actor,
            requester_name=name,
            surface=surface,
            channel=channel,
            parent_run=parent.id,
            overrides={**parent.request.overrides, **parent.wishes, **overrides},
            out=None,
        )
        return await self.start(request, new_id)

    async def suggestion(self, run_id: str, suggestion_id: str) -> Mapping[str, Any]:
        """One of the run's suggestions: ``{"id", "title", "reason", "overrides"}``. Raises UsageError."""
        for event in reversed(await self._store.events(run_id)):
            if event.type is EventType.STRESSED:
                for found in event.payload.get("suggestions", []):
                    if found.get("id") == suggestion_id:
                        return dict(found)
        raise UsageError(f"Run {run_id} has no suggestion {suggestion_id[:40]!r}.")

    async def change(self, run_id: str, words: str) -> Mapping[str, Any]:
        """Settings that a suggestion's id, or a change in words, stands for. Raises UsageError."""
        try:
            found = await self.suggestion(run_id, words.strip())
        except UsageError:
            change = read_change(words)
            if isinstance(change, str):
                raise UsageError(change) from None
            return change
        if not found["overrides"]:
            raise UsageError(
                f"{found['title']}: {found['reason']} No setting of mine does that; new data would."
            )
        return dict(found["overrides"])

    async def wish(
        self, run_id: str, text: str, *, actor: str, name: str, surface: str, groups: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        """Settings for the plan, said before there is one. Raises NotAChoice, NotAllowed, UsageError."""
        run = await self._store.run(run_id)
        self._check_steering(run, actor, surface, groups)
        change = read_change(text)
        if isinstance(change, str):
            raise NotAChoice(change)
        if run.status.ended or run.stage not in BEFORE_THE_PLAN:
            raise NotWaiting(f"The plan of run {run.id} is made already.")
        await self._store.wish(run.id, change)
        said = ", ".join(f"{key} = {value}" for key, value in change.items())
        await self._store.append(
            run.id, EventType.NOTE, {"text": f"{name or actor}: {said}. I'll plan with it.", "level": "info"},
            at=self._deps.at(),
        )  # fmt: skip
        return change

    async def move(self, run_id: str) -> Run:
        """Work on the run here until it waits for a person or has ended. Raises RunBusy, StoreError."""
        return await asyncio.shield(self._queue.put(run_id))

    async def find(self, prefix: str) -> Run:
        return await self._store.find(prefix)

    async def runs(
        self, limit: int = 50, *, surface: str | None = None, requester: str | None = None
    ) -> list[Run]:
        return await self._store.runs(limit, surface=surface, requester=requester)

    async def feed(self, after: int) -> list[tuple[int, Event]]:
        return await self._store.feed(after)

    async def feed_end(self) -> int:
        return await self._store.feed_end()

    async def events(self, run_id: str, after: int = -1) -> list[Event]:
        return await self._store.events(run_id, after)

    async def runnable(self) -> list[str]:
        return await self._store.runnable(self._deps.now().timestamp())

    async def is_decided(self, run: Run) -> bool:
        """Whether the question that ``run`` had open has an answer now."""
        return run.question is not None and await self._store.decision(run.question.id) is not None

    async def decide(
        self,
        run_id: str,
        text: str,
        *,
        actor: str,
        surface: str,
        plan_hash: str | None = None,
        question_id: str | None = None,
        name: str = "",
        groups: Iterable[str] = (),
    ) -> Decision:
        """Record a person's answer to the open question. The first one wins; a stale plan is refused.

        A button gives ``question_id`` and ``plan_hash``, so that it answers the question that it belongs to and no
        other. Raises NotWaiting, NotAChoice, StalePlan, NotAllowed, AlreadyDecided.
        """
        run = await self._store.run(run_id)
        question = run.question
        if question_id is not None and (held := await self._store.decision(question_id)):
            raise AlreadyDecided(_already(held, await self._labels(run.id, question_id), question))
        if run.status is not RunStatus.WAITING or question is None:
            raise NotWaiting(f"Run {run.id} has no open question; it is {run.status}.")
        if question_id not in (None, question.id) and question.plan_hash is None:
            raise NotWaiting(f"That question is no longer open; run {run.id} now asks: {question.text}")
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
            decision_for(question, run, value, actor, self._deps.at(), surface=surface, name=name)
        )
        if not won:
            raise AlreadyDecided(_already(held, {c.value: c.label for c in question.choices}, None))
        self._news.set()
        return held

    async def _labels(self, run_id: str, question_id: str) -> dict[str, str]:
        """What the choices of a question that was asked are called, by value."""
        asked = (
            event.payload.get("question") or {}
            for event in await self._store.events(run_id)
            if event.type is EventType.QUESTION_ASKED
        )
        choices = next((q.get("choices") or () for q in asked if q.get("id") == question_id), ())
        return {choice["value"]: choice["label"] for choice in choices}

    async def cancel(
        self, run_id: str, *, actor: str, surface: str = "console", name: str = "", groups: Iterable[str] = ()
    ) -> Run:
        """Ask the run to stop; whoever works on it stops its jobs. Raises NotAllowed, and UsageError for one that
        has ended.
        """
        run = await self._store.run(run_id)
        if run.status.ended:
            raise UsageError(f"Run {run.id} has already ended: {run.status}.")
        self._check_steering(run, actor, surface, groups)
        await self._store.request_cancel(run.id, name or actor)
        try:
            return await self.move(run.id)
        except RunBusy:
            return await self._store.run(run.id)  # its worker looks twice a second

    def may_answer(self, run: Run, actor: str, surface: str, groups: Iterable[str] = ()) -> bool:
        """Whether the run waits for an answer that this person may give, and would matter: not only to cancel it."""
        question = run.question
        if question is None:
            return False
        value = next((c.value for c in question.choices if c.style == "primary"), question.choices[0].value)
        return not self._access.refusal(question, run.request, actor, surface, value, groups)

    async def sweep(self) -> list[str]:
        """Stop rented jobs that no unfinished run owns; a line for each that was stopped, and for each backend that
        could not be asked."""
        live = [
            effect.key
            for run in await self._store.runs(100_000)
            if not run.status.ended
            for effect in await self._store.effects(run.id)
        ]
        said = []
        for backend in self._deps.backends:
            if isinstance(backend, Sweeper):
                try:
                    said += [f"{backend.name}: stopped {ref.id}" for ref in await backend.sweep(live)]
                except BackendError as error:
                    said.append(f"{backend.name}: {error}")
        return said

    async def ledger(self) -> list[Spend]:
        """Every line of the ledger, the oldest first."""
        return await self._store.ledger()

    async def spent_usd(self, month: str, *, surface: str | None = None) -> float:
        """What was spent and committed in ``month`` (such as "2026-11")."""
        return await self._store.spent_usd(month, surface=surface)

    def steering_refusal(self, run: Run, actor: str, surface: str, groups: Iterable[str] = ()) -> str:
        """Why this person may neither stop nor change the run; empty when it is allowed."""
        return self._access.steering_refusal(run.request, actor, surface, groups)

    def _check_steering(self, run: Run, actor: str, surface: str, groups: Iterable[str]) -> None:
        if refusal := self.steering_refusal(run, actor, surface, groups):
            raise NotAllowed(refusal)

    async def predict(
        self, run_id: str, texts: Sequence[str], *, allow_unisolated: bool = False
    ) -> list[Mapping[str, Any]]:
        """What the run's model says to each text (``docs/jobs.md``, predict). Raises StageFailed, BackendError."""
        return await predict(self._deps, run_id, texts, allow_unisolated=allow_unisolated)

    async def preview(self, run_id: str, place: str | None = None) -> tuple[str, tuple[PublishFile, ...]]:
        """Where the run would be published, and each file with its size. Raises PublishError, PublishRefused."""
        return await preview(self._deps, await self._driver.state(run_id), run_id, place)

    async def unpublish(self, run_id: str, *, actor: str, surface: str, keep: bool) -> tuple[str, ...]:
        """Take back what the run published and nothing else; a sentence for each thing. Raises NotAllowed, UsageError,
        PublishError."""
        run = await self._store.run(run_id)
        self._check_steering(run, actor, surface, ())
        if run.status is RunStatus.RUNNING:
            raise UsageError(f"Run {run.id} is at work: stop it first, with `intern cancel {run.id}`.")
        state = await self._driver.state(run_id)
        return await unpublish(self._deps, state, run_id, by=actor, keep=keep)

    async def reproduce(self, run_id: str, *, fresh: bool = False) -> Reproduction:
        """Train again from what the run recorded, and compare; ``fresh``: on data and weights fetched again. Raises
        StageFailed, BackendError."""
        return await reproduce(self._deps, await self._driver.state(run_id), run_id, fresh=fresh)

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


def _already(held: Decision, labels: Mapping[str, str], now: Question | None) -> str:
    """``now``: what the run asks by now, if anything."""
    said = labels.get(held.value, held.value)
    next_ = f" The question now is: {now.text}" if now and now.id != held.interrupt_id else ""
    return f"{held.who} already decided “{said[:80]}” at {held.at[11:16]} UTC on {held.at[:10]}.{next_}"


def chosen_data(events: Sequence[Event]) -> dict[str, Any]:
    """``data``, ``text_column`` and ``target`` as the run chose them, for a request that asks for the same; empty
    before it has chosen."""
    for event in reversed(events):
        if event.type is EventType.DATA_CHOSEN:
            payload = event.payload
            return {
                "data": payload.get("candidate", {}).get("id"),
                "text_column": payload.get("text_column"),
                "target": payload.get("target"),
            }
    return {}


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
