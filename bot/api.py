"""The Python door, for scripts and notebooks::

    from bot import Intern

    run = Intern().run("Tell spam from ham. Data is in sms.csv.", yes=True)
    run.metrics["macro_f1"], run.files["report.md"], run.predict(["free money!!!"])

It is the same door as the command line's: every run can be followed, decided and resumed from either.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from bot.settings import Settings, load_settings
from bot.wiring import Parts, open_app
from graph.deps import Event, Run
from graph.ending import INTERNAL
from graph.names import EventType, RunStatus
from graph.state import Question, Request

T = TypeVar("T")
Answer = Callable[[Question], str | None]  # None leaves the run waiting


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run and its files. ``status`` may also be "waiting": then ``question`` is open and ``decide`` answers it."""

    intern: Intern
    id: str
    status: RunStatus
    folder: Path
    question: Question | None = None
    error: str = ""

    @property
    def files(self) -> Mapping[str, Path]:
        """Every file that the run left, by its path within the run's folder."""
        found = (p for p in sorted(self.folder.rglob("*")) if p.is_file())
        names = {p.relative_to(self.folder).as_posix(): p for p in found}
        return {name: path for name, path in names.items() if name.split("/")[0] not in INTERNAL}

    @property
    def metrics(self) -> Mapping[str, Any]:
        """``metrics.json``: each score is ``{"value", "low", "high"}``; empty before the evaluation."""
        path = self.folder / "metrics.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def predict(self, texts: Sequence[str]) -> list[Mapping[str, Any]]:
        """``[{text, label, confidence, scores, unlike_training, vocabulary_coverage}]``."""
        return self.intern.predict(self.id, texts)

    def decide(self, choice: str) -> FinishedRun:
        """Answer the open question and go on."""
        return self.intern.decide(self.id, choice)


class Intern:
    """``home`` is where runs and downloads live (default: ``INTERN_HOME``)."""

    def __init__(
        self, home: str | Path | None = None, *, settings: Settings | None = None, parts: Parts | None = None
    ):
        self._settings = settings or load_settings()
        if home is not None:
            self._settings = self._settings.model_copy(update={"home": Path(home).expanduser().absolute()})
        self._parts = parts or Parts()

    def run(
        self,
        sentence: str,
        *,
        data: str | Path | None = None,
        target: str | None = None,
        text: str | None = None,
        budget_usd: float | None = None,
        minutes: float | None = None,
        yes: bool = False,
        seed: int = 0,
        publish_to: str | None = None,
        paper: str | Path | None = None,
        base_model: str | Path | None = None,
        allow_unisolated: bool = False,
        requester: str = "python",
        answer: Answer | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> FinishedRun:
        """From one sentence to a packaged model, or to the first question that neither ``yes`` nor ``answer`` answers.

        Raises UsageError for what no run should be made of, StoreError when the database cannot be used. What goes
        wrong within the run is no exception: see ``status`` and ``error``.
        """
        request = Request(
            sentence,
            requester,
            "console",
            data=str(data) if data is not None else None,
            text_column=text,
            target=target,
            budget_usd=budget_usd,
            minutes=minutes,
            yes=yes,
            seed=seed,
            publish_to=publish_to,
            paper=str(paper) if paper is not None else None,
            base_model=str(base_model) if base_model is not None else None,
            allow_unisolated=allow_unisolated,
        )
        return _wait(self._go(None, request, None, answer, on_event))

    def resume(self, run_id: str, *, answer: Answer | None = None) -> FinishedRun:
        """Go on after a crash, a failure or a decision made elsewhere."""
        return _wait(self._go(run_id, None, None, answer, None))

    def decide(self, run_id: str, choice: str) -> FinishedRun:
        """Answer the run's open question and go on. Raises NotWaiting, NotAChoice."""
        return _wait(self._go(run_id, None, choice, None, None))

    def predict(self, run_id: str, texts: Sequence[str]) -> list[Mapping[str, Any]]:
        async def ask() -> list[Mapping[str, Any]]:
            async with open_app(self._settings, self._parts) as app:
                run = await app.dispatch.find(run_id)
                unisolated = run.request.allow_unisolated
                return await app.dispatch.predict(run.id, texts, allow_unisolated=unisolated)

        return _wait(ask())

    async def _go(
        self,
        run_id: str | None,
        request: Request | None,
        choice: str | None,
        answer: Answer | None,
        on_event: Callable[[Event], None] | None,
    ) -> FinishedRun:
        async with open_app(self._settings, self._parts) as app:
            door = app.dispatch
            run = await door.start(request) if request else await door.find(run_id or "")
            seen = -1
            while True:
                if choice is not None:
                    await door.decide(run.id, choice, actor=run.request.requester, surface="console")
                run = await door.move(run.id)
                for event in await door.events(run.id, seen):
                    seen = event.seq
                    if on_event:
                        on_event(event)
                choice = answer(run.question) if answer and run.question else None
                if choice is None:
                    return await self._finished(run, await door.events(run.id), app.deps.run_dir(run.id))

    async def _finished(self, run: Run, events: list[Event], folder: Path) -> FinishedRun:
        ended = FinishedRun(self, run.id, run.status, folder, run.question)
        if run.status is RunStatus.FAILED:
            last = [e for e in events if e.type is EventType.ENDED][-1:]
            return replace(ended, error="".join(str(e.payload.get("detail", "")) for e in last))
        return ended


def _wait(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``; in a thread of its own where an event loop already runs, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()
