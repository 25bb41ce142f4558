"""Slack by HTTP: what is signed is done once, what is not is refused and does nothing."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from bot.errors import UsageError
from tests.bot.slack.by_http import HttpSurface
from tests.bot.slack.surface import SlackSurface
from tests.contract.surface import APPROVER
from tests.graph.world import SENTENCE
from tests.slack.gateway import signature, wrapped
from tests.slack.server import ALICE, BOT, ML, TEAM

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def web(office: SlackSurface) -> HttpSurface:
    return HttpSurface(office.slack, office.jobs)


def command(text: str, trigger_id: str = "made.up") -> bytes:
    typed = {"command": "/intern", "text": text, "team_id": TEAM, "channel_id": ML, "user_id": ALICE}
    return urlencode(typed | {"user_name": "alice", "trigger_id": trigger_id}).encode()


async def test_a_run_from_a_slash_command_to_its_end(web: HttpSurface) -> None:
    async with web.process():
        delivery = await web.slack.command(ALICE, ML, SENTENCE)
        assert delivery.status == 200
        await web.press("use:1")
        await web.press("approve", APPROVER)
        await web.press("keep", APPROVER)
        await web.sees("Done:")
        assert [d.why for d in web.slack.gateway.deliveries if d.why] == []  # the last one may be on its way
        assert web.slack.calls("apps.connections.open") == []  # no socket


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"secret": "another-secret"}, "signed with another secret"),
        ({"sign": "v0=" + "0" * 64}, "a made-up signature"),
        ({"sign": "v0=é"}, "no ASCII"),
        ({"sign": ""}, "none at all"),
        ({"timestamp": str(int(time.time()) - 3600)}, "an old one, sent again"),
        ({"timestamp": str(int(time.time()) + 3600)}, "from the future"),
        ({"timestamp": "yesterday"}, "no number"),
    ],
)
async def test_a_request_that_slack_did_not_sign_now_is_refused(
    web: HttpSurface, wrong: dict[str, str], why: str
) -> None:
    async with web.process() as app:
        status, text = await web.slack.gateway.post(
            command(SENTENCE), headers={"Content-Type": FORM}, **wrong
        )
        assert (status, text) == (401, "The signature does not fit."), why
        # The same request, signed now, is the first that does anything.
        status, _ = await web.slack.gateway.post(command(SENTENCE), headers={"Content-Type": FORM})
        assert status == 200
        await web.sees("Which data")
        assert len(await app.dispatch.runs()) == 1


async def test_a_body_that_was_changed_on_its_way_is_refused(web: HttpSurface) -> None:
    async with web.process() as app:
        now = str(int(time.time()))
        signed = signature(command("help"), now)
        status, _ = await web.slack.gateway.post(
            command(SENTENCE), headers={"Content-Type": FORM}, timestamp=now, sign=signed
        )
        assert status == 401
        assert await app.dispatch.runs() == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{not json", 400), (b"\xff\xfe", 401), (b"[" * 100_000, 401), (b"{" + b'"a":{' * 50_000, 401)],
)
async def test_what_cannot_be_read_is_refused_and_the_next_one_answered(
    web: HttpSurface, body: bytes, status: int
) -> None:
    """Only a body that Slack signed is parsed at all."""
    sign = None if status == 400 else "v0=" + "0" * 64
    async with web.process():
        assert (await web.slack.gateway.post(body, sign=sign))[0] == status
        assert (await web.slack.command(ALICE, ML, "help")).status == 200


async def test_a_body_beyond_all_measure_is_not_taken_in(
    web: HttpSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.slack.http.MAX_BODY_BYTES", 10_000)
    async with web.process():
        assert (await web.slack.gateway.post(b" " * 10_001))[0] == 413


async def test_slack_verifies_the_address(web: HttpSurface) -> None:
    asked = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB", "token": "x"}).encode()
    async with web.process():
        status, text = await web.slack.gateway.post(asked)
        assert status == 200
        assert "3eZbrw1aB" in text
        assert (await web.slack.gateway.post(asked, secret="another-secret"))[0] == 401


async def test_the_host_asks_whether_it_lives(web: HttpSurface) -> None:
    async with web.process(), web.slack.slack.http.get(f"{web.base_url}/healthz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok")


@pytest.mark.parametrize("path", ["/", "/slack/install", "/slack/oauth_redirect"])
async def test_there_is_nothing_else(web: HttpSurface, path: str) -> None:
    async with web.process(), web.slack.slack.http.get(web.base_url + path) as answer:
        assert answer.status == 404


async def test_what_slack_delivers_again_is_done_once(web: HttpSurface) -> None:
    async with web.process() as app:
        first = await web.slack.command(ALICE, ML, SENTENCE)
        assert (await web.slack.gateway.again(first)).status == 200
        event = {
            "type": "app_mention",
            "user": ALICE,
            "text": f"<@{BOT}> {SENTENCE}",
            "ts": "1.5",
            "channel": ML,
        }
        mention = await web.slack.gateway.inject("events_api", wrapped(event))
        both = await asyncio.gather(
            web.slack.gateway.again(mention), web.slack.gateway.again(mention, "http_error")
        )
        assert {d.status for d in both} == {200}
        await web.sees("Which data", times=2)
        assert len(await app.dispatch.runs()) == 2  # the command's and the mention's


@pytest.mark.parametrize(
    ("event", "is_told"),
    [
        ({"type": "app_uninstalled"}, True),
        ({"type": "tokens_revoked", "tokens": {"bot": [BOT]}}, True),
        ({"type": "tokens_revoked", "tokens": {"oauth": [ALICE]}}, False),
    ],
)
async def test_the_log_says_that_the_app_was_removed(
    web: HttpSurface, caplog: pytest.LogCaptureFixture, event: dict[str, Any], is_told: bool
) -> None:
    async with web.process():
        assert (await web.slack.gateway.inject("events_api", wrapped(event))).status == 200
        await web.slack.command(ALICE, ML, "help")
    assert ("removed from the workspace" in caplog.text) is is_told


async def test_a_port_that_is_taken_is_said(web: HttpSurface) -> None:
    async with web.process():
        other = HttpSurface(web.slack, web.jobs)
        with pytest.raises(UsageError, match="set PORT to a free one"):
            async with other.process(PORT=web.base_url.rpartition(":")[2]):
                pass
