"""Several workspaces: each installs the app by OAuth, and its token is kept in the database of the runs.

The tables and the flow are slack_sdk's and Bolt's own: https://docs.slack.dev/authentication/installing-with-oauth.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from slack_bolt.async_app import AsyncApp
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.oauth.installation_store.sqlite3 import SQLite3InstallationStore
from slack_sdk.oauth.state_store.sqlite3 import SQLite3OAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat.feed import SurfaceDown
from bot.settings import Settings, database_path

SCOPES = (
    "app_mentions:read",
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:write",
    "usergroups:read",
    "users:read",
)
STATE_S = 600  # how long an installation may take


def oauth_app(
    settings: Settings, client: AsyncWebClient
) -> tuple[AsyncApp, Callable[[str], Awaitable[AsyncWebClient]]]:
    """Bolt's app, and who gives a workspace's client. ``client`` is the pattern for them: address and retries."""
    assert settings.slack_client_id is not None
    assert settings.slack_client_secret is not None
    assert settings.slack_signing_secret is not None
    path, client_id = str(database_path(settings)), settings.slack_client_id
    store = SQLite3InstallationStore(database=path, client_id=client_id)
    states = SQLite3OAuthStateStore(database=path, expiration_seconds=STATE_S)
    store.init()  # type: ignore[no-untyped-call]
    states.init()  # type: ignore[no-untyped-call]
    flow = AsyncOAuthFlow(
        client=client,
        settings=AsyncOAuthSettings(
            client_id=client_id,
            client_secret=settings.slack_client_secret.get_secret_value(),
            scopes=list(SCOPES),
            installation_store=store,
            state_store=states,
        ),
    )
    bolt = AsyncApp(
        client=client,
        signing_secret=settings.slack_signing_secret.get_secret_value(),
        oauth_flow=flow,
        logger=logging.getLogger("slack_bolt"),
    )

    async def client_for(team: str) -> AsyncWebClient:
        bot = await store.async_find_bot(enterprise_id=None, team_id=team)
        if bot is None:
            raise SurfaceDown(f"The app is not installed in the workspace {team}.", 60.0)
        return AsyncWebClient(
            token=bot.bot_token,
            base_url=client.base_url,
            timeout=client.timeout,
            retry_handlers=client.retry_handlers,
        )

    return bolt, client_for
