"""Slack misbehaves: retries, lost answers, limits, outages, two processes, a bot that dies. Nothing is done twice."""

from __future__ import annotations

import asyncio
from typing import Any

from graph.names import RunStatus
from remote.backends.fake import Hold
from tests.bot.slack.surface import SlackSurface
from tests.graph.world import PROGRESS, SENTENCE
from tests.slack.server import ALICE, BOB, CAROL, ML
from tests.slack.world import elements, shown


async def runs(office: SlackSurface) -> list[Any]:
    return await office.app.dispatch.runs()


async def test_an_event_that_slack_repeats_starts_one_run(office: SlackSurface) -> None:
    async with office.process():
        await office.slack.mention(ALICE, ML, SENTENCE)
        await office.sees("Which data shall I use?")
        (first,) = office.slack.deliveries("events_api", "app_mention")
        again = await office.slack.gateway.again(first)
        assert again.acked
        await office.slack.command(ALICE, ML, "runs")
        await office.is_told("Your runs")
        assert len(await runs(office)) == 1


async def test_a_click_that_slack_repeats_decides_once_and_says_nothing(office: SlackSurface) -> None:
    async with office.process():
        await office.start(SENTENCE)
        await office.sees("Which data shall I use?")
        message, action_id = await office._button("use:1", -1)
        delivery = await office.slack.click(ALICE, message, action_id)
        await office.sees("Train on")
        await office.slack.gateway.again(delivery)
        await office.press("approve")
        await office.sees("Publish?")
        assert not any("already" in shown(m) for m in await office.slack.ephemerals(ALICE))


