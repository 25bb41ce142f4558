"""``intern slack``: the Slack surface as a process. Socket Mode with ``SLACK_APP_TOKEN``, else signed HTTP on ``PORT``.

One workspace by ``SLACK_BOT_TOKEN``; several by OAuth (``bot.slack.oauth``). SIGTERM stops taking in, lets what is
being handled end, and leaves the rest to the next start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from pydantic import SecretStr
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat.feed import Feed
from bot.chat.reception import Reception
from bot.settings import Settings, SettingsError
from bot.slack.app import SlackApp
from bot.slack.desk import NAME, SlackDesk
from bot.slack.errors import translated
from bot.wiring import App

log = logging.getLogger(__name__)

RATE_LIMIT_TRIES = 3
DRAIN_S = 10.0
DEFAULT_API = "https://slack.com/api"
Say = Callable[[str], None]


def check_settings(settings: Settings) -> None:
    """Raises SettingsError, in a sentence, for what Slack cannot be served with."""
    if settings.slack_client_id:
        if settings.slack_client_secret is None or settings.slack_signing_secret is None:
            raise SettingsError(
                "SLACK_CLIENT_ID needs SLACK_CLIENT_SECRET and SLACK_SIGNING_SECRET: see docs/slack.md."
            )
        bare = [
            e
            for e in settings.access().rules.approvers
            if e.startswith("slack:") and "/" not in e and e != "slack:*"
        ]
        if bare:
            raise SettingsError(
                f"With several workspaces INTERN_APPROVERS has to say which: {bare[0].replace(':', ':T0123/')} "
                f"in the place of {bare[0]}."
            )
        return
    if settings.slack_bot_token is None:
        raise SettingsError("SLACK_BOT_TOKEN is not set: docs/slack.md says where it comes from.")
    if settings.slack_app_token is None and settings.slack_signing_secret is None:
        raise SettingsError(
            "Set SLACK_APP_TOKEN for Socket Mode, or SLACK_SIGNING_SECRET to be called by HTTP: see docs/slack.md."
        )


async def serve(app: App, stop: asyncio.Event, say: Say) -> None:
    """Serve Slack until ``stop``. Raises SettingsError, SurfaceDown (when Slack cannot be reached at the start)."""
    settings = app.settings
    check_settings(settings)
    bolt, client_for = _bolt(settings)
    memory = app.memory(NAME)
    approvers = settings.access().rules.approvers
    desk = SlackDesk(client_for, memory, app.deps.run_dir, approvers, time.monotonic)
    reception = Reception(desk, app.dispatch, memory, app.deps.home)
    slack = SlackApp(bolt, desk, reception, app.dispatch, memory, app.deps.now, settings.budget_usd)
    feed = Feed(NAME, app.dispatch, memory, desk, clock=time.time)
    async with _listening(bolt, settings, say):
        tasks = [asyncio.create_task(feed.run()), asyncio.create_task(slack.sweep())]
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    await slack.drain(DRAIN_S)
    for task in (stopped, *tasks):
        task.cancel()
    await asyncio.gather(*tasks, stopped, return_exceptions=True)
    for task in done - {stopped}:
        task.result()


def _bolt(settings: Settings) -> tuple[AsyncApp, Callable[[str], Awaitable[AsyncWebClient]]]:
    """Bolt's app, and who gives a workspace's client."""
    if settings.slack_client_id:
        from bot.slack.oauth import oauth_app

        return oauth_app(settings, new_client(settings, None))
    client = new_client(settings, settings.slack_bot_token)
    bolt = AsyncApp(
        client=client,
        signing_secret=_secret(settings.slack_signing_secret) or "not used in Socket Mode",
        logger=logging.getLogger("slack_bolt"),
    )

    async def only(team: str) -> AsyncWebClient:
        return client

    return bolt, only


def new_client(settings: Settings, token: SecretStr | None) -> AsyncWebClient:
    """A Web API client that waits as long as Slack asks it to. Nothing else is repeated here: a post whose answer was
    lost may have landed (see ``bot.slack.poster``).
    """
    return AsyncWebClient(
        token=_secret(token),
        base_url=f"{settings.slack_api_url or DEFAULT_API}/",
        timeout=30,
        trust_env_in_session=True,
        retry_handlers=[AsyncRateLimitErrorRetryHandler(max_retry_count=RATE_LIMIT_TRIES)],
    )


@asynccontextmanager
async def _listening(bolt: AsyncApp, settings: Settings, say: Say) -> AsyncIterator[None]:
    token = _secret(settings.slack_app_token)
    if token:
        handler = AsyncSocketModeHandler(bolt, token)
        with translated("the socket"):
            await handler.connect_async()  # type: ignore[no-untyped-call]
        say("Slack: connected by Socket Mode.")
        try:
            yield
        finally:
            await handler.close_async()  # type: ignore[no-untyped-call]
        return
    runner = web.AppRunner(_http(bolt))
    await runner.setup()
    site = web.TCPSite(runner, None, settings.port)
    await site.start()
    port = runner.addresses[0][1] if runner.addresses else settings.port
    say(f"Slack: listening on port {port}, at /slack/events.")
    try:
        yield
    finally:
        await runner.cleanup()


def _http(bolt: AsyncApp) -> web.Application:
    async def events(request: web.Request) -> web.Response:
        return await to_aiohttp_response(await bolt.async_dispatch(await to_bolt_request(request)))

    async def health(request: web.Request) -> web.Response:
        return web.Response(text="ok")

    application = web.Application(client_max_size=4 << 20)
    application.add_routes([web.post("/slack/events", events), web.get("/healthz", health)])
    if bolt.oauth_flow is not None:
        flow = bolt.oauth_flow

        async def install(request: web.Request) -> web.Response:
            return await to_aiohttp_response(await flow.handle_installation(await to_bolt_request(request)))

        async def callback(request: web.Request) -> web.Response:
            return await to_aiohttp_response(await flow.handle_callback(await to_bolt_request(request)))

        application.add_routes(
            [web.get(flow.install_path, install), web.get(flow.redirect_uri_path, callback)]
        )
    return application


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None
