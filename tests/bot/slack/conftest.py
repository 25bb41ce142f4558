"""The whole Slack surface in this process: real bolt, real store and graph, a local Slack; fakes behind our Protocols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.serving import serve
from bot.settings import load_settings
from bot.wiring import App, Parts, open_app
from graph.deps import Run
from remote.backends.fake import FakeBackend, Reply
from tests.graph.world import SENTENCE, FakePublisher, FakeRecipes, FakeSource, good_script
from tests.slack.conftest import local_slack, slack
from tests.slack.server import ALICE, APP_TOKEN, BOB, BOT_TOKEN, ML
from tests.slack.world import World

__all__ = ["local_slack", "slack"]

PREDICTION = {"text": "hi", "label": "positive", "confidence": 0.93, "unlike_training": True}


@dataclass
class Office:
    """A team's Slack with the intern in it. ``script``: what the jobs answer."""

    slack: World
    home: Path
    script: dict[str, Any] = field(default_factory=good_script)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    env: dict[str, str] = field(default_factory=dict)
    backend: FakeBackend | None = None
    app: App = field(init=False)

    @asynccontextmanager
    async def intern(self, **env: str) -> AsyncIterator[App]:
        """The bot's process, until the block ends."""
        self.home.mkdir(exist_ok=True)
        self.script.setdefault("predict", Reply({"predictions": [PREDICTION]}))
        self.backend = self.backend or FakeBackend(self.script, name="local")
        settings = load_settings(
            {
                "INTERN_HOME": str(self.home),
                "SLACK_API_URL": self.slack.api_url,
                "SLACK_BOT_TOKEN": BOT_TOKEN,
                "SLACK_APP_TOKEN": APP_TOKEN,
                "INTERN_APPROVERS": f"slack:{BOB}",
            }
            | self.env
            | env
        )
        parts = Parts(
            backends=[self.backend],
            sources=[FakeSource(self.home)],
            publishers={"folder": self.publisher},
            recipes=FakeRecipes(self.home),
        )
        async with open_app(settings, parts) as self.app:
            stop, said = asyncio.Event(), list[str]()
            serving = asyncio.create_task(serve(self.app, ("slack",), said.append, stop))
            try:
                await self.slack.until(lambda: serving.done() or any("Slack:" in line for line in said))
                if serving.done():
                    serving.result()
                yield self.app
            finally:
                stop.set()
                await serving

    async def run(self) -> Run:
        """The newest run, once there is one."""

        async def found() -> Run | None:
            runs = await self.app.dispatch.runs()
            return runs[0] if runs else None

        run: Run = await self.slack.until(found)
        return run

    async def until_run(self, fits: Callable[[Run], bool], timeout_s: float = 20.0) -> Run:
        async def found() -> Run | None:
            runs = await self.app.dispatch.runs()
            return runs[0] if runs and fits(runs[0]) else None

        run: Run = await self.slack.until(found, timeout_s)
        return run

    async def started(self, sentence: str = SENTENCE, user: str = ALICE) -> str:
        """A run from a slash command; the ts of its thread, once its first question stands there."""
        await self.slack.command(user, ML, sentence)
        message = await self.slack.appears(ML, "Which data shall I use?")
        return str(message["thread_ts"])


@pytest.fixture
def office(slack: World, tmp_path: Path) -> Office:
    return Office(slack, tmp_path / "home")
