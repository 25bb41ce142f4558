"""People reach the bot through the local Slack as through Slack, in Socket Mode and in HTTP mode."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from tests.slack import server
from tests.slack.gateway import signature, unfit, wrapped
from tests.slack.server import (
    ALICE,
    BOB,
    BOT,
    BOT_TOKEN,
    MALLORY,
    ML,
    LocalSlack,
    listening,
)
from tests.slack.tinybot import MODAL, Bot, Json, client, http_mode, post, socket_mode, with_button
from tests.slack.world import World, filled_in


@pytest.fixture(params=[socket_mode, http_mode], ids=["socket", "http"])
async def bot(request: pytest.FixtureRequest, slack: World) -> AsyncIterator[Bot]:
    async with request.param(slack) as started:
        yield started


# --- people reach the bot, in both modes ---


async def test_a_slash_command_arrives_and_is_acknowledged_to_that_person_alone(
    slack: World, bot: Bot
) -> None:
    done = await slack.command(ALICE, ML, "train something")
    assert done.acked, done.why
    assert done.response["text"] == "Working on it."
    assert [(b["user_id"], b["text"]) for b in bot.seen] == [(ALICE, "train something")]
    assert [m["text"] for m in await slack.ephemerals(ALICE)] == ["Working on it."]
    assert await slack.messages(ML) == []
    assert await slack.ephemerals(BOB) == []


async def test_a_mention_with_a_file_arrives_and_the_file_can_be_read(slack: World, bot: Bot) -> None:
    ts = await slack.mention(ALICE, ML, "train on this", files={"tickets.csv": b"text,label\nhi,a\n"})
    event = next(b["event"] for b in bot.seen if b["event"]["type"] == "app_mention")
    assert (event["user"], event["ts"], event["text"]) == (ALICE, ts, f"<@{BOT}> train on this")
    url = event["files"][0]["url_private_download"]
    assert url.startswith(slack.proxy.url)
    async with (
        aiohttp.ClientSession() as http,
        http.get(url, headers={"Authorization": f"Bearer {BOT_TOKEN}"}) as answer,
    ):
        assert await answer.read() == b"text,label\nhi,a\n"
    assert [c.status for c in slack.calls("download")] == [200]


async def test_a_reply_in_a_thread_arrives_with_its_thread(slack: World, bot: Bot) -> None:
    root = await post(slack)
    await slack.message(ALICE, ML, "make it smaller", thread_ts=root["ts"])
    events = [b["event"] for b in bot.seen if b["event"].get("user") == ALICE]
    assert [(e["text"], e["thread_ts"]) for e in events] == [("make it smaller", root["ts"])]


async def test_a_click_arrives_and_response_url_reaches_that_person_alone(slack: World, bot: Bot) -> None:
    message = await post(slack, blocks=with_button())
    done = await slack.click(BOB, message, "go")
    assert done.acked, done.why
    action = bot.seen[-1]["actions"][0]
    assert (action["value"], bot.seen[-1]["user"]["id"], bot.seen[-1]["channel"]["id"]) == ("run-1", BOB, ML)
    await slack.until(lambda: slack.calls("response_url"))
    assert [m["text"] for m in await slack.ephemerals(BOB)] == ["Thank you."]
    assert [m["text"] for m in await slack.messages(ML)] == ["hello"]


async def test_a_button_that_is_gone_can_still_be_clicked(slack: World, bot: Bot) -> None:
    message = await post(slack, blocks=with_button())
    await client(slack).chat_update(channel=ML, ts=message["ts"], text="decided", blocks=[])
    now = await slack.appears(ML, "decided")
    assert now["blocks"] == []
    assert (await slack.click(MALLORY, now, "go")).acked
    assert bot.seen[-1]["actions"][0]["value"] == "run-1"


async def test_a_modal_opens_refuses_and_takes(slack: World, bot: Bot) -> None:
    await slack.command(ALICE, ML, "form")
    view = await slack.until(slack.modal)
    assert view["private_metadata"] == "run-1"
    refused = await slack.submit_modal(ALICE, {"goal": "x"})
    assert list(refused.response["errors"].values()) == ["Say more."]
    assert refused.problems == []
    assert await slack.modal() is not None
    with pytest.raises(AssertionError, match="Slack would ask for 'goal'"):
        await slack.submit_modal(ALICE)
    taken = await slack.submit_modal(ALICE, {"goal": "sort tickets"})
    assert taken.acked
    assert await slack.modal() is None
    assert bot.seen[-1]["view"]["callback_id"] == "new"


async def test_a_message_shortcut_arrives_and_its_trigger_opens_a_modal(slack: World, bot: Bot) -> None:
    message = await post(slack)
    assert (await slack.shortcut(ALICE, "train", message)).acked
    assert bot.seen[-1]["message"]["ts"] == message["ts"]
    assert await slack.until(slack.modal)


async def test_app_home_opens_and_shows_what_is_published(slack: World, bot: Bot) -> None:
    await slack.open_home(ALICE)
    assert bot.seen[-1]["event"]["type"] == "app_home_opened"
    home = {"type": "home", "blocks": with_button()}
    first = await client(slack).views_publish(user_id=ALICE, view=home)
    await client(slack).views_publish(user_id=ALICE, view=home, hash=first["view"]["hash"])
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client(slack).views_publish(user_id=ALICE, view=home, hash=first["view"]["hash"])
    shown = await slack.home(ALICE)
    assert shown is not None
    assert (await slack.click_view(ALICE, shown, "go")).acked
    assert bot.seen[-1]["container"]["type"] == "view"
    assert await slack.home(BOB) is None


async def test_an_event_is_delivered_again_as_a_retry(slack: World, bot: Bot) -> None:
    await slack.mention(ALICE, ML, "once")
    first = slack.deliveries("events_api", "app_mention")[0]
    second = await slack.gateway.again(first)
    assert second.acked
    ids = [b["event_id"] for b in bot.seen if b["event"]["type"] == "app_mention"]
    assert ids == [first.payload["event_id"]] * 2
    assert bot.retries[-1] == (["1"], ["timeout"])


async def test_fifty_commands_at_once_all_arrive(slack: World, bot: Bot) -> None:
    await slack.command(
        ALICE, ML, "number 0"
    )  # bolt asks auth.test for each request until one has been answered
    done = await asyncio.gather(*(slack.command(ALICE, ML, f"number {i}") for i in range(1, 50)))
    assert [d.why for d in done if not d.acked] == []
    assert {b["text"] for b in bot.seen} == {f"number {i}" for i in range(50)}


def test_a_form_is_filled_in_as_slack_would() -> None:
    def block(kind: str, **more: Any) -> Json:
        return {
            "type": "input",
            "block_id": kind,
            "element": {"type": kind, "action_id": f"a_{kind}", **more},
        }

    options = [{"text": {"type": "plain_text", "text": v.upper()}, "value": v} for v in ("a", "b")]
    view = {
        "blocks": [
            block("static_select", options=options, initial_option=options[0]),
            block("checkboxes", options=options),
            block("datepicker", initial_date="2026-01-01"),
            block("number_input") | {"optional": True},
            {"type": "divider"},
        ]
    }
    assert filled_in(view, {"a_checkboxes": ["b"]}) == {
        "static_select": {"a_static_select": {"type": "static_select", "selected_option": options[0]}},
        "checkboxes": {"a_checkboxes": {"type": "checkboxes", "selected_options": [options[1]]}},
        "datepicker": {"a_datepicker": {"type": "datepicker", "selected_date": "2026-01-01"}},
        "number_input": {"a_number_input": {"type": "number_input", "value": None}},
    }
    for wrong in ({}, {"a_checkboxes": ["c"]}, {"a_checkboxes": ["b"], "unknown": "x"}):
        with pytest.raises(AssertionError):
            filled_in(view, dict(wrong))


def test_an_acknowledgement_is_checked_like_a_message() -> None:
    asked = {"view": {"blocks": [{"type": "input", "block_id": "goal"}]}}
    assert unfit(asked, {"response_action": "errors", "errors": {"goal": "Say more."}}) == []
    assert unfit(asked, {"response_action": "errors", "errors": {"gaol": "Say more."}}) != []
    assert unfit(asked, {"response_action": "update", "view": MODAL}) == []
    assert unfit(asked, {"response_action": "update", "view": MODAL | {"title": "New"}}) != []
    assert unfit({}, {"text": "x" * 4001}) != []


# --- Socket Mode ---


async def test_one_socket_of_two_gets_an_envelope(slack: World) -> None:
    async with socket_mode(slack) as one, socket_mode(slack) as two:
        await slack.connected(2)
        for i in range(4):
            await slack.command(ALICE, ML, f"{i}")
        assert sorted(len(b.seen) for b in (one, two)) == [2, 2]


async def test_a_dropped_socket_comes_back(slack: World) -> None:
    async with socket_mode(slack) as bot:
        opened = len(slack.calls("apps.connections.open"))
        await slack.gateway.drop_sockets(politely=True)
        await slack.until(lambda: len(slack.calls("apps.connections.open")) > opened)
        for _ in range(5):  # the library may open two, for the message and for the end, and close one of them
            await slack.connected()
            done = await slack.command(ALICE, ML, "still there?")
            if done.acked:
                break
        assert done.acked
        assert len(bot.seen) == 1


async def test_without_a_bot_nothing_is_acknowledged(slack: World) -> None:
    done = await slack.command(ALICE, ML, "anyone?")
    assert (done.acked, done.why) == (False, "no socket is open")


async def test_the_bot_is_told_of_its_own_messages_as_slack_does(slack: World) -> None:
    async with socket_mode(slack) as bot:
        message = await post(slack)
        await client(slack).chat_update(channel=ML, ts=message["ts"], text="changed")
        own = await slack.until(
            lambda: (found := [d for d in slack.deliveries("events_api", "message") if d.acked])[1:] and found
        )
        assert [d.event.get("subtype") for d in own] == [None, "message_changed"]
        assert {d.event.get("message", d.event)["bot_id"] for d in own} == {"B0BOT"}
        assert bot.seen == []  # bolt drops them


async def test_events_that_nobody_subscribed_to_are_not_sent(slack: World) -> None:
    async with socket_mode(slack) as bot:
        await slack.message(ALICE, ML, "look", files={"a.csv": b"1"})  # file_shared follows
        slack.gateway.subscribed.discard("message")
        await slack.message(ALICE, ML, "nobody listens")
        assert [b["event"]["type"] for b in bot.seen] == ["message"]
        assert [d.event["type"] for d in slack.deliveries("events_api")] == ["message"]


# --- HTTP mode ---


def test_the_signature_is_the_one_of_slacks_documentation() -> None:
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name="
        b"foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.4"
        b"7445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    made = signature(body, "1531420618", "8f742231b10e8888abcd99yyyzzz85a5")
    assert made == "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


@pytest.mark.parametrize(
    ("forged", "status"),
    [
        ({}, 200),
        ({"secret": "another"}, 401),
        ({"sign": "v0=00"}, 401),
        ({"sign": ""}, 401),
        ({"timestamp": str(int(time.time()) - 301)}, 401),
    ],
    ids=["genuine", "another secret", "forged", "unsigned", "old"],
)
async def test_a_request_can_be_forged(slack: World, forged: dict[str, Any], status: int) -> None:
    async with http_mode(slack) as bot:
        event = {
            "type": "app_mention",
            "user": ALICE,
            "text": "hi",
            "ts": "1.0",
            "channel": ML,
            "event_ts": "1.0",
        }
        body = json.dumps(wrapped(event)).encode()
        assert (await slack.gateway.post(body, **forged))[0] == status
        assert len(bot.seen) == (status == 200)


# --- the process ---


def test_the_local_slack_listens_on_this_machine_only(local_slack: LocalSlack) -> None:
    assert listening(local_slack.pid) == {"127.0.0.1"}


def test_where_a_process_listens_is_seen() -> None:
    with socket.create_server(("127.0.0.2", 0)):
        assert "127.0.0.2" in listening(os.getpid())
    assert "127.0.0.2" not in listening(os.getpid())


def test_a_binary_that_does_not_start_is_an_error_and_a_missing_one_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        LocalSlack(Path("/bin/false")).start()
    monkeypatch.setattr(server, "BINARY", tmp_path / "missing")
    assert "make peers" in server.why_not()


async def test_each_test_starts_with_an_empty_workspace(slack: World) -> None:
    assert [await slack.messages(ML), await slack.uploads(), await slack.modal()] == [[], [], None]
    assert slack.calls(".*") == []
