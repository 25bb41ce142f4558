"""What ``intern doctor`` asks of Slack: tokens, scopes, how it is called, channels, approvers. Never shows a secret.

Everything is asked at once, each within ``CALL_TIMEOUT_S``, so that the whole stays within the doctor's own limit.
With several workspaces a healthy one is one line. Methods and codes: https://docs.slack.dev/reference/methods.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.doctor import Check, Verdict
from bot.settings import Settings, SettingsError, database_path
from bot.slack import http
from bot.slack.errors import code_of
from bot.slack.oauth import SCOPES, Installations
from bot.slack.serve import check_settings, new_client
from bot.views import words

CALL_TIMEOUT_S = 5
MOST_WORKSPACES = 20
MOST_APPROVERS = 20
MOST_NAMES = 5
APPROVERS = "Slack approvers"
NO_RUN_WITHOUT = {"chat:write", "commands"}
UNREACHABLE = "unreachable"
_SIGNING_SECRET = re.compile(r"[0-9a-f]{32}")
_SOCKET_MEND = (
    "Turn Socket Mode on, make an app-level token with connections:write under Basic Information, "
    "and set SLACK_APP_TOKEN to it."
)
_AGAIN = "Install the app again under Install App, and set SLACK_BOT_TOKEN to its new Bot User OAuth Token."
_COPY = "Copy the Bot User OAuth Token, xoxb-…, from OAuth & Permissions into SLACK_BOT_TOKEN."
_MENDS = {
    UNREACHABLE: "Check the network, the proxy (HTTPS_PROXY) and SLACK_API_URL.",
    "ratelimited": "Slack asks for patience: try again in a minute.",
    "account_inactive": _AGAIN,
    "token_revoked": _AGAIN,
    "token_expired": "Turn token rotation off in the app's settings, then install the app again.",
}
_NOBODY = {
    "user_not_found": "is nobody here",
    "user_not_visible": "is nobody here",
    "no_such_subteam": "is no user group here",
    "subteam_not_found": "is no user group here",
    "channel_not_found": "is no channel that I am in",
}


@dataclass(frozen=True, slots=True)
class _Said:
    """Slack's answer. ``error``: its code, or ``UNREACHABLE``."""

    data: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Workspace:
    """What one workspace's token may do. ``me``: what colleagues call the bot."""

    checks: Sequence[Check]
    me: str = ""
    name: str = ""


async def check_slack(settings: Settings) -> list[Check]:
    """Every check, in the order in which a person would mend them."""
    try:
        check_settings(settings)
    except SettingsError as error:
        return [
            Check("Slack settings", Verdict.BAD, str(error), "docs/slack.md goes through them one by one.")
        ]
    called, spoken = await asyncio.gather(_called(settings), _workspaces(settings))
    return [*spoken, *called]


# -- how Slack calls us -----------------------------------------------------------------------------------------------


async def _called(settings: Settings) -> list[Check]:
    checks = []
    if settings.slack_app_token is not None:
        checks.append(await _socket(settings, settings.slack_app_token))
    if settings.slack_signing_secret is not None and (
        settings.slack_app_token is None or settings.slack_client_id
    ):
        checks.append(_address(settings, settings.slack_signing_secret))
    return checks


async def _socket(settings: Settings, token: SecretStr) -> Check:
    name = "Slack socket"
    if not token.get_secret_value().startswith("xapp-"):
        return Check(
            name, Verdict.BAD, "SLACK_APP_TOKEN holds another kind of token, not xapp-…", _SOCKET_MEND
        )
    client = _hasty(settings, token)
    said = await _ask(client.apps_connections_open(app_token=token.get_secret_value()))
    if said.error:
        return Check(name, Verdict.BAD, _refused(said), _MENDS.get(said.error, _SOCKET_MEND))
    return Check(name, Verdict.OK, "can be opened")


def _address(settings: Settings, secret: SecretStr) -> Check:
    name = "Slack address"
    if not _SIGNING_SECRET.fullmatch(secret.get_secret_value()):
        mend = "Copy the Signing Secret from Basic Information, App Credentials, into SLACK_SIGNING_SECRET."
        return Check(name, Verdict.WARN, "SLACK_SIGNING_SECRET does not look like one (32 of 0-9, a-f)", mend)
    return Check(name, Verdict.OK, f"signed requests at {http.EVENTS_PATH} on port {settings.port}")


