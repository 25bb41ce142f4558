"""Slack that calls the bot by HTTP: signed requests to a free port of this machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.serving import serve
from bot.settings import load_settings
from bot.wiring import App, open_app
from tests.bot.slack.surface import SlackSurface
from tests.slack.server import BOB, BOT_TOKEN, CAROL, SIGNING_SECRET


@dataclass
class HttpSurface(SlackSurface):
    """``base_url``: where the bot listens. ``said``: what it told whoever started it."""

    base_url: str = ""
    said: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def process(self, **env: str) -> AsyncIterator[App]:
        defaults = {
            "INTERN_HOME": str(self.jobs.home),
            "SLACK_API_URL": self.slack.api_url,
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "PORT": "0",
            "INTERN_APPROVERS": f"slack:{BOB},slack:{CAROL}",
        }
        self.said.clear()
        async with open_app(load_settings(defaults | self.env | env), self.jobs.parts()) as self.app:
            stop = asyncio.Event()
            serving = asyncio.create_task(serve(self.app, ("slack",), self._say, stop))
            serving.add_done_callback(lambda _: self.slack.proxy.changed())
            try:
                await self.slack.until(lambda: serving.done() or self._port())
                if serving.done():
                    serving.result()
                self.base_url = f"http://127.0.0.1:{self._port()}"
                self.slack.gateway.request_url = f"{self.base_url}/slack/events"
                yield self.app
            finally:
                stop.set()
                await serving

    def _say(self, line: str) -> None:
        self.said.append(line)
        self.slack.proxy.changed()  # wakes who waits for it

    def _port(self) -> str:
        found = (re.search(r"listening on port (\d+)", line) for line in self.said)
        return next((match[1] for match in found if match), "")
