"""Whatever people type, attach and click: a clear answer to that person, and nothing lost or done twice."""

from __future__ import annotations

import json

import pytest

from bot.slack.buttons import ButtonValue
from tests.bot.slack.surface import SlackSurface
from tests.contract.surface import APPROVER, STRANGER
from tests.graph.world import SENTENCE
from tests.slack.server import ALICE, BOB, ELSEWHERE, MALLORY, ML
from tests.slack.world import shown

CSV = b"text,label\n" + b"good thing,pos\nbad thing,neg\n" * 50


async def told(office: SlackSurface, user: str = ALICE) -> str:
    async def found() -> str:
        return "\n".join(shown(m) for m in await office.slack.ephemerals(user))

    said: str = await office.slack.until(found)
    return said


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("frobnicate", "I can make nothing of “frobnicate”"),
        ("cancel", "Which run?"),
        ("cancel nonsense", "no run's name"),
        ("status r222222", "no run"),
        ("try r222222", "Which text?"),
        ("help", "/intern status"),
        ("runs", "No runs yet"),
        ("status", "None of your runs"),
        ("x " * 20_001, "over 40000 characters"),
    ],
)
async def test_a_command_that_starts_nothing_is_answered(
    office: SlackSurface, text: str, answer: str
) -> None:
    async with office.process():
        delivery = await office.slack.command(ALICE, ML, text)
        assert delivery.acked
        assert answer in await told(office)
        assert await office.app.dispatch.runs() == []


async def test_an_empty_mention_gets_help(office: SlackSurface) -> None:
    async with office.process():
        await office.slack.mention(ALICE, ML, "")
        assert "What I understand" in await told(office)


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ({"cat.png": b"png"}, "cannot read files like"),
        ({"a.csv": CSV, "b.csv": CSV}, "Attach one file"),
        ({"a.pdf": b"%PDF", "b.pdf": b"%PDF"}, "Attach one paper"),
    ],
)
async def test_a_file_that_is_no_data_is_refused(
    office: SlackSurface, files: dict[str, bytes], answer: str
) -> None:
    async with office.process():
        await office.slack.mention(ALICE, ML, SENTENCE, files=files)
        assert answer in await told(office)
        assert await office.app.dispatch.runs() == []


