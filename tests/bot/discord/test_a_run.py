"""A run in Discord, from the command to the publication, and what is Discord's own about it."""

from __future__ import annotations

import shutil

import discord
import pytest
from simcord.components import walk_components

from bot.discord.layout import mark_id
from graph.names import RunStatus
from graph.state import Request
from tests.bot.discord.surface import DiscordSurface
from tests.contract.surface import APPROVER, ASKER, STRANGER
from tests.graph.world import SENTENCE

CSV = b"text,label\n" + b"good thing,pos\nbad thing,neg\n" * 50


async def to_the_end(server: DiscordSurface) -> None:
    await server.start(SENTENCE)
    await server.press("use:1")
    await server.sees("Train on")
    await server.press("approve", APPROVER)
    await server.sees("Publish?")
    await server.press("private", APPROVER)
    await server.sees("Done:")


async def test_the_channel_has_one_card_and_the_thread_below_it_all_others(server: DiscordSurface) -> None:
    async with server.process(INTERN_PUBLISH_TO="folder:/models") as app:
        await to_the_end(server)
        (run,) = await app.dispatch.runs()
        (thread,) = server.world.threads()
        assert thread.name is not None
        assert thread.name.startswith("Tell positive from negative")
        assert thread.name.endswith(f" · {run.id}")
        assert await app.memory("discord").place_of(run.id) == (
            f"{server.world.guild.id}/{server.world.channel.id}/{thread.id}"
        )
    places = [m.channel_id for m in server.world.all_messages()]
    assert places.count(server.world.channel.id) == 1
    assert set(places) == {server.world.channel.id, thread.id}


async def test_people_are_called_when_they_are_needed_and_at_the_end(server: DiscordSurface) -> None:
    server.jobs.usd_per_hour = 60.0
    async with server.process(INTERN_PUBLISH_TO="folder:/models"):
        await server.start("Tell positive from negative product reviews, spend at most $5.")
        await server.press("use:1")
        await server.press("approve", APPROVER)
        await server.press("private", APPROVER)
        await server.sees("Done:")
    bodies = server.world.requests("POST", "/messages")
    ids = {who: str(person.id) for who, person in server.world.people.items()}
    assert all(body["allowed_mentions"].get("parse", []) == [] for body in bodies)
    calls = [body["allowed_mentions"]["users"] for body in bodies if body["allowed_mentions"].get("users")]
    assert [ids[ASKER] in map(str, call) for call in calls] == [
        True,
        True,
        True,
        True,
    ]  # data, price, publish, end
    assert [ids[APPROVER] in map(str, call) for call in calls] == [False, True, True, False]
    quiet = [body for body in bodies if not body["allowed_mentions"].get("users")]
    assert quiet
    assert all(body["flags"] & discord.MessageFlags(suppress_notifications=True).value for body in quiet)