# -- what we may do there ---------------------------------------------------------------------------------------------


async def _workspaces(settings: Settings) -> list[Check]:
    approvers = settings.access().rules.approvers
    if not settings.slack_client_id:
        assert settings.slack_bot_token is not None  # check_settings has seen to it
        return list((await _workspace(settings, settings.slack_bot_token, approvers)).checks)
    try:
        installed = Installations(
            database_path(settings),
            settings.slack_client_id,
            lambda token: _hasty(settings, SecretStr(token) if token else None),
        )
        teams = await asyncio.to_thread(installed.workspaces)
    except sqlite3.Error as error:
        mend = "Look at INTERN_HOME and DATABASE_URL: the installations are kept there."
        return [Check("Slack workspaces", Verdict.BAD, f"cannot be read: {error}", mend)]
    if not teams:
        mend = "Open /slack/install at the address of `intern slack`, and add the app to a workspace."
        return [Check("Slack workspaces", Verdict.WARN, "none has installed the app", mend)]
    found = await asyncio.gather(
        *(_installed(settings, installed, team, approvers) for team, _ in teams[:MOST_WORKSPACES])
    )
    checks = [check for group in found for check in group]
    if len(teams) > MOST_WORKSPACES:
        checks.append(
            Check("Slack workspaces", Verdict.OK, f"{len(teams) - MOST_WORKSPACES} more, not looked at")
        )
    return checks


async def _installed(
    settings: Settings, installed: Installations, team: str, approvers: Iterable[str]
) -> list[Check]:
    """One line where all is well, else what is not."""
    client = await installed.client_for(team)
    own = {entry for entry in approvers if entry.startswith(f"slack:{team}/") or entry == "slack:*"}
    # A group or channel does not say which workspace it is of: there may be approvers who cannot be asked for.
    by_group = any(entry.startswith(("slack-group:", "slack-channel:")) for entry in approvers)
    found = await _workspace(settings, SecretStr(client.token or ""), own)
    wrong = [check for check in found.checks if check.verdict is not Verdict.OK]
    wrong = [check for check in wrong if own or not by_group or check.name != APPROVERS]
    title = f"Slack {team}"
    if not wrong:
        return [Check(title, Verdict.OK, f"{found.me} in {found.name}")]
    return [replace(check, name=f"{title}: {check.name.removeprefix('Slack ')}") for check in wrong]


async def _workspace(settings: Settings, token: SecretStr, approvers: Iterable[str]) -> _Workspace:
    name = "Slack token"
    if "xoxb-" not in token.get_secret_value()[:12]:
        return _Workspace([Check(name, Verdict.BAD, "SLACK_BOT_TOKEN holds another kind of token", _COPY)])
    client = _hasty(settings, token)
    me, public, private, may = await asyncio.gather(
        _ask(client.auth_test()),
        _ask(client.users_conversations(types="public_channel", exclude_archived=True, limit=200)),
        _ask(client.users_conversations(types="private_channel", exclude_archived=True, limit=200)),
        _approvers(client, sorted(approvers)),
    )
    if me.error:
        return _Workspace([Check(name, Verdict.BAD, _refused(me), _MENDS.get(me.error, _COPY))])
    bot, team, team_id = (str(me.data.get(key) or "") for key in ("user", "team", "team_id"))
    elsewhere = [e for e in approvers if "/" in e and not e.startswith(f"slack:{team_id}/")]
    checks = [
        Check(name, Verdict.OK, f"{bot} in {team} ({team_id})"),
        _scopes(me.headers),
        _channels(bot, [public, private]),
        _elsewhere(elsewhere) if elsewhere else may,
    ]
    return _Workspace(checks, bot, team)


def _scopes(headers: Mapping[str, str]) -> Check:
    name = "Slack scopes"
    granted = {scope.strip() for scope in headers.get("x-oauth-scopes", "").split(",")}
    missing = [f"{scope} ({why})" for scope, why in SCOPES.items() if scope not in granted]
    if not missing:
        return Check(name, Verdict.OK, f"all {len(SCOPES)}")
    verdict = Verdict.WARN if granted >= NO_RUN_WITHOUT else Verdict.BAD
    mend = "Add them under OAuth & Permissions (manifest.yaml has them all), then install the app again."
    return Check(name, verdict, f"missing: {', '.join(missing)}", mend)


