"""The live training card as a native stream: one message always, whatever Slack answers; and none where it has none."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.cards import Bullets, Card, Column, Progress, Style, Table, Text, Tone
from bot.chat.feed import PlaceGone
from bot.slack import streams
from bot.slack.address import Address, message_of
from bot.slack.blocks import render
from bot.slack.pacer import Pacer
from bot.slack.streams import Streams, is_stream_of, tasks_of
from remote.backends.fake import Hold
from remote.protocol import JobEventType
from tests.bot.hostile import NASTY
from tests.bot.slack.surface import SlackSurface
from tests.graph.world import PROGRESS, SENTENCE
from tests.slack.proxy import Call
from tests.slack.server import ALICE, BOT_TOKEN, ML, TEAM
from tests.slack.world import World, shown

EPOCH = (JobEventType.EPOCH, {"epoch": 1, "metrics": {"train_loss": 0.61, "macro_f1": 0.83}})
SECOND = {"metrics": {"train_loss": 0.52, "macro_f1": 0.9}}
METADATA = {"event_type": "intern_card", "event_payload": {"run": "r1", "key": "training:1"}}


@pytest.fixture
def training(office: SlackSurface, monkeypatch: pytest.MonkeyPatch) -> SlackSurface:
    """A workspace with streams, and a training that goes on until it is released."""
    monkeypatch.setattr("bot.chat.feed.BACK_OFF_S", (0.0,) * 6)
    office.slack.proxy.methods.streaming = True
    ending = replace(office.jobs.script["train"], events=[(JobEventType.EPOCH, {"epoch": 2, **SECOND})])
    office.jobs.script["train"] = Hold(ending, events=[*PROGRESS, EPOCH])
    return office


async def up_to_training(office: SlackSurface, runs: int = 1) -> None:
    """``runs``: how many there are then; the newest is brought so far."""
    await office.start(SENTENCE)
    await office.sees("Which data shall I use?", times=runs)
    await office.press("use:1")
    await office.sees("Train on", times=runs)
    await office.press("approve")


async def release(office: SlackSurface, runs: int = 1) -> None:
    """End the training of the newest of ``runs`` runs."""
    backend = office.jobs.backend
    assert backend is not None

    def train_jobs() -> list[str]:
        return [job.key for job in backend.jobs if job.programs[0].name == "train"]

    await office.slack.until(lambda: len(train_jobs()) == runs)
    backend.release(train_jobs()[-1])


async def streaming(office: SlackSurface, runs: int = 1) -> None:
    await office.slack.until(lambda: len(office.slack.calls("chat.startStream")) == runs)


async def trainings(office: SlackSurface) -> list[dict[str, Any]]:
    """Messages that show a training, all of which have ended."""
    messages = await office.slack.messages(ML)
    asked = [c for c in office.slack.calls("chat.postMessage") if "training:" in str(c.args.get("metadata"))]
    begun = {c.response["ts"] for c in asked} | {ts for _, ts in office.slack.proxy.methods.streams}
    ended = [m for m in messages if "Trained 2 epochs" in shown(m)]
    assert begun == {m["ts"] for m in ended}
    return ended


def sent(office: SlackSurface, ts: str) -> list[Call]:
    """Everything sent for the message after it was there."""
    return [c for c in office.slack.proxy.ledger if c.method.startswith("chat.") and c.args.get("ts") == ts]


def statuses(office: SlackSurface, ts: str) -> dict[str, str]:
    tasks = office.slack.proxy.methods.streams[(ML, ts)].tasks
    return {id_.rpartition("/")[2]: task["status"] for id_, task in tasks.items()}


async def epoch_is_streamed(office: SlackSurface) -> Call:
    def found() -> Call | None:
        calls = office.slack.calls("chat.appendStream")
        return next((c for c in calls if any(x.get("title") == "Epoch 1" for x in c.args["chunks"])), None)

    call: Call = await office.slack.until(found)
    return call


# -- where the workspace has streams ---------------------------------------------------------------------------


async def test_the_training_is_streamed_and_stopped_with_its_final_blocks(training: SlackSurface) -> None:
    async with training.process():
        await up_to_training(training)
        await epoch_is_streamed(training)
        await release(training)
        await training.sees("Trained 2 epochs")
        await training.sees("Publish?")
    (start,) = training.slack.calls("chat.startStream")  # and nothing else is a stream
    assert not any("Trained 2 epochs" in shown(c.args) for c in training.slack.calls("chat.postMessage"))
    (thread,) = {m["thread_ts"] for m in await training.slack.messages(ML) if m.get("thread_ts")}
    assert start.args["thread_ts"] == thread
    assert (start.args["recipient_user_id"], start.args["recipient_team_id"]) == (ALICE, TEAM)
    (message,) = await trainings(training)
    methods = [c.method for c in sent(training, message["ts"])]
    assert "chat.update" not in methods
    assert methods.count("chat.stopStream") == 1
    assert methods[-1] == "chat.stopStream"
    last = sent(training, message["ts"])[-1]
    assert "Trained 2 epochs" in str(last.args["blocks"])
    assert last.args["metadata"]["event_payload"]["key"] == "training:1"
    assert statuses(training, message["ts"]) == {
        "now": "complete",
        "epoch-1": "complete",
        "epoch-2": "complete",
    }


async def test_details_of_an_epoch_are_sent_once_as_slack_appends_them(training: SlackSurface) -> None:
    async with training.process():
        await up_to_training(training)
        await epoch_is_streamed(training)
        await release(training)
        await training.sees("Publish?")
    calls = [c for c in training.slack.proxy.ledger if c.method.endswith("Stream")]
    details = [x["details"] for c in calls for x in c.args.get("chunks", []) if "details" in x]
    assert details == ["train loss 0.610, macro-F1 0.830", "train loss 0.520, macro-F1 0.900"]


async def test_after_a_restart_the_same_message_goes_on(training: SlackSurface) -> None:
    async with training.process():
        await up_to_training(training)
        await epoch_is_streamed(training)
    async with training.process():
        await release(training)
        await training.sees("Trained 2 epochs")
        await training.sees("Publish?")
    (message,) = await trainings(training)
    methods = [c.method for c in sent(training, message["ts"])]
    assert methods.count("chat.stopStream") == 1
    assert methods[-1] == "chat.update"
    assert len(training.slack.calls("chat.startStream")) == 1
    assert not training.slack.proxy.methods.streams[(ML, message["ts"])].open


@pytest.mark.parametrize("method", ["chat.startStream", "chat.appendStream", "chat.stopStream"])
async def test_a_lost_answer_leads_to_one_message_with_all_of_it(training: SlackSurface, method: str) -> None:
    training.slack.proxy.fault("lost", method)
    async with training.process():
        await up_to_training(training)
        await streaming(training)
        if method != "chat.startStream":
            await epoch_is_streamed(training)
        await release(training)
        await training.sees("Trained 2 epochs")
        await training.sees("Publish?")
    assert len(await trainings(training)) == 1
    assert len(training.slack.calls("chat.startStream")) == 1


async def test_a_lost_start_is_not_doubled_when_the_answer_to_its_edit_is_lost_too(
    training: SlackSurface,
) -> None:
    training.slack.proxy.fault("lost", "chat.startStream")
    training.slack.proxy.fault(
        "lost",
        "chat.update",
        skip=1,
        where=lambda args: (ML, args["ts"]) in training.slack.proxy.methods.streams,
    )
    async with training.process():
        await up_to_training(training)
        await streaming(training)
        await release(training)
        await training.sees("Trained 2 epochs")
        await training.sees("Publish?")
    assert len(await trainings(training)) == 1


@pytest.mark.parametrize("method", ["chat.appendStream", "chat.stopStream"])
async def test_a_stream_that_slack_ended_is_edited_from_then_on(training: SlackSurface, method: str) -> None:
    def ends(args: dict[str, Any]) -> bool:
        training.slack.proxy.methods.streams[(ML, args["ts"])].open = False
        return True

    training.slack.proxy.fault("error", method, error="message_not_in_streaming_state", where=ends)
    async with training.process():
        await up_to_training(training)
        await training.slack.until(lambda: training.slack.calls("chat.appendStream"))
        await release(training)
        await training.sees("Trained 2 epochs")
        await training.sees("Publish?")
        (message,) = await trainings(training)
        assert sent(training, message["ts"])[-1].method == "chat.update"
        await training.press("keep")
        await training.sees("Done:")
        await up_to_training(training, runs=2)
        await streaming(training, runs=2)


async def test_a_refusal_in_the_middle_ends_streaming_for_good_and_loses_nothing(
    training: SlackSurface,
) -> None:
    training.slack.proxy.fault("error", "chat.appendStream", error="invalid_chunks")
    async with training.process():
        await up_to_training(training)
        await streaming(training)
        await release(training)
        await training.sees("Trained 2 epochs")
        await training.sees("Publish?")
        (message,) = await trainings(training)
        assert sent(training, message["ts"])[-1].method == "chat.update"
        await training.press("keep")
        await training.sees("Done:")
        await up_to_training(training, runs=2)
        await release(training, runs=2)
        await training.sees("Publish?", times=2)
        assert len(await trainings(training)) == 2
    assert len(training.slack.calls("chat.startStream")) == 1


async def test_the_stream_of_a_run_that_was_cancelled_is_stopped(training: SlackSurface) -> None:
    async with training.process():
        await up_to_training(training)
        await epoch_is_streamed(training)
        await training.say("cancel")
        await training.sees("Cancelled")
        (call,) = await training.slack.until(lambda: training.slack.calls("chat.stopStream"))
    assert statuses(training, call.args["ts"]) == {"now": "error", "epoch-1": "complete"}


# -- where it has none -----------------------------------------------------------------------------------------


async def test_without_streams_the_training_is_posted_once_and_edited_and_slack_is_asked_once(
    office: SlackSurface,
) -> None:
    async with office.process():
        for n in (1, 2):
            await up_to_training(office, runs=n)
            await office.sees("Publish?", times=n)
            await office.press("keep")
            await office.sees("Done:", times=n)
    (asked,) = office.slack.calls("chat.startStream")
    assert asked.response["error"] == "unknown_method"
    assert not office.slack.calls("chat.appendStream")
    assert not office.slack.calls("chat.stopStream")
    assert len(await trainings(office)) == 2


# -- Streams alone, against the local Slack ----------------------------------------------------------------------


def card(done: float = 1, **changes: Any) -> Card:
    epochs = Table((Column("Epoch"), Column("train loss"), Column("macro-F1")), (("1", "0.61", "0.83"),))
    made = Card("training:1", "r1", "Training", (Progress(done, 10, "loss 0.5"), epochs), live=True)
    return replace(made, **changes)


class Hands:
    """``Streams`` of the local Slack, with a clock that is set by hand."""

    def __init__(self, slack: World, thread: str) -> None:
        self.slack = slack
        self.now_s = 1000.0
        self.address = Address(TEAM, ML, thread)
        client = AsyncWebClient(token=BOT_TOKEN, base_url=slack.api_url)
        pacer = Pacer(lambda: self.now_s, self._wait)
        self.streams = Streams(client, pacer, lambda: self.now_s)

    async def _wait(self, seconds: float) -> None:
        self.now_s += seconds

    async def start(self, shown: Card) -> str | None:
        return await self.streams.start(shown, self.address, ALICE)

    async def go_on(self, handle: str, shown: Card) -> bool:
        return await self.streams.go_on(handle, shown, METADATA, lambda: render(shown).blocks)


@pytest.fixture
async def hands(slack: World) -> Hands:
    slack.proxy.methods.streaming = True
    root = await slack.slack.api("chat.postMessage", {"channel": ML, "text": "root"})
    return Hands(slack, root["ts"])


async def test_an_unchanged_card_costs_no_call(hands: Hands) -> None:
    handle = await hands.start(card())
    assert handle is not None
    assert await hands.go_on(handle, card())
    assert not hands.slack.calls("chat.appendStream")
    assert await hands.go_on(handle, card(done=2))
    (call,) = hands.slack.calls("chat.appendStream")
    assert [x["title"] for x in call.args["chunks"]] == ["20 %, loss 0.5"]


async def test_a_stream_is_stopped_before_slack_ends_it(hands: Hands) -> None:
    handle = await hands.start(card())
    assert handle is not None
    hands.now_s += streams.LIFE_S + 1
    assert not await hands.go_on(handle, card(done=2))
    assert len(hands.slack.calls("chat.stopStream")) == 1
    assert not await hands.go_on(handle, card(done=3))
    assert not hands.slack.calls("chat.appendStream")


async def test_a_stream_of_too_many_tasks_becomes_a_message(hands: Hands) -> None:
    handle = await hands.start(card())
    assert handle is not None
    rows = tuple((str(n), "0.5", "0.8") for n in range(streams.MOST_TASKS))
    long = card(blocks=(Table(card().blocks[1].columns, rows),))  # type: ignore[union-attr]
    assert not await hands.go_on(handle, long)
    assert not hands.slack.calls("chat.appendStream")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: replace(c, key="evaluation"),
        lambda c: replace(c, live=False),
    ],
)
async def test_other_cards_are_posted(hands: Hands, change: Callable[[Card], Card]) -> None:
    assert await hands.start(change(card())) is None
    assert not hands.slack.calls("chat.startStream")


async def test_there_is_no_stream_outside_a_thread_or_without_somebody_who_asked(hands: Hands) -> None:
    assert await hands.streams.start(card(), Address(TEAM, ML), ALICE) is None
    assert await hands.streams.start(card(), hands.address, "") is None
    assert not hands.slack.calls("chat.startStream")


async def test_starts_keep_below_twenty_a_minute_and_few_streams_are_open(hands: Hands) -> None:
    began_s, started = hands.now_s, []
    while hands.now_s < began_s + streams.LIFE_S - 1:
        if handle := await hands.start(card()):
            started.append((hands.now_s, handle))
        hands.now_s += 0.5
    at_once = [h for at, h in started if at < began_s + 60]
    assert len(at_once) == streams.MOST_OPEN
    assert len(started) == streams.MOST_OPEN  # none was stopped, so no other one has room
    for handle in at_once:
        assert await hands.go_on(handle, card(live=False))
    again = [await hands.start(card()) for _ in range(30)]
    assert sum(h is not None for h in again) <= streams.STARTS_PER_MINUTE


async def test_stops_that_settle_carry_what_the_message_is(hands: Hands) -> None:
    handle = await hands.start(card())
    assert handle is not None
    done = card(blocks=(Text("Trained 1 epoch."),), live=False, tone=Tone.GOOD, fallback="Trained 1 epoch.")
    assert await hands.go_on(handle, done)
    (call,) = hands.slack.calls("chat.stopStream")
    assert call.args["metadata"] == METADATA
    assert call.args["blocks"] == render(done).blocks
    assert [x["status"] for x in call.args["chunks"]] == ["complete"]


async def test_a_failed_training_ends_with_an_error(hands: Hands) -> None:
    handle = await hands.start(card())
    assert handle is not None
    assert await hands.go_on(handle, card(live=False, tone=Tone.BAD, fallback="Failed (out of memory)"))
    (call,) = hands.slack.calls("chat.stopStream")
    assert [(x["title"], x["status"]) for x in call.args["chunks"]] == [("Failed (out of memory)", "error")]


async def test_a_channel_that_is_gone_is_said_and_streams_stay_on(hands: Hands) -> None:
    hands.slack.proxy.fault("error", "chat.startStream", error="is_archived")
    with pytest.raises(PlaceGone):
        await hands.start(card())
    assert hands.streams.available
    assert await hands.start(card()) is not None


async def test_a_stream_is_found_by_its_tasks(hands: Hands) -> None:
    handle = await hands.start(card())
    assert handle is not None
    answer = await hands.slack.slack.api("conversations.replies", {"channel": ML, "ts": hands.address.thread})
    found = [m["ts"] for m in answer["messages"] if is_stream_of(m, "r1", "training:1")]
    assert found == [message_of(handle)[1]]
    assert not any(is_stream_of(m, "r1", "training:2") for m in answer["messages"])
    assert not any(is_stream_of(m, "r", "training:1") for m in answer["messages"])


# -- tasks -------------------------------------------------------------------------------------------------------


def test_tasks_say_how_far_it_is_the_epochs_and_the_warnings() -> None:
    shown = card(blocks=(*card().blocks, Bullets(("The loss rises.",), Style.WARN)))
    assert [(t.title, t.status, t.details) for t in tasks_of(shown)] == [
        ("10 %, loss 0.5", "in_progress", ""),
        ("Epoch 1", "complete", "train loss 0.61, macro-F1 0.83"),
        ("Warning: The loss rises.", "error", ""),
    ]


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_a_task_can_be_parsed(text: str) -> None:
    table = Table((Column("Epoch"), Column(text)), ((text, text),))
    shown = card(blocks=(Progress(1, 2, text), table, Bullets((text,), Style.WARN)))
    for said in (part for t in tasks_of(shown) for part in (t.title, t.details)):
        assert not set(said) & set("<>&[]`*~")
        assert len(said.encode("utf-16-le")) // 2 <= 256
        assert not re.search(r"[@#]\w|://\w|www\.\w", said)
