"""One suite for every surface: what a team can count on, whatever it types into."""

from __future__ import annotations

import asyncio

import pytest

from graph.names import RunStatus
from remote.backends.fake import Failure, Hold, Reply
from remote.protocol import FailureKind, JobEventType
from tests.contract.surface import APPROVER, ASKER, OTHER_APPROVER, STRANGER, Surface
from tests.graph.world import PROGRESS, SENTENCE

PUBLISH_TO = "folder:/models"


@pytest.fixture(params=["console", "slack", "discord"])
def surface(request: pytest.FixtureRequest) -> Surface:
    found: Surface = request.getfixturevalue(f"{request.param}_surface")
    return found


async def status(surface: Surface) -> RunStatus:
    return (await surface.app.dispatch.runs())[0].status


async def becomes(surface: Surface, wanted: RunStatus) -> None:
    """The last word is said a moment before the run is marked as done."""
    async with asyncio.timeout(10):
        while await status(surface) is not wanted:
            await asyncio.sleep(0.01)


async def up_to_the_plan(surface: Surface) -> None:
    await surface.start(SENTENCE)
    await surface.sees("Which data shall I use?")
    await surface.press("use:1")
    await surface.sees("Train on")


async def up_to_publishing(surface: Surface) -> None:
    await up_to_the_plan(surface)
    await surface.press("approve", APPROVER)
    await surface.sees("Publish?")


async def test_from_words_to_publication(surface: Surface) -> None:
    async with surface.process(INTERN_PUBLISH_TO=PUBLISH_TO):
        await up_to_publishing(surface)
        await surface.press("private", APPROVER)
        await surface.sees("Done:")
        await becomes(surface, RunStatus.DONE)
    assert surface.jobs.publisher.published[0][:2] == (PUBLISH_TO, True)


async def test_a_card_stands_there_once_and_is_edited(surface: Surface) -> None:
    async with surface.process():
        await up_to_publishing(surface)
        await surface.press("keep")
        await surface.sees("Done:")
        seen = await surface.messages()
    for words in (
        "What I understood",
        "The data, checked",
        "The plan",
        "On rows never trained on",
        *(("Train on",) if surface.edits else ()),
    ):
        assert sum(words in text for text in seen) == 1, words


async def test_nothing_is_posted_twice_or_missed_over_a_restart_at_each_question(surface: Surface) -> None:
    async with surface.process():
        await surface.start(SENTENCE)
        await surface.sees("Which data shall I use?")
    async with surface.process():
        await surface.press("use:1")
        await surface.sees("Train on")
    async with surface.process():
        await surface.press("approve", APPROVER)
        await surface.sees("Publish?")
    async with surface.process():
        await surface.press("keep")
        await surface.sees("Done:")
        seen = await surface.messages()
    questions = ("Which data", "Train on", "Publish?") if surface.edits else ()
    for words in ("What I understood", "The plan", "Done:", *questions):
        assert sum(words in text for text in seen) == 1, words
    assert surface.jobs.backend is not None
    assert len({job.key for job in surface.jobs.backend.jobs}) == len(surface.jobs.backend.jobs)


async def test_a_decision_made_while_the_surface_was_away_is_shown(surface: Surface) -> None:
    async with surface.process() as app:
        await surface.start(SENTENCE)
        await surface.sees("Which data shall I use?")
        run = (await app.dispatch.runs())[0]
        await app.dispatch.decide(run.id, "use:2", actor="root", surface="console")
        await surface.sees("root")
        await surface.sees("Train on")


async def test_a_stranger_decides_nothing(surface: Surface) -> None:
    if not surface.many_people:
        pytest.skip("nobody else can be there")
    async with surface.process():
        await surface.start(SENTENCE)
        await surface.sees("Which data shall I use?")
        await surface.press("use:1", STRANGER)
        await surface.is_told("Only", STRANGER)
        await surface.say("cancel", STRANGER)
        assert await status(surface) is RunStatus.WAITING


async def test_who_asked_may_not_publish_alone(surface: Surface) -> None:
    if not surface.many_people:
        pytest.skip("who sits at the machine is an approver")
    async with surface.process(INTERN_PUBLISH_TO=PUBLISH_TO):
        await up_to_publishing(surface)
        await surface.press("public", ASKER)
        await surface.is_told("Only an approver can publish")
        assert surface.jobs.publisher.published == []
        assert await status(surface) is RunStatus.WAITING


async def test_money_needs_an_approver_and_a_big_sum_another_one(surface: Surface) -> None:
    if not surface.many_people:
        pytest.skip("who sits at the machine is an approver")
    surface.jobs.usd_per_hour = 60.0
    async with surface.process(INTERN_TWO_PERSON_USD="0.50"):
        await surface.start("Tell positive from negative product reviews, spend at most $5.", APPROVER)
        await surface.sees("Which data shall I use?")
        await surface.press("use:1", APPROVER)
        await surface.sees("$1.00")
        await surface.press("approve", APPROVER)
        await surface.is_told("somebody else", APPROVER)
        await surface.press("approve", OTHER_APPROVER)
        await surface.sees("Publish?")


