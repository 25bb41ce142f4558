"""Several workspaces: each installs the app by OAuth, and its token is kept in the database of the runs.

- Pages, state and tables are Bolt's and slack_sdk's own: https://docs.slack.dev/authentication/installing-with-oauth.
  Their SQLite stores block, so they are called in threads here.
- A workspace has one bot token and no user tokens: a repeated installation replaces it, and the newest one holds.
- Who a request is from is read from that table alone. Bolt would ask Slack (``auth.test``) at every request, out of
  the 3 s that Slack gives for an answer.
- A workspace that removes the app is forgotten. Its runs go on; what they show waits until it is installed again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.authorization.async_authorize import AsyncAuthorize
from slack_bolt.error import BoltError
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.installation_store.models.bot import Bot
from slack_sdk.oauth.installation_store.models.installation import Installation
from slack_sdk.oauth.installation_store.sqlite3 import SQLite3InstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.oauth.state_store.sqlite3 import SQLite3OAuthStateStore
from slack_sdk.web.async_client import AsyncWebClient

from bot.chat.feed import SurfaceDown
from bot.settings import Settings, database_path

log = logging.getLogger(__name__)

SCOPES = {  # what each is for, as `intern doctor` says it; manifest.yaml has the same ones
    "app_mentions:read": "starting a run with @intern",
    "channels:history": "replies in a run's thread",
    "channels:join": "runs in public channels without an invitation",
    "channels:read": "knowing which channels I am in",
    "chat:write": "every message of mine",
    "commands": "/intern",
    "files:read": "data files that people attach",
    "files:write": "plots and reports",
    "groups:history": "replies in private channels",
    "groups:read": "private channels",
    "im:history": "direct messages",
    "usergroups:read": "user groups among the approvers",
    "users:read": "people's names",
}
STATE_S = 600  # how long an installation may take
NOT_INSTALLED_RETRY_S = 60.0
REMOVED = "The app is no longer installed in this workspace: an admin has to add it again."

NewClient = Callable[[str | None], AsyncWebClient]  # by token


class Installations(AsyncInstallationStore):
    """Each workspace's token, in the tables of slack_sdk, and a client for each that keeps up with it.

    The address of an Enterprise Grid organisation is left out of the key: a workspace's id is unique by itself, and
    runs remember nothing else. Installations for a whole organisation are switched off in ``manifest.yaml``.
    """

    def __init__(self, path: Path, client_id: str, new_client: NewClient) -> None:
        self._store = SQLite3InstallationStore(database=str(path), client_id=client_id, logger=log)
        self._store.init()  # type: ignore[no-untyped-call]
        for file in path.parent.glob(f"{path.name}*"):  # and SQLite's own files beside it
            with suppress(FileNotFoundError):  # they come and go
                file.chmod(0o600)  # tokens lie in there
        self._new_client = new_client
        self._clients: dict[str, AsyncWebClient] = {}

    @property
    def logger(self) -> logging.Logger:
        return log

    async def client_for(self, team: str) -> AsyncWebClient:
        """The workspace's client, the same one each time. Raises SurfaceDown where the app is not installed."""
        bot = await self.async_find_bot(enterprise_id=None, team_id=team)
        if bot is None:
            raise SurfaceDown(f"The app is not installed in the workspace {team}.", NOT_INSTALLED_RETRY_S)
        return self._clients.setdefault(team, self._new_client(bot.bot_token))

    def workspaces(self) -> list[tuple[str, str]]:
        """``(team id, name)`` of every workspace that has the app."""
        query = (
            "select team_id, max(team_name) from slack_bots where client_id = ? group by team_id order by 1"
        )
        with closing(self._store.connect()) as connection:
            return [(t, n or "") for t, n in connection.execute(query, [self._store.client_id])]

    # -- what Bolt asks of a store; the names and keywords are slack_sdk's ---------------------------------------

    async def async_save(self, installation: Installation) -> None:
        await self.async_save_bot(installation.to_bot())

    async def async_save_bot(self, bot: Bot) -> None:
        bot.enterprise_id = None
        try:
            await asyncio.to_thread(self._store.save_bot, bot)
        except sqlite3.Error as error:
            raise BoltError(f"The installation could not be kept: {error}") from error
        self._follow(bot.team_id or "", bot.bot_token)
        log.warning("slack: installed in the workspace %s", bot.team_id)

    async def async_find_bot(
        self, *, enterprise_id: str | None, team_id: str | None, is_enterprise_install: bool | None = False
    ) -> Bot | None:
        bot = await asyncio.to_thread(self._store.find_bot, enterprise_id=None, team_id=team_id)
        if bot is not None and team_id:
            self._follow(team_id, bot.bot_token)  # another process may have taken the installation
        return bot

    async def async_delete_bot(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        await asyncio.to_thread(self._store.delete_bot, enterprise_id=None, team_id=team_id)
        self._follow(team_id or "", None)
        log.warning("slack: removed from the workspace %s; its runs go on, unseen", team_id)

    async def async_delete_installation(
        self, *, enterprise_id: str | None, team_id: str | None, user_id: str | None = None
    ) -> None:
        """People's own tokens are never kept."""

    async def async_delete_all(self, *, enterprise_id: str | None, team_id: str | None) -> None:
        await self.async_delete_bot(enterprise_id=enterprise_id, team_id=team_id)

    def _follow(self, team: str, token: str | None) -> None:
        """Runs that are being shown hold on to their client: it gets the token that holds now."""
        if team in self._clients:
            self._clients[team].token = token


class FromInstallations(AsyncAuthorize):
    """Whose token answers a request: that of the workspace which it is from."""

    def __init__(self, installations: Installations) -> None:
        self._installations = installations

    async def __call__(
        self,
        *,
        context: Any,
        enterprise_id: str | None,
        team_id: str | None,
        user_id: str | None,
        **more: Any,
    ) -> AuthorizeResult | None:
        bot = await self._installations.async_find_bot(enterprise_id=enterprise_id, team_id=team_id)
        if bot is None:
            return None
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_id=bot.bot_id,
            bot_user_id=bot.bot_user_id,
            bot_token=bot.bot_token,
            bot_scopes=bot.bot_scopes,
        )


