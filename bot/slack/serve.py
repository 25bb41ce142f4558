"""``intern slack``: the Slack surface as a process. Socket Mode with ``SLACK_APP_TOKEN``, else signed HTTP on ``PORT``.

One workspace by ``SLACK_BOT_TOKEN``; several by OAuth (``bot.slack.oauth``). SIGTERM stops taking in, lets what is
being handled end, and leaves the rest to the next start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from pydantic import SecretStr
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat.feed import Feed
from bot.chat.reception import Reception
from bot.settings import Settings, SettingsError
from bot.slack import http
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
    bolt, client_for = await _bolt(settings)
    memory = app.memory(NAME)
    approvers = settings.access().rules.approvers
    desk = SlackDesk(client_for, memory, app.deps.run_dir, approvers, time.monotonic)
    reception = Reception(desk, app.dispatch, memory, app.deps.home)
    slack = SlackApp(bolt, desk, reception, app.dispatch, memory, app.deps.now, settings.budget_usd)
    feed = Feed(NAME, app.dispatch, memory, desk, clock=time.time)
    async with _listening(bolt, settings, say):
        tasks = [asyncio.create_task(feed.run()), asyncio.create_task(slack.inbox.sweep())]
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    await slack.inbox.drain(DRAIN_S)
    for task in (stopped, *tasks):
        task.cancel()
    await asyncio.gather(*tasks, stopped, return_exceptions=True)
    for task in done - {stopped}:
        task.result()


async def _bolt(settings: Settings) -> tuple[AsyncApp, Callable[[str], Awaitable[AsyncWebClient]]]:
    """Bolt's app, and who gives a workspace's client."""
    if settings.slack_client_id:
        from bot.slack.oauth import oauth_app

        return oauth_app(settings, lambda token: new_client(settings, SecretStr(token) if token else None))
    client = new_client(settings, settings.slack_bot_token)
    with translated("the token"):
        me = await client.auth_test()

    async def authorize() -> AuthorizeResult:
        return AuthorizeResult.from_auth_test_response(auth_test_response=me, bot_token=client.token)

    bolt = AsyncApp(
        client=new_client(settings, None),
        authorize=authorize,  # Bolt's own asks Slack for each request until one is answered
        signing_secret=_secret(settings.slack_signing_secret) or "not used in Socket Mode",
        logger=logging.getLogger("slack_bolt"),
    )

    bolt.event("app_uninstalled")(_removed)
    bolt.event("tokens_revoked")(_removed)

    async def only(team: str) -> AsyncWebClient:
        return client

    return bolt, only


async def _removed(event: Mapping[str, Any]) -> None:
    """The one workspace has taken the app, or its token, away. ``tokens_revoked`` may be about people's own tokens."""
    if event.get("type") == "app_uninstalled" or (event.get("tokens") or {}).get("bot"):
        log.error("slack: the app was removed from the workspace; its runs go on, unseen. Install it again.")


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
    """By the socket where there is a token for it; by HTTP where there is none, and for the pages of OAuth."""
    token = _secret(settings.slack_app_token)
    async with AsyncExitStack() as stack:
        if token is None or bolt.oauth_flow is not None:
            secret = _secret(settings.slack_signing_secret) or ""
            port = await stack.enter_async_context(http.serving(bolt, secret, settings.port))
            also = f" and {bolt.oauth_flow.install_path}" if bolt.oauth_flow is not None else ""
            say(f"Slack: listening on port {port}, at {http.EVENTS_PATH}{also}.")
        if token is not None:
            handler = AsyncSocketModeHandler(bolt, token)
            with translated("the socket"):
                await handler.connect_async()  # type: ignore[no-untyped-call]
            stack.push_async_callback(handler.close_async)
            say("Slack: connected by Socket Mode.")
        yield


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None