async def test_the_second_click_is_told_who_was_first(surface: Surface) -> None:
    if not surface.many_people:
        pytest.skip("nobody else can be there")
    async with surface.process():
        await up_to_the_plan(surface)
        await surface.press("approve", APPROVER)
        await surface.sees("Publish?")
        await surface.press("cancel", OTHER_APPROVER, question=1)
        await surface.is_told("already decided", OTHER_APPROVER)


async def test_a_button_of_an_older_plan_is_refused(surface: Surface) -> None:
    async with surface.process():
        await up_to_the_plan(surface)
        await surface.say("epochs=1")
        await surface.sees("Train on", times=2)
        if surface.name == "console":
            return  # a terminal has no old buttons
        await surface.press("approve", APPROVER, question=1)
        await surface.is_told("already decided", APPROVER)
        assert await status(surface) is RunStatus.WAITING
        await surface.press("approve", APPROVER)
        await surface.sees("Publish?")


async def test_words_answer_a_question(surface: Surface) -> None:
    async with surface.process():
        await surface.start(SENTENCE)
        await surface.sees("Which data shall I use?")
        await surface.say("use the second data set")
        await surface.sees("Product reviews 2", times=2)


async def test_data_that_cannot_be_had_is_a_question(surface: Surface) -> None:
    async with surface.process():
        await surface.start(f"{SENTENCE} Use the data set ada/gone.")
        await surface.sees("neither a file here nor a data set's name")
        await surface.press("retry")
        await surface.sees("neither a file here nor a data set's name", times=2)
        await surface.press("more")
        await surface.sees("Found in the catalogue")
        await surface.press("use:1")
        await surface.sees("Train on")


async def test_words_that_fit_nothing_are_answered(surface: Surface) -> None:
    async with surface.process():
        await up_to_the_plan(surface)
        await surface.say("lorem ipsum dolor")
        await surface.is_told("change")
        assert await status(surface) is RunStatus.WAITING


async def test_a_run_is_cancelled_in_words_while_it_trains(surface: Surface) -> None:
    surface.jobs.script["train"] = Hold(events=PROGRESS)
    async with surface.process():
        await up_to_the_plan(surface)
        await surface.press("approve", APPROVER)
        await surface.sees("Training")
        await surface.say("cancel")
        await surface.sees("Cancelled")
    assert surface.jobs.backend is not None
    assert surface.jobs.backend.cancelled


async def test_a_failure_is_told_in_a_sentence(surface: Surface) -> None:
    surface.jobs.script["audit"] = Failure(FailureKind.DATA_ERROR, "Only one class is left.")
    async with surface.process():
        await surface.start(SENTENCE)
        await surface.sees("Which data shall I use?")
        await surface.press("use:1")
        await surface.sees("Only one class is left.")
        assert not any("Traceback" in text for text in await surface.messages())


async def test_why_is_answered_with_reasons(surface: Surface) -> None:
    async with surface.process():
        await up_to_the_plan(surface)
        await surface.say("why?")
        await surface.is_told("usual")  # the recipe's reason for the epochs


async def test_a_suggestion_starts_a_child_run(surface: Surface) -> None:
    async with surface.process() as app:
        await up_to_publishing(surface)
        await surface.press("keep")
        await surface.sees("Done:")
        parent = (await app.dispatch.runs())[0]
        await surface.press("suggestion:fewer_epochs")
        await surface.sees("Goes on from run", 1)
        child = (await app.dispatch.runs())[0]
        assert (child.request.parent_run, dict(child.request.overrides)) == (parent.id, {"epochs": 1})


async def test_the_model_can_be_tried(surface: Surface) -> None:
    async with surface.process():
        await up_to_publishing(surface)
        await surface.press("keep")
        await surface.sees("Done:")
        await surface.say("try: does it work?")
        await surface.is_told("unlike")


HOSTILE = "<!channel> @everyone <@U0BOB> [click](https://evil.example) *bold* `code` </script> \u202egnp.exe"


async def test_what_data_says_is_shown_as_it_is(surface: Surface) -> None:
    surface.jobs.script["inspect"] = Reply({"rows": 1})
    surface.jobs.script["audit"] = surface.jobs.script["audit"].__class__(
        {
            **surface.jobs.script["audit"].result,
            "findings": [{"kind": "k", "severity": "warning", "detail": HOSTILE, "done": ""}],
        },
        files=surface.jobs.script["audit"].files,
    )
    async with surface.process():
        await up_to_the_plan(surface)
        await surface.sees("evil.example")
    for text in await surface.messages():
        assert "\u202e" not in text


async def test_progress_edits_one_message(surface: Surface) -> None:
    many = [
        (JobEventType.PROGRESS, {"step": i, "total": 200, "metrics": {"loss": 1.0}}) for i in range(1, 200)
    ]
    surface.jobs.script["train"] = Reply(
        surface.jobs.script["train"].result, events=many, files=surface.jobs.script["train"].files
    )
    async with surface.process():
        await up_to_publishing(surface)
        assert sum("Training" in text and "epoch" in text.lower() for text in await surface.messages()) <= 3
