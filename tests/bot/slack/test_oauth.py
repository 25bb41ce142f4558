"""Several workspaces: each with its own token, and none that sees into another."""

from __future__ import annotations

import html
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from bot.settings import SettingsError, load_settings
from bot.slack.oauth import SCOPES
from bot.slack.serve import check_settings
from bot.wiring import App
from tests.bot.slack.by_http import HttpSurface
from tests.bot.slack.surface import SlackSurface
from tests.graph.world import SENTENCE
from tests.slack.gateway import wrapped
from tests.slack.methods import installation
from tests.slack.server import ALICE, APP_TOKEN, BOB, BOT, BOT_TOKEN, CAROL, ML, RANDOM, SIGNING_SECRET, TEAM
from tests.slack.world import shown

# slack_sdk 3.48 gives aiohttp 3.14 the client's secret in a way that will be gone with aiohttp 4.
pytestmark = pytest.mark.filterwarnings("ignore:BasicAuth is deprecated:DeprecationWarning")

OTHER = "T0OTHER"
OTHER_TOKEN = "xoxb-other"
CLIENT_SECRET = "client-s3cret"


class Waker(logging.Handler):
    """Lets who waits for something look again at each line of the log."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def emit(self, record: logging.LogRecord) -> None:
        self._changed()


class ManySurface(HttpSurface):
    """The app in front of two workspaces. The second one has the same channels; its people are told apart by id."""

    @asynccontextmanager
    async def process(self, **env: str) -> AsyncIterator[App]:
        own = {
            "SLACK_BOT_TOKEN": "",
            "SLACK_CLIENT_ID": "1.2",
            "SLACK_CLIENT_SECRET": CLIENT_SECRET,
            "INTERN_APPROVERS": f"slack:{TEAM}/{BOB}",
        }
        waker, log = Waker(self.slack.proxy.changed), logging.getLogger("bot.slack.oauth")
        log.addHandler(waker)
        try:
            async with super().process(**own | env) as app:
                yield app
        finally:
            log.removeHandler(waker)

    async def get(self, path: str, cookie: str = "", **query: str) -> tuple[int, str, str]:
        """What a browser is shown: status, page, and the cookie that was set."""
        headers = {"Cookie": cookie} if cookie else {}
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser,
            browser.get(self.base_url + path, params=query, headers=headers) as answer,
        ):
            set_ = answer.headers.get("Set-Cookie", "").partition(";")[0]
            return answer.status, await answer.text(), set_

    async def begin(self) -> tuple[str, str]:
        """Opens the page for installing: the state in its link, and the cookie."""
        query, cookie = await self.asked_for()
        return query["state"][0], cookie

    async def asked_for(self) -> tuple[dict[str, list[str]], str]:
        """What the page for installing asks Slack for, and the cookie."""
        status, page, cookie = await self.get("/slack/install")
        assert status == 200
        link = page.partition('<a href="')[2].partition('"')[0]
        return parse_qs(urlsplit(html.unescape(link)).query), cookie

    async def install(self, team: str, token: str) -> None:
        """An admin of the workspace clicks through."""
        if token != BOT_TOKEN:
            self.slack.proxy.teams[token] = team
        self.slack.proxy.methods.oauth_codes[f"code-{team}"] = installation(token, team)
        state, cookie = await self.begin()
        status, page, _ = await self.get("/slack/oauth_redirect", cookie, state=state, code=f"code-{team}")
        assert status == 200, page

    async def command_from(self, team: str, user: str, text: str, channel: str = RANDOM) -> None:
        trigger, answer_to = await self.slack.mint(user, channel)
        typed = {"command": "/intern", "text": text, "team_id": team, "channel_id": channel, "user_id": user}
        more = {"user_name": "somebody", "trigger_id": f"{trigger}.{team}", "response_url": answer_to}
        delivery = await self.slack.gateway.inject("slash_commands", typed | more)
        assert delivery.status == 200, delivery.why

    async def click_from(self, team: str, user: str, choice: str) -> None:
        """Clicks a button of the newest question that offers ``choice``, as Slack tells of it from that workspace."""
        message, action_id = await self._button(choice, -1)
        made_up = await self.slack.click(user, message, action_id, value="{}")  # answered, and no more
        payload = json.loads(json.dumps(made_up.payload))
        payload["team"]["id"] = payload["user"]["team_id"] = team
        elements = (e for block in message["blocks"] for e in block.get("elements", []))
        value = next(e["value"] for e in elements if e.get("action_id") == action_id)
        payload["actions"][0] |= {"value": value, "action_ts": "9.9"}
        assert (await self.slack.gateway.inject("interactive", payload)).status == 200

    async def event_from(self, team: str, event: dict[str, Any]) -> None:
        payload = wrapped(event) | {"team_id": team}
        payload["authorizations"][0]["team_id"] = team
        assert (await self.slack.gateway.inject("events_api", payload)).status == 200

    def installed(self) -> dict[str, str]:
        """Team -> token, as the database has it."""
        with sqlite3.connect(self.jobs.home / "intern.db") as database:
            return dict(database.execute("select team_id, bot_token from slack_bots order by id"))

    async def tokens(self, method: str, **args: str) -> set[str]:
        """The tokens of the calls so far, once there is one."""
        await self.slack.until(lambda: self.slack.calls(method, **args))
        return {call.token for call in self.slack.calls(method, **args)}


@pytest.fixture
def offices(office: SlackSurface) -> ManySurface:
    return ManySurface(office.slack, office.jobs)


async def test_an_admin_installs_the_app(offices: ManySurface) -> None:
    async with offices.process():
        assert any("/slack/install" in line for line in offices.said)
        asked, _ = await offices.asked_for()
        assert asked["scope"] == [",".join(SCOPES)]
        assert not asked.get("user_scope")
        await offices.install(OTHER, OTHER_TOKEN)
        assert offices.installed() == {OTHER: OTHER_TOKEN}
        assert {file.stat().st_mode & 0o077 for file in offices.jobs.home.glob("intern.db*")} == {0}
        (call,) = offices.slack.calls("oauth.v2.access")
        assert call.ok


async def test_each_workspace_is_answered_with_its_own_token(offices: ManySurface) -> None:
    async with offices.process() as app:
        await offices.install(TEAM, BOT_TOKEN)
        await offices.install(OTHER, OTHER_TOKEN)
        await offices.command_from(TEAM, ALICE, SENTENCE, ML)
        await offices.command_from(OTHER, CAROL, SENTENCE, RANDOM)
        await offices.slack.appears(ML, "Which data")
        await offices.slack.appears(RANDOM, "Which data")
        assert await offices.tokens("chat.postMessage", channel=ML) == {BOT_TOKEN}
        assert await offices.tokens("chat.postMessage", channel=RANDOM) == {OTHER_TOKEN}
        assert {
            run.request.channel.split("/")[0] for run in await app.dispatch.runs() if run.request.channel
        } == {
            TEAM,
            OTHER,
        }
        # Nothing but the installations themselves asked Slack whose token it is.
        assert len(offices.slack.calls("auth.test")) == 2


async def test_a_workspace_without_the_app_is_told_so_and_nothing_starts(offices: ManySurface) -> None:
    async with offices.process() as app:
        await offices.install(TEAM, BOT_TOKEN)
        await offices.command_from(OTHER, CAROL, SENTENCE)
        await offices.slack.until(lambda: _told(offices, CAROL, "no longer installed"))
        assert await app.dispatch.runs() == []


async def test_a_click_from_another_workspace_decides_nothing(offices: ManySurface) -> None:
    async with offices.process() as app:
        await offices.install(TEAM, BOT_TOKEN)
        await offices.install(OTHER, OTHER_TOKEN)
        await offices.command_from(TEAM, ALICE, SENTENCE, ML)
        await offices.click_from(OTHER, ALICE, "use:1")
        await offices.slack.until(lambda: _told(offices, ALICE, "another workspace"))
        (run,) = await app.dispatch.runs()
        assert await app.deps.store.decisions(run.id) == []


@pytest.mark.parametrize("words", ["status {run}", "cancel {run}", "try {run} some text"])
async def test_a_run_is_nobodys_business_in_another_workspace(offices: ManySurface, words: str) -> None:
    async with offices.process() as app:
        await offices.install(TEAM, BOT_TOKEN)
        await offices.install(OTHER, OTHER_TOKEN)
        await offices.command_from(TEAM, ALICE, SENTENCE, ML)
        await offices.slack.appears(ML, "Which data")
        (run,) = await app.dispatch.runs()
        # Even by somebody with the same id.
        await offices.command_from(OTHER, ALICE, words.format(run=run.id))
        await offices.slack.until(lambda: _told(offices, ALICE, "another workspace"))
        assert (await app.dispatch.find(run.id)).cancel_requested_by is None


@pytest.mark.parametrize(("team", "may"), [(TEAM, True), (OTHER, False)])
async def test_an_approver_is_one_of_a_workspace(offices: ManySurface, team: str, may: bool) -> None:
    """Bob of the first workspace may approve; whoever has his id in the second one may not."""
    offices.jobs.usd_per_hour = 3.0
    async with offices.process(INTERN_APPROVERS=f"slack:{TEAM}/{BOB}") as app:
        await offices.install(TEAM, BOT_TOKEN)
        await offices.install(OTHER, OTHER_TOKEN)
        await offices.command_from(team, ALICE, SENTENCE, ML)
        await offices.click_from(team, ALICE, "use:1")
        await offices.click_from(team, BOB, "approve")
        (run,) = await app.dispatch.runs()

        async def decided() -> bool:
            return "compute" in {d.kind for d in await app.deps.store.decisions(run.id)}

        if may:
            await offices.slack.until(decided, 20.0)
        else:
            await offices.slack.until(lambda: _told(offices, BOB, "an approver can"))
            assert not await decided()


async def _told(offices: ManySurface, user: str, text: str) -> bool:
    return any(text in shown(m) for m in await offices.slack.ephemerals(user))


# -- removal -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", [{"type": "app_uninstalled"}, {"type": "tokens_revoked", "tokens": {"oauth": [], "bot": [BOT]}}]
)
async def test_a_removed_app_is_forgotten_and_the_run_goes_on(
    offices: ManySurface, caplog: pytest.LogCaptureFixture, event: dict[str, Any]
) -> None:
    async with offices.process() as app:
        await offices.install(TEAM, BOT_TOKEN)
        await offices.command_from(TEAM, ALICE, SENTENCE, ML)
        await offices.slack.appears(ML, "Which data")
        (run,) = await app.dispatch.runs()
        with caplog.at_level(logging.WARNING):
            await offices.event_from(TEAM, event)
            await offices.slack.until(lambda: f"removed from the workspace {TEAM}" in caplog.text)
        assert offices.installed() == {}
        before = len(offices.slack.calls("chat.postMessage"))
        await app.dispatch.decide(run.id, "use:1", actor="anna", surface="console")
        await offices.slack.until(lambda: _reached(app, run.id, "approve_compute"))
        assert not any(call.ok for call in offices.slack.calls("chat.postMessage")[before:])
        # Installed again, the thread catches up by the token that holds now.
        offices.slack.proxy.tokens.clear()
        await offices.install(TEAM, OTHER_TOKEN)
        await offices.slack.appears(ML, "Train on", timeout_s=20.0)
        assert offices.slack.calls("chat.postMessage")[-1].token == OTHER_TOKEN


async def _reached(app: App, run_id: str, stage: str) -> bool:
    run = await app.dispatch.find(run_id)
    return run.stage == stage and run.question is not None


async def test_what_is_revoked_for_one_person_removes_nothing(offices: ManySurface) -> None:
    async with offices.process():
        await offices.install(TEAM, BOT_TOKEN)
        await offices.event_from(TEAM, {"type": "tokens_revoked", "tokens": {"oauth": [ALICE], "bot": []}})
        await offices.event_from(OTHER, {"type": "app_uninstalled"})  # of a workspace that never had it
        await offices.command_from(TEAM, ALICE, "help", ML)
        await offices.slack.until(lambda: _told(offices, ALICE, "/intern status"))
        assert offices.installed() == {TEAM: BOT_TOKEN}


# -- bad input ---------------------------------------------------------------------------------------------------------


async def test_the_state_is_good_once_and_in_its_own_browser(offices: ManySurface) -> None:
    codes = offices.slack.proxy.methods.oauth_codes
    offices.slack.proxy.teams[OTHER_TOKEN] = OTHER
    async with offices.process():
        state, cookie = await offices.begin()
        _, others = await offices.begin()
        for given, kept in ((state, ""), (state, others), ("made-up", cookie), ("", cookie)):
            codes["code"] = installation(OTHER_TOKEN, OTHER)
            status, _, _ = await offices.get("/slack/oauth_redirect", kept, state=given, code="code")
            assert status in (400, 401), (given, kept)
        assert (await offices.get("/slack/oauth_redirect", cookie, state=state, code="code"))[0] == 200
        codes["code"] = installation("xoxb-later", "T0LATER")
        assert (await offices.get("/slack/oauth_redirect", cookie, state=state, code="code"))[0] == 401
        assert offices.installed() == {OTHER: OTHER_TOKEN}


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"error": "access_denied"}, 200, "access_denied"),
        ({"code": "expired"}, 401, "invalid_code"),
        ({}, 401, "missing_code"),
    ],
)
async def test_an_installation_that_was_not_granted(
    offices: ManySurface, query: dict[str, str], status: int, said: str
) -> None:
    async with offices.process():
        state, cookie = await offices.begin()
        found, page, _ = await offices.get("/slack/oauth_redirect", cookie, state=state, **query)
        assert found == status
        assert said in page
        assert CLIENT_SECRET not in page
        assert offices.installed() == {}


async def test_an_error_in_the_address_is_shown_as_text(offices: ManySurface) -> None:
    async with offices.process():
        _, page, _ = await offices.get("/slack/oauth_redirect", error="<script>alert(1)</script>")
        assert "<script>alert" not in page


async def test_slack_out_of_reach_at_the_end_of_an_installation(offices: ManySurface) -> None:
    async with offices.process():
        state, cookie = await offices.begin()
        offices.slack.proxy.fault("refused", "oauth.v2.access", times=9)
        status, page, _ = await offices.get("/slack/oauth_redirect", cookie, state=state, code="code")
        assert status == 503
        assert "/slack/install in a minute" in page


async def test_states_that_nobody_came_back_with_do_not_pile_up(
    offices: ManySurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.oauth.STATE_S", -1)
    async with offices.process():
        for _ in range(5):
            await offices.begin()
        with sqlite3.connect(offices.jobs.home / "intern.db") as database:
            assert database.execute("select count(*) from oauth_states").fetchone()[0] <= 1


async def test_with_a_socket_the_pages_are_still_there(offices: ManySurface) -> None:
    async with offices.process(SLACK_APP_TOKEN=APP_TOKEN):
        await offices.slack.connected()
        offices.slack.gateway.request_url = ""  # by the socket
        await offices.install(TEAM, BOT_TOKEN)
        delivery = await offices.slack.command(ALICE, ML, "help")
        assert delivery.acked
        await offices.slack.until(lambda: _told(offices, ALICE, "/intern status"))


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"SLACK_CLIENT_SECRET": ""}, "SLACK_CLIENT_SECRET"),
        ({"SLACK_SIGNING_SECRET": ""}, "SLACK_SIGNING_SECRET"),
        ({"INTERN_APPROVERS": "slack:U0BOB"}, "slack:T0123/U0BOB"),
    ],
)
def test_settings_that_do_not_do_for_several_workspaces(env: dict[str, str], said: str) -> None:
    good = {
        "SLACK_CLIENT_ID": "1.2",
        "SLACK_CLIENT_SECRET": CLIENT_SECRET,
        "SLACK_SIGNING_SECRET": SIGNING_SECRET,
        "INTERN_APPROVERS": "slack:T0LOCAL/U0BOB,slack:*,slack-group:S1",
    }
    check_settings(load_settings(good))
    with pytest.raises(SettingsError, match=said):
        check_settings(load_settings({k: v for k, v in (good | env).items() if v}))
