"""The forms, the shortcut, App Home, trying a model and changing course in the thread."""

from __future__ import annotations

from tests.bot.slack.surface import SlackSurface
from tests.contract.surface import APPROVER
from tests.graph.world import SENTENCE
from tests.slack.server import ALICE, BOB, ML
from tests.slack.world import shown

CSV = b"text,label\n" + b"good thing,pos\nbad thing,neg\n" * 50


async def done(office: SlackSurface) -> None:
    await office.start(SENTENCE)
    await office.press("use:1")
    await office.press("approve", APPROVER)
    await office.press("keep")
    await office.sees("Done:")


async def test_an_empty_command_opens_a_form_that_starts_a_run(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.slack.command(ALICE, ML, "")
        await office.slack.until(office.slack.modal)
        values = {
            "goal": "Tell positive from negative reviews",
            "metric": "accuracy",
            "budget": "5",
            "minutes": "3",
        }
        await office.slack.submit_modal(ALICE, values)
        await office.sees("Which data shall I use?")
        (run,) = await app.dispatch.runs()
        assert (run.request.budget_usd, run.request.minutes) == (5.0, 3.0)
        assert "I care about accuracy" in run.request.sentence
        assert run.request.requester == ALICE


async def test_a_form_says_beside_the_field_what_is_wrong(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.slack.command(ALICE, ML, "")
        await office.slack.until(office.slack.modal)
        delivery = await office.slack.submit_modal(ALICE, {"goal": "Sort things by kind", "budget": "a lot"})
        assert "number of US dollars" in delivery.response["errors"]["budget"]
        assert await app.dispatch.runs() == []
        await office.slack.submit_modal(ALICE, {"goal": "Sort reviews by sentiment", "budget": "0"})
        await office.sees("Which data shall I use?")


async def test_the_shortcut_trains_on_the_file_of_a_message(office: SlackSurface) -> None:
    async with office.process() as app:
        ts = await office.slack.message(ALICE, ML, "our tickets", files={"tickets.csv": CSV})
        (message,) = [m for m in await office.slack.messages(ML) if m["ts"] == ts]
        await office.slack.shortcut(BOB, "train_on_file", {**message, "channel": ML})
        await office.slack.until(office.slack.modal)
        await office.slack.submit_modal(BOB, {"goal": "tell good from bad"})
        await office.sees("tickets.csv")
        (run,) = await app.dispatch.runs()
        assert run.request.data is not None
        assert run.request.requester == BOB


async def test_a_question_is_answered_in_words_in_a_form(office: SlackSurface) -> None:
    async with office.process():
        await office.start(SENTENCE)
        await office.press("use:1")
        await office.sees("Train on")
        await office.press("change")
        await office.slack.until(office.slack.modal)
        await office.slack.submit_modal(ALICE, {"words": "epochs=1"})
        await office.sees("Train on", times=2)


async def test_the_task_is_put_differently(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.sees("Which data")
        (task,) = [m for m in await office.slack.messages(ML) if "What I understood" in shown(m)]
        await office.slack.click(ALICE, task, "edit:task")
        modal = await office.slack.until(office.slack.modal)
        assert SENTENCE in str(modal)
        await office.slack.submit_modal(ALICE, {"goal": "Sort product reviews by rating, RMSE"})
        await office.sees("Cancelled")
        await office.sees("Which data", times=2)
        new, old = await app.dispatch.runs()
        assert new.request.parent_run == old.id


async def test_a_task_that_a_training_was_built_on_is_not_edited_any_more(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.sees("Which data")
        (old,) = [m for m in await office.slack.messages(ML) if "What I understood" in shown(m)]
        assert "edit:task" in str(old["blocks"])
        await office.press("use:1")
        await office.press("approve", APPROVER)
        await office.press("keep")
        await office.sees("Done:")
        (task,) = [m for m in await office.slack.messages(ML) if "What I understood" in shown(m)]
        assert "edit:task" not in str(task["blocks"])
        await office.slack.click(ALICE, old, "edit:task")  # by a client that has not heard of it
        await office.slack.until(office.slack.modal)
        await office.slack.submit_modal(ALICE, {"goal": "Sort product reviews by rating, RMSE"})
        await office.is_told("builds on this task already")
        assert len(await app.dispatch.runs()) == 1


async def test_the_model_is_tried_by_button_and_by_command(office: SlackSurface) -> None:
    async with office.process() as app:
        await done(office)
        (run,) = await app.dispatch.runs()
        (ended,) = [m for m in await office.slack.messages(ML) if "Done:" in shown(m)]
        await office.slack.click(BOB, ended, "try")
        await office.slack.until(office.slack.modal)
        await office.slack.submit_modal(BOB, {"words": "works like a charm"})
        await office.sees("93.0 %")
        await office.slack.command(BOB, ML, f"try {run.id} works like a charm")
        await office.is_told("unlike what the model was trained on", APPROVER)


async def test_a_change_after_the_plan_is_offered_as_a_new_run(office: SlackSurface) -> None:
    async with office.process() as app:
        await done(office)
        await office.say("make it smaller")
        offer = await office.slack.until(lambda: office.slack.ephemerals(ALICE))
        await office.slack.click(ALICE, offer[-1], "again:0:make it smaller")
        await office.sees("Goes on from run")
        child, parent = await app.dispatch.runs()
        assert child.request.parent_run == parent.id
        assert child.request.overrides["epochs"] == 1


async def test_a_wish_before_the_plan_is_planned_with(office: SlackSurface) -> None:
    async with office.process() as app:
        await office.start(SENTENCE)
        await office.sees("Which data")
        await office.say("use 1 epoch")
        await office.sees("I'll plan with it")
        await office.press("use:1")
        await office.sees("Train on")
        (run,) = await app.dispatch.runs()
        assert dict(run.wishes) == {"epochs": 1}
        assert any("asked for" in text for text in await office.messages())


async def test_app_home_shows_what_waits_my_runs_and_the_spend(office: SlackSurface) -> None:
    async with office.process():
        await office.slack.open_home(ALICE)
        empty = await office.slack.until(lambda: office.slack.home(ALICE))
        assert "None yet" in shown(empty)
        await office.start(SENTENCE)
        await office.sees("Which data")
        await office.slack.open_home(ALICE)

        async def full() -> bool:
            home = await office.slack.home(ALICE)
            return home is not None and "waits: " in shown(home) and "$0.00" in shown(home)

        await office.slack.until(full)
        await office.slack.open_home("U0MALLORY")
        other = await office.slack.until(lambda: office.slack.home("U0MALLORY"))
        assert "Nothing. I'll mention you" in shown(other)


async def test_a_direct_message_is_a_request_too(office: SlackSurface) -> None:
    async with office.process():
        channel, _ = await office.slack.direct(ALICE, SENTENCE)
        await office.slack.appears(channel, "Which data shall I use?")