def _channels(bot: str, said: Sequence[_Said]) -> Check:
    name = "Slack channels"
    unasked = [answer for answer in said if answer.error and answer.error != "missing_scope"]
    if unasked:
        return Check(
            name, Verdict.WARN, _refused(unasked[0]), _MENDS.get(unasked[0].error, "Try again later.")
        )
    names = [f"#{channel['name']}" for answer in said for channel in answer.data.get("channels", [])]
    if not names:
        return Check(
            name, Verdict.WARN, f"{bot} is in none", f"Write /invite @{bot} in the channel for your runs."
        )
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return Check(name, Verdict.OK, ", ".join(names[:MOST_NAMES]) + more)


# -- approvers --------------------------------------------------------------------------------------------------------


def _elsewhere(entries: Sequence[str]) -> Check:
    mend = "Write the id of the workspace above into INTERN_APPROVERS, or leave it out: there is only one."
    return Check(APPROVERS, Verdict.WARN, f"of another workspace: {', '.join(sorted(entries))}", mend)


async def _approvers(client: AsyncWebClient, entries: Sequence[str]) -> Check:
    """Whether those whom INTERN_APPROVERS names are there, and can click."""
    entries = [entry for entry in entries if entry.startswith("slack")]
    if not entries:
        mend = "Set INTERN_APPROVERS, such as slack:U0123ABCD: a person's profile, ⋮, Copy member ID."
        return Check(APPROVERS, Verdict.WARN, "nobody in Slack may approve a price or publish", mend)
    said = await asyncio.gather(*(_approver(client, entry) for entry in entries[:MOST_APPROVERS]))
    wrong = [f"{entry} {problem}" for entry, (_, problem) in zip(entries, said, strict=False) if problem]
    if wrong:
        return Check(APPROVERS, Verdict.WARN, "; ".join(wrong), "Correct INTERN_APPROVERS, and start anew.")
    shown = [found for found, _ in said][:MOST_NAMES]
    more = f" and {len(entries) - len(shown)} more" if len(entries) > len(shown) else ""
    return Check(APPROVERS, Verdict.OK, ", ".join(shown) + more)


async def _approver(client: AsyncWebClient, entry: str) -> tuple[str, str]:
    """``(name, "")``, or an empty name and what is wrong."""
    kind, _, id_ = entry.partition(":")
    id_ = id_.rpartition("/")[2]
    if id_ == "*":
        return "everybody", ""
    if kind == "slack-group":
        said = await _ask(client.usergroups_users_list(usergroup=id_))
        found = f"the {words.plural(len(said.data.get('users', [])), 'member')} of {id_}"
        problem = "" if said.data.get("users") else "has no members"
    elif kind == "slack-channel":
        said = await _ask(client.conversations_info(channel=id_))
        found, problem = f"everybody in #{said.data.get('channel', {}).get('name', id_)}", ""
    else:
        said = await _ask(client.users_info(user=id_))
        user = said.data.get("user", {})
        found = str(user.get("real_name") or user.get("name") or id_)
        problem = "is deactivated" if user.get("deleted") else "is a bot" if user.get("is_bot") else ""
    if said.error:
        return "", _NOBODY.get(said.error, f"could not be asked for ({said.error})")
    return found, problem


# -- asking -----------------------------------------------------------------------------------------------------------


def _hasty(settings: Settings, token: SecretStr | None) -> AsyncWebClient:
    """A client that gives up soon, and tries nothing twice."""
    client = new_client(settings, token)
    client.timeout = CALL_TIMEOUT_S
    client.retry_handlers = []
    return client


async def _ask(call: Awaitable[AsyncSlackResponse]) -> _Said:
    try:
        answer = await call
    except SlackApiError as error:
        return _Said(error=code_of(error) or UNREACHABLE)
    except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError):
        return _Said(error=UNREACHABLE)
    data = answer.data if isinstance(answer.data, dict) else {}
    return _Said(data, {key.casefold(): value for key, value in answer.headers.items()})


def _refused(said: _Said) -> str:
    return "Slack cannot be reached" if said.error == UNREACHABLE else f"Slack refused it: {said.error}"
