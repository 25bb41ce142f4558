"""Slack as a :class:`tests.contract.surface.Surface`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bot.serving import serve
from bot.settings import load_settings
from bot.wiring import App, open_app
from tests.contract.surface import APPROVER, ASKER, OTHER_APPROVER, STRANGER, Jobs
from tests.slack.server import ALICE, APP_TOKEN, BOB, BOT_TOKEN, CAROL, MALLORY, ML
from tests.slack.world import World, elements, shown

PEOPLE = {ASKER: ALICE, APPROVER: BOB, OTHER_APPROVER: CAROL, STRANGER: MALLORY}


@dataclass
class SlackSurface:
    """The bot in this process, in front of a local Slack."""

    slack: World
    jobs: Jobs
    name: str = "slack"
    many_people: bool = True
    edits: bool = True
    env: dict[str, str] = field(default_factory=dict)
    app: App = field(init=False)

    @asynccontextmanager
    async def process(self, **env: str) -> AsyncIterator[App]:
        defaults = {
            "INTERN_HOME": str(self.jobs.home),
            "SLACK_API_URL": self.slack.api_url,
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_APP_TOKEN": APP_TOKEN,
            "INTERN_APPROVERS": f"slack:{BOB},slack:{CAROL}",
        }
        async with open_app(load_settings(defaults | self.env | env), self.jobs.parts()) as self.app:
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

    async def start(self, sentence: str, who: str = ASKER) -> None:
        await self.slack.command(PEOPLE[who], ML, sentence)

    async def press(self, value: str, who: str = ASKER, *, question: int = -1) -> None:
        message, action_id = await self._button(value, question)
        delivery = await self.slack.click(PEOPLE[who], message, action_id)
        assert delivery.acked, delivery.why

    async def _button(self, value: str, question: int) -> tuple[dict[str, Any], str]:
        """The message that offers ``value``, or once did, and the button's action_id."""
        ending = value.removeprefix("suggestion:")

        async def found() -> Any:
            offers = []
            for message in await self.slack.messages(ML):
                versions = self.slack.proxy.methods.posted.get((ML, message["ts"]), [])
                actions = [
                    e["action_id"] for v in (*versions, message) for e, _ in elements(v.get("blocks", []))
                ]
                asks = [a for a in actions if a.startswith(("decide:", "suggest:", "words:"))]
                if asks:
                    offers.append((message, [a for a in asks if a.endswith(f":{ending}")]))
            offers = (
                offers
                if value.startswith("suggestion:")
                else [o for o in offers if "suggest:" not in str(o[1])]
            )
            if not offers or not offers[question if question >= 0 else -1][1]:
                fitting = [o for o in offers if o[1]] if question < 0 else []
                return fitting and (fitting[-1][0], fitting[-1][1][0])
            message, fits = offers[question]
            return message, fits[0]

        chosen: tuple[dict[str, Any], str] = await self.slack.until(found)
        return chosen

    async def say(self, text: str, who: str = ASKER) -> None:
        threads = [m["thread_ts"] for m in await self.slack.messages(ML) if m.get("thread_ts")]
        await self.slack.message(PEOPLE[who], ML, text, threads[-1])

    async def sees(self, text: str, times: int = 1) -> None:
        async def found() -> bool:
            return sum(text in seen for seen in await self.messages()) >= times

        await self.slack.until(found, 20.0)

    async def is_told(self, text: str, who: str = ASKER) -> None:
        async def found() -> bool:
            private = [shown(m) for m in await self.slack.ephemerals(PEOPLE[who])]
            return any(text in seen for seen in [*private, *await self.messages()])

        await self.slack.until(found, 20.0)

    async def messages(self) -> list[str]:
        bot = [
            m
            for m in await self.slack.messages(ML)
            if m.get("bot_id") or m.get("user") not in PEOPLE.values()
        ]
        return [shown(m) for m in bot]