class States(AsyncOAuthStateStore):
    """The ``state`` of installations under way: each is good once, for ``STATE_S``, in the browser that began it."""

    def __init__(self, path: Path) -> None:
        self._store = SQLite3OAuthStateStore(database=str(path), expiration_seconds=STATE_S, logger=log)
        self._store.init()  # type: ignore[no-untyped-call]

    @property
    def logger(self) -> logging.Logger:
        return log

    async def async_issue(self, *args: Any, **kwargs: Any) -> str:
        return await asyncio.to_thread(self._issue)

    async def async_consume(self, state: str) -> bool:
        return await asyncio.to_thread(self._store.consume, state)

    def _issue(self) -> str:
        with (
            self._store.connect() as connection
        ):  # anybody can open the page: what has expired must not pile up
            connection.execute("delete from oauth_states where expire_at < cast(strftime('%s') as integer)")
        return self._store.issue()


def oauth_app(
    settings: Settings, new_client: NewClient
) -> tuple[AsyncApp, Callable[[str], Awaitable[AsyncWebClient]]]:
    """Bolt's app, and who gives a workspace's client."""
    assert settings.slack_client_id is not None
    assert settings.slack_client_secret is not None
    assert settings.slack_signing_secret is not None
    path = database_path(settings)
    installations = Installations(path, settings.slack_client_id, new_client)
    flow = AsyncOAuthFlow(
        client=new_client(None),
        settings=AsyncOAuthSettings(
            client_id=settings.slack_client_id,
            client_secret=settings.slack_client_secret.get_secret_value(),
            scopes=list(SCOPES),
            user_scopes=[],
            installation_store=installations,
            installation_store_bot_only=True,
            state_store=States(path),
            state_expiration_seconds=STATE_S,
        ),
    )
    bolt = AsyncApp(
        client=new_client(None),
        signing_secret=settings.slack_signing_secret.get_secret_value(),
        oauth_flow=flow,
        authorize=FromInstallations(installations),  # type: ignore[arg-type]  # Bolt takes its own class, too
        user_facing_authorize_error_message=REMOVED,
        logger=logging.getLogger("slack_bolt"),
    )
    bolt.enable_token_revocation_listeners()
    return bolt, installations.client_for
