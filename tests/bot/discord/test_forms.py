"""Forms, menus and completions: what they open, and what of them starts or answers."""

from __future__ import annotations

from typing import Any

import pytest
from simcord.results import InteractionResult

from bot.discord import modals
from bot.discord.claims import Claim
from bot.discord.modals import GOAL_CHARS
from tests.bot.discord.surface import DiscordSurface
from tests.contract.surface import APPROVER, ASKER
from tests.graph.world import SENTENCE

CSV = b"text,label\n" + b"good thing,pos\nbad thing,neg\n" * 50


async def form(server: DiscordSurface, verb: str) -> InteractionResult:
    """Opened by the newest button of that kind."""
    for versions in reversed(list(server.world.versions.values())):
        for claim, _ in server.claims(versions[-1]["components"]):
            if claim.verb == verb:
                return await server.click(versions[-1], claim.dump())
    raise AssertionError(f"no button {verb}")


async def submit(server: DiscordSurface, shown: InteractionResult, **values: Any) -> None:
    assert shown.modal is not None
    result = await server.world.people[ASKER].submit_modal(shown, values)
    server.results.setdefault(ASKER, []).append(result)


async def test_the_empty_form_starts_a_run(server: DiscordSurface) -> None:
    async with server.process() as app:
        shown = await server.world.people[ASKER].slash(server.world.channel, "intern run")
        await submit(
            server, shown, goal="Tell good from bad", metric=["accuracy"], budget="0", file=("d.csv", CSV)
        )
        await server.sees("d.csv")
        (run,) = await app.dispatch.runs()
        assert run.request.sentence == "Tell good from bad. I care about accuracy."
        assert run.request.budget_usd == 0
        assert run.request.data is not None
        assert run.request.data.endswith("d.csv")


async def test_a_form_is_understood_after_a_restart(server: DiscordSurface) -> None:
    async with server.process():
        shown = await server.world.people[ASKER].slash(server.world.channel, "intern run")
    async with server.process() as app:
        await submit(server, shown, goal=SENTENCE)
        await server.sees("Which data shall I use?")
        (run,) = await app.dispatch.runs()
        assert (run.request.sentence, run.status) == (SENTENCE, "waiting")


async def test_a_form_with_a_budget_that_is_no_number_is_refused_in_a_sentence(
    server: DiscordSurface,
) -> None:
    async with server.process() as app:
        shown = await server.world.people[ASKER].slash(server.world.channel, "intern run")
        await submit(server, shown, goal=SENTENCE, budget="as little as you can")
        await server.is_told("Budget has to be a number of US dollars")
        assert await app.dispatch.runs() == []


async def test_train_on_this_file(server: DiscordSurface) -> None:
    async with server.process() as app:
        alice = server.world.people[ASKER]
        message = await alice.send(
            server.world.channel, "here it is", attachments=[("notes.pdf", b"%"), ("t.csv", CSV)]
        )
        shown = await alice.context_menu(server.world.channel, "Train on this file", message)
        assert shown.modal is not None
        assert "t.csv" in str(shown.modal)
        await submit(server, shown, goal="Tell good from bad")
        await server.sees("t.csv")
        (run,) = await app.dispatch.runs()
        assert run.request.data is not None
        assert run.request.data.endswith("t.csv")


async def test_train_on_this_file_without_a_file_is_answered(server: DiscordSurface) -> None:
    async with server.process() as app:
        alice = server.world.people[ASKER]
        message = await alice.send(server.world.channel, "nothing here")
        result = await alice.context_menu(server.world.channel, "Train on this file", message)
        server.results[ASKER] = [result]
        await server.is_told("no file that I can read")
        assert await app.dispatch.runs() == []


async def test_a_change_in_words_plans_anew(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.sees("Train on")
        await submit(server, await form(server, "words"), words="epochs=1")
        await server.sees("Train on", times=2)
        (run,) = await app.dispatch.runs()
        assert [d.value for d in await app.deps.store.decisions(run.id)] == ["use:1", "change epochs=1"]
        old, new = [text for text in await server.messages() if "The plan" in text]
        assert old != new
        assert "epochs       1  asked for" in new


async def test_editing_the_task_stops_the_run_and_starts_another(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        await submit(server, await form(server, "edit"), goal="Tell angry from friendly reviews")
        await server.sees("Which data shall I use?", times=2)
        new, old = await app.dispatch.runs()
        assert (old.status, new.request.parent_run) == ("cancelled", old.id)
        assert new.request.sentence == "Tell angry from friendly reviews"


async def test_a_model_is_tried_in_a_form(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.press("approve", APPROVER)
        await server.press("keep")
        await server.sees("Done:")
        await submit(server, await form(server, "try"), words="does it work?")
        await server.is_told("unlike what the model was trained on")
        said = [
            text for text in [*server._private(ASKER), *await server.messages()] if "The model says" in text
        ]
        assert len(said) == 1
        assert "Answer:** positive" in said[0]
        assert "93.0 %" in said[0]


async def test_a_question_that_is_decided_opens_no_form(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.sees("Train on")
        (words,) = [
            (versions[-1], claim)
            for versions in server.world.versions.values()
            for claim, _ in server.claims(versions[-1]["components"])
            if claim.verb == "words"
        ]
        await server.press("approve", APPROVER)
        await server.press("keep")
        await server.sees("Done:")
        answered = await server.click(words[0], words[1].dump())
        assert answered.modal is None
        await server.is_told("no longer open")


async def test_runs_are_completed_as_one_types(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (run,) = await app.dispatch.runs()
        alice, channel = server.world.people[ASKER], server.world.channel
        for typed in ("", run.id[:3], "POSITIVE"):
            (choice,) = await alice.autocomplete(channel, "intern status", "run", typed)
            assert choice["value"] == run.id
            assert choice["name"].startswith(f"{run.id} · Tell positive")
        assert await alice.autocomplete(channel, "intern cancel", "run", "zzz") == []


@pytest.mark.parametrize("long", ["", "x" * 10_000])
async def test_every_form_keeps_discords_limits(long: str) -> None:
    forms = [
        modals.start(),
        modals.start("1" * 20 + "/" + "2" * 20, long),
        modals.edit("r7k2mc", long),
        modals.words("r7k2mc", long, long),
        modals.try_it("r7k2mc"),
    ]
    for made in forms:
        said = made.to_dict()
        assert len(said["title"]) <= 45
        assert len(said["components"]) <= 5
        Claim.load(said["custom_id"])
        for label in said["components"]:
            assert len(label.get("label", "")) <= 45
            assert len(label.get("description") or "") <= 100
            field = label.get("component", {})
            assert len(field.get("placeholder") or "") <= 100
            assert len(field.get("value") or "") <= GOAL_CHARS
        assert made.is_finished()  # discord.py keeps none of them