async def test_every_post_has_a_nonce_and_a_mark_of_its_own(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
    bodies = server.world.requests("POST", "/messages")
    nonces = [body["nonce"] for body in bodies]
    assert len(set(nonces)) == len(nonces) > 2
    assert all(body["enforce_nonce"] is True and len(body["nonce"]) <= 25 for body in bodies)
    (run,) = {m.split("Run ")[1][:7] for m in await server.messages() if "Run r" in m}
    root = server.world.all_messages()[0]
    assert any(c.get("id") == mark_id(f"{run}/root") for c in walk_components(root.components))


async def test_a_plot_is_in_its_card_with_words_for_who_cannot_see_it(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.sees("Train on")
    (audit,) = [m for m in server.world.all_messages() if "The data, checked" in server.read(m)]
    assert [(a["filename"], a["description"]) for a in audit.attachments] == [
        ("plots-class_balance.png", "Bar chart of rows a class")
    ]


async def test_documents_come_along_once(server: DiscordSurface) -> None:
    async with server.process():
        await to_the_end_quietly(server)
    names = [a["filename"] for m in server.world.all_messages() for a in m.attachments]
    assert len(names) == len(set(names))
    assert any(name.endswith("report.md") for name in names)


async def to_the_end_quietly(server: DiscordSurface) -> None:
    await server.start(SENTENCE)
    await server.press("use:1")
    await server.press("approve", APPROVER)
    await server.press("keep")
    await server.sees("Done:")


async def test_in_a_forum_a_run_is_a_post(server: DiscordSurface) -> None:
    forum = server.world.guild.create_forum_channel("models")
    place = f"{server.world.guild.id}/{forum.id}"
    async with server.process() as app:
        request = Request(SENTENCE, str(server.world.people[ASKER].id), "discord", channel=place)
        run = await app.dispatch.start(request)
        await server.press("use:1")
        await server.sees("Train on")
        (post,) = server.world.threads()
        assert post.name is not None
        assert post.name.startswith("Tell positive from negative")
        assert post.name.endswith(f" · {run.id}")
        assert await app.memory("discord").place_of(run.id) == f"{place}/{post.id}"
        assert {m.channel_id for m in server.world.all_messages()} == {post.id}
        # A run that is asked for in a post gets a post of its own.
        await server.world.people[ASKER].slash(post, "intern run", goal=SENTENCE)
        await server.until(lambda: len(server.world.threads()) == 2)
        assert server.world.env.backend.get_channel(server.world.threads()[-1].id).parent_id == forum.id


async def test_the_suggestions_run_opens_a_thread_of_its_own(server: DiscordSurface) -> None:
    async with server.process() as app:
        await to_the_end_quietly(server)
        await server.press("suggestion:fewer_epochs")
        await server.until(lambda: len(server.world.threads()) == 2)
        child = (await app.dispatch.runs())[0]
        await server.sees(f"started {child.id} with epochs = 1")
    assert [thread.id for thread in server.world.threads()] != []


async def test_a_run_is_decided_at_a_terminal_and_the_thread_says_by_whom(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (run,) = await app.dispatch.runs()
        await app.dispatch.decide(run.id, "1", actor="anna", surface="console")
        await server.sees("(anna)")
        await server.press("use:2")
        await server.is_told("anna already decided")
        (decided,) = [text for text in await server.messages() if "Decided" in text]
        assert "(anna)" in decided
        assert not any("already decided" in text for text in await server.messages())  # Alice alone is told
        assert [d.actor for d in await app.deps.store.decisions(run.id)] == ["anna"]


async def test_a_role_may_approve(server: DiscordSurface) -> None:
    role = server.world.guild.create_role("ML leads")
    lead = server.world.guild.add_member(server.world.env.create_user("Lea"), roles=[role])
    server.world.people["lead"] = lead
    async with server.process(
        INTERN_APPROVERS=f"discord-role:{role.id}", INTERN_PUBLISH_TO="folder:/models"
    ) as app:
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.press("approve", "lead")
        await server.sees("Publish?")
        await server.press("private", APPROVER)
        await server.is_told("Only", APPROVER)
        await server.press("private", "lead")
        await server.sees("Done:")
        assert (await app.dispatch.runs())[0].status is RunStatus.DONE
    calls = [b["allowed_mentions"].get("roles") for b in server.world.requests("POST", "/messages")]
    assert [str(role.id)] in [list(map(str, call)) for call in calls if call]


async def test_an_attached_file_is_the_data(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start("tell good from bad", file=("My-data.csv", CSV))
        await server.sees("My-data.csv")
        (run,) = await app.dispatch.runs()
        assert run.request.data is not None
        assert run.request.data.startswith(str(app.deps.home / "uploads" / run.id))
        assert not any(str(app.deps.home) in text for text in await server.messages())


async def test_a_file_in_the_thread_answers_which_data_and_is_kept_with_the_run(
    server: DiscordSurface,
) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        await server.say("use this one", attachments=[("d.csv", CSV)])
        await server.sees("Use d.csv")
        (run,) = await app.dispatch.runs()
        (kept,) = (app.deps.home / "uploads" / run.id).rglob("d.csv")
        (answer,) = await app.deps.store.decisions(run.id)
        assert answer.value == str(kept)
        assert not any(str(app.deps.home) in text for text in await server.messages())


async def test_a_run_on_a_file_that_was_deleted_here_is_not_trained_again(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start("tell good from bad", file=("d.csv", CSV))
        await server.press("approve", APPROVER)
        await server.press("keep")
        await server.sees("Done:")
        (run,) = await app.dispatch.runs()
        shutil.rmtree(app.deps.home / "uploads" / run.id)
        await server.press("suggestion:fewer_epochs")
        await server.is_told("attach it to a new request")
        assert len(await app.dispatch.runs()) == 1


async def test_a_mention_with_a_file_starts_a_run(server: DiscordSurface) -> None:
    async with server.process() as app:
        said = f"<@{server.world.env.backend.bot_user.id}> tell good from bad"
        await server.world.people[ASKER].send(server.world.channel, said, attachments=[("d.csv", CSV)])
        await server.sees("d.csv")
        (run,) = await app.dispatch.runs()
        assert run.request.sentence == "tell good from bad"
        assert run.request.requester_name == "Alice"


async def test_people_who_talk_to_each_other_are_left_alone(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.press("approve", APPROVER)
        await server.press("keep")
        await server.sees("Done:")
        before = await server.messages()
        await server.say("What do you think?", STRANGER)
        await server.say(f"{server.world.people[APPROVER].mention} cancel", ASKER)
        await server.world.people[ASKER].send(server.world.channel, "cancel")
        await server.world.env.settle()
        assert await server.messages() == before


async def test_a_reply_to_the_bot_is_meant_for_it(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.press("approve", APPROVER)
        await server.press("keep")
        await server.sees("Done:")
        thread = server.world.threads()[0]
        await server.world.people[ASKER].send(thread, "What do you think?", reply_to=thread.last_message)
        await server.is_told("I can't read an instruction in that")
        (said,) = [m for m in server.world.all_messages() if "can't read" in server.read(m)]
        assert said.channel_id == thread.id
        assert "status · cancel" in server.read(said)


@pytest.mark.parametrize("path", ["status", "runs", "help"])
async def test_what_is_asked_alone_is_answered_alone(server: DiscordSurface, path: str) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        before = len(server.world.all_messages())
        result = await server.world.people[ASKER].slash(server.world.channel, f"intern {path}")
        assert server.world.requests("POST", "/callback")[-1]["type"] == 5  # deferred at once
        assert result.response is not None
        assert result.ephemeral
        assert len(server.world.all_messages()) == before
