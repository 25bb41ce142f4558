"""The Web API answers as Slack does, keeps a ledger, and does harm on demand."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler
from slack_sdk.web.async_client import AsyncWebClient

from tests.slack.methods import installation
from tests.slack.server import (
    ALICE,
    APP_TOKEN,
    BOB,
    BOT,
    ELSEWHERE,
    ML,
    RANDOM,
    TEAM,
    LocalSlack,
)
from tests.slack.tinybot import MODAL, Json, client, post, socket_mode, with_button
from tests.slack.world import World

# --- the Web API: what the local Slack lacks ---


async def test_metadata_comes_back_when_asked_for(slack: World) -> None:
    made = {"event_type": "card", "event_payload": {"run": "run-1"}}
    root = await post(slack, metadata=made)
    await post(slack, "reply", thread_ts=root["ts"])
    await client(slack).chat_postEphemeral(channel=ML, user=ALICE, text="psst", thread_ts=root["ts"])
    found = await client(slack).conversations_replies(channel=ML, ts=root["ts"], include_all_metadata=True)
    assert [(m["text"], m.get("metadata")) for m in found["messages"]] == [("hello", made), ("reply", None)]
    plain = await client(slack).conversations_replies(channel=ML, ts=root["ts"])
    assert "metadata" not in plain["messages"][0]
    await client(slack).chat_update(channel=ML, ts=root["ts"], text="kept")
    await client(slack).chat_update(channel=ML, ts=root["ts"], text="kept", metadata={})
    found = await client(slack).conversations_replies(channel=ML, ts=root["ts"], include_all_metadata=True)
    assert "metadata" not in found["messages"][0]


async def test_a_long_thread_comes_in_pages(slack: World) -> None:
    root = await post(slack)
    for i in range(5):
        await post(slack, f"reply {i}", thread_ts=root["ts"])
    texts: list[str] = []
    pages = 0
    async for page in await client(slack).conversations_replies(channel=ML, ts=root["ts"], limit=2):
        pages += 1
        texts += [m["text"] for m in page["messages"]]
    assert (pages, texts) == (3, ["hello", *(f"reply {i}" for i in range(5))])


async def test_an_upload_keeps_bytes_and_alt_text(slack: World) -> None:
    root = await post(slack)
    await client(slack).files_upload_v2(
        channel=ML, thread_ts=root["ts"], content=b"\x89PNG not really", filename="plot.png", title="A plot",
        alt_txt="Nothing to see",
    )  # fmt: skip
    (file,) = await slack.uploads()
    assert (file.name, file.title, file.alt_txt) == ("plot.png", "A plot", "Nothing to see")
    assert (file.channels, file.thread_ts, file.content) == ((ML,), root["ts"], b"\x89PNG not really")
    assert [c.args["bytes"] for c in slack.calls("upload")] == [len(file.content)]


async def test_places_and_people(slack: World) -> None:
    web_ = client(slack)
    assert (await web_.conversations_info(channel=ML))["channel"]["is_member"]
    assert not (await web_.conversations_info(channel=ELSEWHERE))["channel"]["is_member"]
    members = {c["id"]: c["is_member"] for c in (await web_.conversations_list())["channels"]}
    assert (members[ML], members[ELSEWHERE]) == (True, False)
    assert BOB in (await web_.conversations_members(channel=RANDOM))["members"]
    assert (await web_.users_info(user=ALICE))["user"]["name"] == "alice"
    slack.proxy.methods.usergroups["S0ML"] = [BOB]
    assert (await web_.usergroups_users_list(usergroup="S0ML"))["users"] == [BOB]
    who = await web_.auth_test()
    assert (who["team_id"], who["user_id"]) == (TEAM, BOT)
    assert "chat:write" in who.headers["x-oauth-scopes"].split(",")
    for channel in (ELSEWHERE, "C0NOWHERE"):
        with pytest.raises(SlackApiError, match=r"not_in_channel|channel_not_found"):
            await web_.chat_postMessage(channel=channel, text="hi")


async def test_only_own_lasting_messages_can_be_edited_and_a_reaction_lasts(slack: World) -> None:
    web_ = client(slack)
    theirs = await slack.message(ALICE, ML, "mine")
    secret = await web_.chat_postEphemeral(channel=ML, user=ALICE, text="psst")
    for ts, error in ((theirs, "cant_update_message"), (secret["message_ts"], "message_not_found")):
        with pytest.raises(SlackApiError, match=error):
            await web_.chat_update(channel=ML, ts=ts, text="yours")
    await web_.reactions_add(channel=ML, timestamp=theirs, name="eyes")
    with pytest.raises(SlackApiError, match="already_reacted"):
        await web_.reactions_add(channel=ML, timestamp=theirs, name="eyes")
    assert (
        theirs.replace(".", "") in (await web_.chat_getPermalink(channel=ML, message_ts=theirs))["permalink"]
    )


async def test_a_trigger_works_once(slack: World) -> None:
    trigger, _ = await slack.mint(ALICE, ML)
    await client(slack).views_open(trigger_id=trigger, view=MODAL)
    with pytest.raises(SlackApiError, match="exchanged_trigger_id"):
        await client(slack).views_open(trigger_id=trigger, view=MODAL)


async def test_streams_exist_only_where_the_workspace_has_them(slack: World) -> None:
    web_ = client(slack)
    start: Json = {"channel": ML, "recipient_user_id": ALICE, "recipient_team_id": TEAM, "thread_ts": "1.0"}
    with pytest.raises(SlackApiError, match="unknown_method"):
        await web_.chat_startStream(**start)
    slack.proxy.methods.streaming = True
    ts = (await web_.chat_startStream(**start, markdown_text="**Epoch**"))["ts"]
    task = {"type": "task_update", "id": "1", "title": "Train", "status": "in_progress"}
    await web_.chat_appendStream(channel=ML, ts=ts, markdown_text=" 1", chunks=[task])
    with pytest.raises(SlackApiError, match="invalid_chunks"):
        await web_.chat_appendStream(channel=ML, ts=ts, chunks=[task | {"status": "busy"}])
    await web_.chat_stopStream(channel=ML, ts=ts, blocks=with_button())
    (message,) = await slack.messages(ML)
    assert [b["type"] for b in message["blocks"]] == ["markdown", "plan", "actions"]
    with pytest.raises(SlackApiError, match="message_not_in_streaming_state"):
        await web_.chat_appendStream(channel=ML, ts=ts, markdown_text="more")


@pytest.mark.filterwarnings(
    "ignore:BasicAuth is deprecated:DeprecationWarning"
)  # slack_sdk 3.48 with aiohttp 3.14
async def test_a_second_workspace_installs_and_is_let_in(slack: World) -> None:
    slack.proxy.methods.oauth_codes["code-1"] = installation("xoxb-other")
    slack.proxy.tokens.add("xoxb-other")
    granted = await AsyncWebClient(base_url=slack.api_url).oauth_v2_access(
        client_id="1", client_secret="2", code="code-1"
    )
    assert granted["team"]["id"] == "T0OTHER"
    assert (await client(slack, granted["access_token"]).auth_test())["ok"]


# --- harm on demand ---


async def test_a_rate_limit_is_waited_out_and_recorded(slack: World) -> None:
    slack.proxy.fault("ratelimited", "chat.postMessage", retry_after_s=0)
    web_ = client(slack)
    web_.retry_handlers.append(AsyncRateLimitErrorRetryHandler(max_retry_count=1))
    await web_.chat_postMessage(channel=ML, text="at last")
    assert [(c.status, c.fault) for c in slack.calls("chat.postMessage")] == [(429, "ratelimited"), (200, "")]
    assert [m["text"] for m in await slack.messages(ML)] == ["at last"]


async def test_an_answer_can_be_lost_after_the_call_has_landed(slack: World) -> None:
    slack.proxy.fault("lost", "chat.postMessage", times=2)
    web_ = client(slack)
    web_.retry_handlers.clear()
    with pytest.raises(aiohttp.ClientError):
        await web_.chat_postMessage(channel=ML, text="landed")
    assert [m["text"] for m in await slack.messages(ML)] == ["landed"]
    assert slack.calls("chat.postMessage")[0].response["ok"]
    # What a bot has to know of slack_sdk: as it comes, it posts again by itself.
    await client(slack).chat_postMessage(channel=ML, text="twice")
    assert [m["text"] for m in await slack.messages(ML)] == ["landed", "twice", "twice"]


@pytest.mark.parametrize("kind", ["status", "refused", "error"])
async def test_a_call_can_fail_without_landing(slack: World, kind: str) -> None:
    harm = {
        "status": 503,
        "error": "fatal_error",
        "times": 2 if kind == "refused" else 1,
    }  # slack_sdk tries twice
    slack.proxy.fault(kind, "chat.*", skip=1, where=lambda args: args["channel"] == ML, **harm)
    await post(slack, "first")
    with pytest.raises((SlackApiError, aiohttp.ClientError)):
        await post(slack, "second")
    await post(slack, "third")
    assert [m["text"] for m in await slack.messages(ML)] == ["first", "third"]


async def test_a_slow_answer_waits_until_it_is_let_go(slack: World) -> None:
    slow = slack.proxy.fault("slow", "chat.postMessage")
    posting = asyncio.ensure_future(post(slack))
    await slow.arrived.wait()
    assert await slack.messages(ML) == []
    slow.release()
    assert (await posting)["text"] == "hello"


async def test_slack_is_down_for_a_while(slack: World) -> None:
    async with socket_mode(slack):
        async with slack.proxy.outage():
            assert slack.gateway.sockets == []
            with pytest.raises(aiohttp.ClientError):
                await post(slack)
        await slack.connected()
        await post(slack, "back")
        assert [m["text"] for m in await slack.messages(ML)] == ["back"]


async def test_tokens_and_scopes_are_checked(slack: World) -> None:
    for token in ("xoxb-wrong", APP_TOKEN):
        with pytest.raises(SlackApiError, match="invalid_auth"):
            await client(slack, token).auth_test()
    slack.proxy.scopes.discard("files:write")
    with pytest.raises(SlackApiError) as refused:
        await client(slack).files_getUploadURLExternal(filename="a", length=1)
    assert refused.value.response["needed"] == "files:write"
    slack.proxy.invalid = "token_revoked"
    with pytest.raises(SlackApiError, match="token_revoked"):
        await post(slack)


async def test_unfit_blocks_are_refused_with_the_reason(slack: World) -> None:
    with pytest.raises(SlackApiError) as refused:
        await post(slack, blocks=[{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}])
    assert refused.value.response["error"] == "invalid_blocks"
    assert "blocks[0].text.type" in refused.value.response["response_metadata"]["messages"][0]
    with pytest.raises(SlackApiError, match="no_text"):
        await client(slack).api_call("chat.postMessage", json={"channel": ML, "blocks": with_button()})
    slack.proxy.refused_blocks = {"task_card"}
    card = {"type": "task_card", "task_id": "1", "title": "Train", "status": "pending"}
    with pytest.raises(SlackApiError, match="unsupported type: task_card"):
        await post(slack, blocks=[{"type": "plan", "title": "Plan", "tasks": [card]}])
    assert await slack.messages(ML) == []
    assert [method for method, _ in slack.proxy.unfit] == ["chat.postMessage"] * 2
    slack.proxy.unfit.clear()


async def test_a_test_fails_that_showed_what_slack_would_refuse(local_slack: LocalSlack) -> None:
    async def careless() -> None:
        async with World(local_slack) as world:
            with pytest.raises(SlackApiError):
                await post(world, blocks=[{"type": "nothing"}])

    with pytest.raises(AssertionError, match=r"Slack would have refused: .*no block of type 'nothing'"):
        await careless()


async def test_the_ledger_counts_the_busiest_second(slack: World) -> None:
    for _ in range(3):
        await post(slack)
    assert slack.proxy.peak("chat.postMessage", window_s=60) == 3
    assert slack.proxy.peak("chat.postMessage", window_s=1e-9) == 1
    assert slack.proxy.peak("chat.update", window_s=60) == 0
