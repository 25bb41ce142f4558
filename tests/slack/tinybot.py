"""A small, real bolt app, in Socket Mode and in HTTP mode: what the tests of the local Slack talk through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack.server import (
    APP_TOKEN,
    BOT_TOKEN,
    ML,
    SIGNING_SECRET,
)
from tests.slack.world import World

Json = dict[str, Any]
GO: Json = {
    "type": "button",
    "action_id": "go",
    "value": "run-1",
    "text": {"type": "plain_text", "text": "Go"},
}
MODAL: Json = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "New run"},
    "submit": {"type": "plain_text", "text": "Start"},
    "callback_id": "new",
    "private_metadata": "run-1",
    "blocks": [
        {
            "type": "input",
            "label": {"type": "plain_text", "text": "Goal"},
            "element": {"type": "plain_text_input", "action_id": "goal"},
        }
    ],
}


def client(slack: World, token: str = BOT_TOKEN) -> AsyncWebClient:
    return AsyncWebClient(token=token, base_url=slack.api_url)


class Bot:
    """A bot that notes what reaches it."""

    def __init__(self, slack: World) -> None:
        self.app = app = AsyncApp(client=client(slack), signing_secret=SIGNING_SECRET)
        self.seen: list[Json] = []
        self.retries: list[tuple[Any, Any]] = []
        app.command("/intern")(self._command)
        app.event("app_mention")(self._note)
        app.event("app_home_opened")(self._note)
        app.event("message")(self._note)
        app.action("go")(self._click)
        app.view("new")(self._submitted)
        app.shortcut("train")(self._shortcut)
        app.use(self._retry)

    async def _retry(self, req: AsyncBoltRequest, next_: Any) -> None:
        self.retries.append((req.headers.get("x-slack-retry-num"), req.headers.get("x-slack-retry-reason")))
        await next_()

    async def _note(self, body: Json) -> None:
        self.seen.append(body)

    async def _command(self, ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack("Working on it.")
        self.seen.append(body)
        if body["text"] == "form":
            await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

    async def _click(self, ack: Any, body: Json, respond: Any) -> None:
        await ack()
        self.seen.append(body)
        if "response_url" in body:  # App Home has none
            await respond("Thank you.", replace_original=False)

    async def _submitted(self, ack: Any, body: Json) -> None:
        self.seen.append(body)
        state = body["view"]["state"]["values"]
        goal = next(iter(state.values()))["goal"]["value"]
        block_id = next(iter(state))
        await (ack(response_action="errors", errors={block_id: "Say more."}) if len(goal) < 5 else ack())

    async def _shortcut(self, ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        self.seen.append(body)
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)


@asynccontextmanager
async def socket_mode(slack: World) -> AsyncIterator[Bot]:
    bot = Bot(slack)
    handler = AsyncSocketModeHandler(bot.app, APP_TOKEN, ping_interval=1)  # how soon it tries anew, in s
    await handler.connect_async()
    await slack.connected()
    try:
        yield bot
    finally:
        await handler.close_async()


@asynccontextmanager
async def http_mode(slack: World) -> AsyncIterator[Bot]:
    bot = Bot(slack)
    runner = web.AppRunner(bot.app.web_app(path="/slack/events"), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.gateway.request_url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    try:
        yield bot
    finally:
        await runner.cleanup()


async def post(slack: World, text: str = "hello", **more: Any) -> Json:
    answer = await client(slack).chat_postMessage(channel=ML, text=text, **more)
    return {"channel": answer["channel"], **answer["message"]}


def with_button() -> list[Json]:
    return [{"type": "actions", "elements": [GO]}]
