"""The terminal as a :class:`tests.contract.surface.Surface`: one person, who types."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bot.console.session import Session, local_user
from bot.settings import load_settings
from bot.wiring import App, open_app
from graph.names import RunStatus
from graph.state import Request
from tests.contract.surface import ASKER, Jobs

WAIT_S = 20.0
_NEW_CARD = re.compile(r"\n(?=[•…?✓!✗] )")


class Keys:
    """What is typed, when it is asked for."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str] = asyncio.Queue()

    def type(self, line: str) -> None:
        self._lines.put_nowait(line)

    async def line(self) -> str | None:
        return await self._lines.get()


@dataclass
class ConsoleSurface:
    """``intern run`` or ``intern resume`` in this process; its screen outlives it."""

    jobs: Jobs
    name: str = "console"
    many_people: bool = False
    edits: bool = False
    env: dict[str, str] = field(default_factory=dict)
    screen: io.StringIO = field(default_factory=io.StringIO)
    keys: Keys = field(default_factory=Keys)
    told: int = -1  # the last event that was on the screen when the process ended
    app: App = field(init=False)
    _following: asyncio.Task[int] | None = None

    @asynccontextmanager
    async def process(self, **env: str) -> AsyncIterator[App]:
        settings = load_settings({"INTERN_HOME": str(self.jobs.home)} | self.env | env)
        async with open_app(settings, self.jobs.parts()) as self.app:
            self.keys = Keys()
            for run in (await self.app.dispatch.runs())[:1]:
                self._follow(run.id, self.told)
            try:
                yield self.app
            finally:
                if self._following is not None:
                    self._following.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await self._following
                for run in (await self.app.dispatch.runs())[:1]:
                    self.told = (await self.app.dispatch.events(run.id))[-1].seq

    def _follow(self, run_id: str, after: int = -1) -> None:
        session = Session(self.app.dispatch, out=self.screen, typed=self.keys, columns=100)
        self._following = asyncio.create_task(session.follow(run_id, after=after))

    async def start(self, sentence: str, who: str = ASKER) -> None:
        run = await self.app.dispatch.start(Request(sentence, local_user(), "console"))
        self._follow(run.id)

    async def press(self, value: str, who: str = ASKER, *, question: int = -1) -> None:
        if value.startswith("suggestion:"):
            parent = (await self.app.dispatch.runs())[0]
            change = await self.app.dispatch.change(parent.id, value.removeprefix("suggestion:"))
            child = await self.app.dispatch.again(
                parent.id, change, actor=local_user(), name="", surface="console", channel=None
            )
            self._follow(child.id)
            return
        await self._until(lambda: self._offers(value))
        self.keys.type(value)

    async def _offers(self, value: str) -> bool:
        run = (await self.app.dispatch.runs())[0]
        return run.question is not None and value in {c.value for c in run.question.choices}

    async def say(self, text: str, who: str = ASKER) -> None:
        run = (await self.app.dispatch.runs())[0]
        if text.startswith("try:"):
            answers = await self.app.dispatch.predict(run.id, [text.removeprefix("try:").strip()])
            Session(self.app.dispatch, out=self.screen, typed=self.keys, columns=100).predictions(answers)
        elif text == "cancel" and run.status is RunStatus.RUNNING:
            await self.app.dispatch.cancel(run.id, actor=local_user())
        else:
            self.keys.type(text)

    async def sees(self, text: str, times: int = 1) -> None:
        async def found() -> bool:
            return _words(self.screen.getvalue()).count(text) >= times

        await self._until(found)

    async def is_told(self, text: str, who: str = ASKER) -> None:
        await self.sees(text)

    async def _until(self, found: Any) -> None:
        async with asyncio.timeout(WAIT_S):
            while not await found():
                if self._following is not None and self._following.done():
                    self._following.result()
                await asyncio.sleep(0.01)

    async def messages(self) -> list[str]:
        return [_words(card) for card in _NEW_CARD.split(self.screen.getvalue())]


def _words(text: str) -> str:
    """Without the line ends that the width of the screen made."""
    return " ".join(text.split())