async def test_two_clicks_at_once_make_one_decision(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.sees("Which data shall I use?")
        message, first = await office._button("use:1", -1)
        _, second = await office._button("use:2", -1)
        await asyncio.gather(
            office.slack.click(BOB, message, first), office.slack.click(CAROL, message, second)
        )
        await office.sees("Train on")
        (run,) = await runs(office)
        decided = await app.deps.store.decisions(run.id)
        assert len(decided) == 1
        loser = CAROL if decided[0].actor == BOB else BOB

        async def told() -> bool:
            return any("already decided" in shown(m) for m in await office.slack.ephemerals(loser))

        await office.slack.until(told)


async def test_a_post_whose_answer_is_lost_is_not_posted_again(office: SlackSurface) -> None:
    office.slack.proxy.fault("lost", "chat.postMessage", times=3, skip=2)
    async with office.process():
        await office.start(SENTENCE)
        await office.sees("Which data shall I use?")
        seen = await office.messages()
    for words in ("What I understood", "Data that could serve", "Which data"):
        assert sum(words in text for text in seen) == 1, words


async def test_an_upload_whose_answer_is_lost_is_not_repeated(office: SlackSurface) -> None:
    office.slack.proxy.fault("lost", "files.completeUploadExternal")
    async with office.process():
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.sees("Train on")
        names = [u.name for u in await office.slack.uploads()]
    assert len(names) == len(set(names)) > 0


async def test_slack_asks_for_patience_and_gets_it(office: SlackSurface) -> None:
    office.slack.proxy.fault("ratelimited", "chat.postMessage", times=2, retry_after_s=1)
    async with office.process():
        await office.start(SENTENCE)
        await office.sees("Which data shall I use?")
        calls = office.slack.calls("chat.postMessage")
        refused = [n for n, call in enumerate(calls) if call.fault == "ratelimited"]
        assert refused
        for n in refused:
            assert calls[n + 1].at_s - calls[n].at_s >= 1.0


async def test_slack_is_down_and_the_run_goes_on_and_the_thread_catches_up(office: SlackSurface) -> None:
    office.jobs.script["train"] = Hold(office.jobs.script["train"], events=PROGRESS)
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.press("approve")
        await office.sees("Training")
        (run,) = await runs(office)
        async with office.slack.proxy.outage():
            assert office.jobs.backend is not None
            office.jobs.backend.release(office.jobs.backend.jobs[-1].key)
            while (await app.dispatch.find(run.id)).status is not RunStatus.WAITING:
                await asyncio.sleep(0)
        await office.sees("Publish?")
        seen = await office.messages()
    for words in ("On rows never trained on", "Under attack", "The files"):
        assert sum(words in text for text in seen) == 1, words


async def test_a_workspace_without_the_native_blocks_gets_plain_ones(office: SlackSurface) -> None:
    office.slack.proxy.refused_blocks = {"table", "plan", "task_card"}
    async with office.process():
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.press("approve")
        await office.sees("Publish?")
    refused = [
        c for c in office.slack.calls("chat.postMessage") if c.response.get("error") == "invalid_blocks"
    ]
    assert len(refused) == 1  # it is remembered


async def test_a_message_that_somebody_deleted_is_posted_anew(office: SlackSurface) -> None:
    async with office.process():
        await office.start(SENTENCE)
        await office.sees("Which data shall I use?")
        (question,) = [m for m in await office.slack.messages(ML) if "Which data" in shown(m)]
        office.slack.proxy.fault(
            "error", "chat.update", error="message_not_found", where=lambda args: args["ts"] == question["ts"]
        )
        await office.press("use:1")
        await office.sees("Decided", times=1)
        await office.sees("Train on")


async def test_an_archived_channel_is_told_in_a_direct_message(office: SlackSurface) -> None:
    async with office.process():
        await office.start(SENTENCE)
        await office.sees("Which data shall I use?")
        in_channel = lambda args: args.get("channel") == ML  # noqa: E731
        office.slack.proxy.fault(
            "error", "chat.(postMessage|update)", times=99, error="is_archived", where=in_channel
        )
        await office.press("use:1")
        call = await office.slack.until(lambda: office.slack.calls("chat.postMessage", channel=ALICE))
        assert "can no longer write" in call[0].args["text"]


async def test_two_processes_post_once_and_the_second_takes_over(office: SlackSurface) -> None:
    other = SlackSurface(office.slack, office.jobs)
    async with office.process():
        async with other.process():
            await office.start(SENTENCE)
            await office.sees("Which data shall I use?")
            assert sum("What I understood" in text for text in await office.messages()) == 1
        await office.press("use:1")
        await office.sees("Train on")
    seen = await office.messages()
    assert sum("Train on" in text for text in seen) == 1


async def test_what_a_dead_process_had_taken_in_is_handled_at_the_next_start(office: SlackSurface) -> None:
    async with office.process() as app:
        memory = app.memory("slack")
        await office.slack.command(ALICE, ML, "runs")
        await office.is_told("No runs yet")
    (call,) = [d for d in office.slack.deliveries("slash_commands") if d.payload["text"] == "runs"]
    from bot.slack import read

    incoming = read.command(call.payload | {"text": SENTENCE, "trigger_id": "t2"})
    assert incoming is not None
    async with office.process() as app:
        memory = app.memory("slack")
        await memory.accept(incoming.key, incoming.dump() | {"new_id": "r222222"}, app.deps.at())
        async with app.deps.store.transaction() as db:  # type: ignore[attr-defined]
            await db.execute("UPDATE inbox SET holder = ? WHERE key = ?", ("elsewhere/1:1", incoming.key))
            await db.execute("UPDATE inbox SET at = '2000' WHERE key = ?", (incoming.key,))
    async with office.process():
        await office.sees("Which data shall I use?")
        assert [run.id for run in await runs(office)] == ["r222222"]


async def test_every_acknowledgement_comes_in_time(office: SlackSurface) -> None:
    office.slack.proxy.fault("slow", "chat.postMessage", times=99)
    async with office.process():
        await asyncio.gather(*(office.slack.command(ALICE, ML, f"{SENTENCE} {n}") for n in range(10)))
        for fault in office.slack.proxy.faults:
            fault.release()
        assert all(d.ack_s is not None and d.ack_s < 3 for d in office.slack.deliveries("slash_commands"))

        async def all_started() -> bool:
            return len(await runs(office)) == 10

        await office.slack.until(all_started)


async def test_only_those_who_are_needed_are_mentioned(office: SlackSurface) -> None:
    async with office.process(INTERN_PUBLISH_TO="folder:/models"):
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.press("approve")
        await office.sees("Publish?")
    posted = [call.args["text"] for call in office.slack.calls("chat.postMessage")]
    data, plan, publish = [text for text in posted if "<@" in text]  # the three questions
    assert {f"<@{ALICE}>", f"<@{BOB}>", f"<@{CAROL}>"} <= set(publish.split())
    assert f"<@{BOB}>" not in data + plan  # nothing to approve: it is free
    assert not any("<@" in call.args["text"] for call in office.slack.calls("chat.update"))


async def test_a_decided_question_has_no_buttons_left(office: SlackSurface) -> None:
    async with office.process():
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.sees("Train on")
        (decided,) = [m for m in await office.slack.messages(ML) if "Which data" in shown(m)]
        assert elements(decided["blocks"]) == []
        assert "alice" in shown(decided).casefold()