async def test_a_file_that_is_too_large_is_refused_before_it_is_fetched(
    office: SlackSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.chat.uploads.MAX_BYTES", 100)
    async with office.process():
        await office.slack.mention(ALICE, ML, SENTENCE, files={"data.csv": CSV})
        assert "at most" in await told(office)
        assert office.slack.calls("download") == []


async def test_an_attached_file_is_the_data(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.slack.mention(ALICE, ML, "tell good from bad", files={"My-data.csv": CSV})
        await office.sees("My-data.csv")
        (run,) = await app.dispatch.runs()
        assert run.request.data is not None
        assert run.request.data.startswith(str(app.deps.home / "uploads" / run.id))
        assert not any(
            str(app.deps.home) in text for text in await office.messages()
        )  # no path of this machine


async def test_an_attached_pdf_is_the_paper_beside_the_data(office: SlackSurface) -> None:
    async with office.process() as app:
        files = {"d.csv": CSV, "methods.pdf": b"%PDF-1.4 broken"}
        await office.slack.mention(ALICE, ML, "tell good from bad as in the paper", files=files)
        await office.sees("methods.pdf")
        (run,) = await app.dispatch.runs()
        uploads = app.deps.home / "uploads" / run.id
        assert (run.request.data, run.request.paper) == (
            str(uploads / "d.csv"),
            str(uploads / "methods.pdf"),
        )
        assert not any(str(app.deps.home) in text for text in await office.messages())


async def test_a_download_that_breaks_off_is_told(office: SlackSurface) -> None:
    office.slack.proxy.fault("refused", "download", times=9)
    async with office.process():
        await office.slack.mention(ALICE, ML, SENTENCE, files={"data.csv": CSV})
        assert "attach it again" in await told(office)


async def test_a_file_of_this_machine_is_out_of_reach(office: SlackSurface) -> None:
    secret = office.jobs.home / "secret.csv"
    office.jobs.home.mkdir()
    secret.write_bytes(CSV)
    async with office.process():
        await office.start(f"Sort tickets by label, the data is in {secret}")
        await office.sees("Attach the file")
        assert not any("good thing" in text for text in await office.messages())


async def test_a_channel_that_the_bot_cannot_join_asks_for_an_invitation(office: SlackSurface) -> None:
    office.slack.proxy.fault(
        "error", "conversations.join", times=9, error="method_not_supported_for_channel_type"
    )
    async with office.process():
        await office.slack.command(ALICE, ELSEWHERE, SENTENCE)
        assert "/invite" in await told(office)
        assert await office.app.dispatch.runs() == []


async def test_a_stale_plan_shows_the_new_price_and_refuses(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.sees("Train on")
        (run,) = await app.dispatch.runs()
        assert run.question is not None
        message, action_id = await office._button("approve", -1)
        old = ButtonValue(run.id, run.question.id, "approve", "0123456789ab").dump()
        await office.slack.click(BOB, message, action_id, value=old)
        assert "its price is now $0.00" in await told(office, BOB)
        assert await app.deps.store.decisions(run.id) == [
            d for d in await app.deps.store.decisions(run.id) if d.kind == "dataset"
        ]


@pytest.mark.parametrize("value", ["", "{}", "not json", json.dumps({"run": 1}), "x" * 2000])
async def test_a_button_that_was_tampered_with_does_nothing(office: SlackSurface, value: str) -> None:
    async with office.process():
        await office.start(SENTENCE)
        message, action_id = await office._button("use:1", -1)
        await office.slack.click(MALLORY, message, action_id, value=value)
        assert "no longer good" in await told(office, MALLORY)


async def test_a_choice_that_the_question_does_not_have_is_refused(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        message, action_id = await office._button("use:1", -1)
        (run,) = await app.dispatch.runs()
        assert run.question is not None
        made_up = ButtonValue(run.id, run.question.id, "use:99", None).dump()
        await office.slack.click(ALICE, message, action_id, value=made_up)
        await office.is_told("use:99")


async def test_a_click_on_a_run_that_is_over_is_told_so(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.sees("Train on")
        await office.press("cancel")
        await office.sees("Cancelled")
        await office.press("approve", APPROVER)
        await office.is_told("already decided", APPROVER)
        (run,) = await app.dispatch.runs()
        assert [d.value for d in await app.deps.store.decisions(run.id)] == ["use:1", "cancel"]
        assert not any("already decided" in text for text in await office.messages())


async def test_a_click_from_another_workspace_is_refused(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        message, action_id = await office._button("use:1", -1)
        delivery = await office.slack.click(STRANGER_ID, message, action_id)
        payload = json.loads(json.dumps(delivery.payload))
        payload["team"]["id"] = payload["user"]["team_id"] = "T0OTHER"
        payload["actions"][0]["action_ts"] = "99.9"
        await office.slack.gateway.inject("interactive", payload)

        async def found() -> bool:
            return any("another workspace" in shown(m) for m in await office.slack.ephemerals(STRANGER_ID))

        await office.slack.until(found)
        (run,) = await app.dispatch.runs()
        assert await app.deps.store.decisions(run.id) == []


STRANGER_ID = MALLORY


async def test_people_talk_in_the_thread_and_the_bot_keeps_quiet(office: SlackSurface) -> None:
    async with office.process():
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.press("approve")
        await office.press("keep")
        await office.sees("Done:")
        await office.say(f"<@{BOB}> have you seen this?")
        await office.say("lunch?")
        await office.say("status")
        await office.is_told("done")
        assert not any("can't read" in shown(m) for m in await office.slack.ephemerals(ALICE))


async def test_a_stranger_cancels_nothing(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.sees("Which data")
        (run,) = await app.dispatch.runs()
        await office.slack.command(MALLORY, ML, f"cancel {run.id}")
        await office.is_told("Only", STRANGER)
        assert (await app.dispatch.find(run.id)).cancel_requested_by is None
