"""Discord misbehaves, people delete things, a bot dies: nothing is done twice, nothing is lost, and it is told."""

from __future__ import annotations

import socket
from typing import Any

import aiohttp
import discord
import pytest
from simcord.backend.models import Overwrite
from simcord.enums import OverwriteType

from bot.discord.errors import THREAD_ARCHIVED
from graph.errors import StoreError
from graph.names import RunStatus
from graph.state import Request
from graph.store.sqlite import SqliteStore
from remote.backends.fake import Hold
from tests.bot.discord.surface import DiscordSurface
from tests.contract.surface import APPROVER, ASKER, OTHER_APPROVER
from tests.graph.world import PROGRESS, SENTENCE

DEAD = f"{socket.gethostname()}/999999999:1"


def lost(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch, method: str, ending: str, *, times: int
) -> None:
    """The next answers to such calls are lost after Discord did what was asked."""
    real, left = server.bot.http.request, [times]

    async def request(route: Any, **kwargs: Any) -> Any:
        answer = await real(route, **kwargs)
        if route.method == method and route.path.endswith(ending) and left[0] > 0:
            left[0] -= 1
            raise aiohttp.ServerDisconnectedError
        return answer

    monkeypatch.setattr(server.bot.http, "request", request)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chat.feed.BACK_OFF_S", (0.01,) * 6)


async def each_stands_there_once(server: DiscordSurface, *more: str) -> None:
    seen = await server.messages()
    for words in ("What I understood", "Data that could serve", "Which data", *more):
        assert sum(words in text for text in seen) == 1, words


async def test_a_post_whose_answer_is_lost_is_found_again(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.process():
        lost(server, monkeypatch, "POST", "/messages", times=3)
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        await each_stands_there_once(server)
        assert len(server.world.threads()) == 1


async def test_a_thread_whose_answer_is_lost_is_not_made_again(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.process():
        lost(server, monkeypatch, "POST", "/threads", times=1)
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        assert len(server.world.threads()) == 1
        assert len(server.world.requests("POST", "/threads")) == 1
        await each_stands_there_once(server)


async def test_a_forum_post_whose_answer_is_lost_is_found_again(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    forum = server.world.guild.create_forum_channel("models")
    place = f"{server.world.guild.id}/{forum.id}"
    async with server.process() as app:
        lost(server, monkeypatch, "POST", "/threads", times=1)
        request = Request(SENTENCE, str(server.world.people[ASKER].id), "discord", channel=place)
        await app.dispatch.start(request)
        await server.sees("Which data shall I use?")
        assert len(server.world.threads()) == 1
        await each_stands_there_once(server)


async def test_a_file_whose_answer_is_lost_is_not_sent_again(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.press("approve", APPROVER)
        await server.sees("Publish?")
        lost(server, monkeypatch, "POST", "/messages", times=9)
        await server.press("keep")
        await server.sees("Done:")
        await server.until(lambda: True)
    names = [a["filename"] for m in server.world.all_messages() for a in m.attachments]
    assert len(names) == len(set(names)) > 0


async def test_a_bot_that_died_between_posting_and_noting_edits_what_it_posted(
    server: DiscordSurface,
) -> None:
    async with server.process() as app:
        memory = app.memory("discord")
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (run,) = await app.dispatch.runs()
        question = next(key for key in await memory.shown(run.id) if key.startswith("question:"))
    async with server.process() as app:
        store = app.deps.store
        assert isinstance(store, SqliteStore)
        async with store.transaction() as db:
            await db.execute("DELETE FROM shown_cards WHERE key = ?", (question,))
        await server.press("use:1")
        await server.sees("Train on")
        await each_stands_there_once(server, "Train on")


async def test_discord_is_down_and_the_thread_catches_up(server: DiscordSurface) -> None:
    server.jobs.script["train"] = Hold(server.jobs.script["train"], events=PROGRESS)
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.press("approve", APPROVER)
        await server.sees("Training")
        (run,) = await app.dispatch.runs()
        server.world.env.inject_error("POST", "/channels/*/messages", status=500, times=4)
        assert server.jobs.backend is not None
        server.jobs.backend.release(server.jobs.backend.jobs[-1].key)
        await server.sees("Publish?")
        await each_stands_there_once(server, "On rows never trained on", "Under attack", "The files")
        assert (await app.dispatch.find(run.id)).status is RunStatus.WAITING


async def test_an_interaction_that_comes_twice_is_handled_once(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        payload = server.world.last_event("INTERACTION_CREATE")
        with server.world.env._bot_scope():
            server.world.env.backend.emit("INTERACTION_CREATE", payload)
        await server.sees("Which data shall I use?")
        assert len(await app.dispatch.runs()) == 1


async def test_two_clicks_at_once_make_one_decision(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        offer = await server.until(lambda: server._offer("use:1", -1))
        message, claim, option = offer
        await server.click(message, claim.dump(), APPROVER, option)
        await server.click(message, claim.dump(), OTHER_APPROVER, "1")
        await server.is_told("Bob already decided", OTHER_APPROVER)
        (run,) = await app.dispatch.runs()
        assert [d.value for d in await app.deps.store.decisions(run.id)] == ["use:1"]


async def test_a_button_of_a_plan_that_was_changed_says_so_and_what_is_asked_now(
    server: DiscordSurface,
) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.sees("Train on")
        await server.say("epochs=1")
        await server.sees("Train on", times=2)
        await server.press("approve", APPROVER, question=1)
        await server.is_told("already decided", APPROVER)
        (run,) = await app.dispatch.runs()
        assert run.question is not None
        (said,) = [text for text in server._private(APPROVER) if "already decided" in text]
        assert "“change epochs=1”" in said
        assert f"The question now is: {run.question.text}" in said
        await server.press("use:2", APPROVER, question=0)
        await server.is_told("Alice already decided “Use Product reviews 1", APPROVER)


async def test_an_acknowledgement_that_comes_too_late_loses_nothing(server: DiscordSurface) -> None:
    async with server.process() as app:
        server.world.env.inject_error("POST", "/interactions/*/*/callback", status=404, code=10062)
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.sees("Train on")
        (run,) = await app.dispatch.runs()
        assert run.request.sentence == SENTENCE
        assert run.question is not None


async def test_after_a_quarter_of_an_hour_answers_are_said_in_the_thread_or_directly(
    server: DiscordSurface,
) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.sees("Train on")
        server.world.env.inject_error("POST", "/webhooks/*/*", status=401, code=50027, times=None)
        offer = await server.until(lambda: server._offer("use:2", -1))
        await server.click(offer[0], offer[1].dump(), ASKER, offer[2])
        await server.sees("already decided")
        await server.world.people[ASKER].slash(server.world.channel, "intern runs")
        await server.until(lambda: any("Your runs" in t for t in server.world.direct_messages(ASKER)))
        (thread,) = server.world.threads()
        (late,) = [m for m in server.world.all_messages() if "already decided" in server.read(m)]
        assert late.channel_id == thread.id
        in_channels = [
            m for m in server.world.all_messages() if m.channel_id in (thread.id, server.world.channel.id)
        ]
        assert not any("Your runs" in server.read(m) for m in in_channels)  # it is nobody else's concern


async def test_a_thread_that_was_deleted_is_told_elsewhere_once_and_the_run_goes_on(
    server: DiscordSurface,
) -> None:
    server.jobs.script["train"] = Hold(server.jobs.script["train"], events=PROGRESS)
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.press("approve", APPROVER)
        await server.sees("Training")
        (run,) = await app.dispatch.runs()
        (thread,) = server.world.threads()
        server.world.env.backend.delete_channel(thread.id)
        assert server.jobs.backend is not None
        server.jobs.backend.release(server.jobs.backend.jobs[-1].key)

        async def waits() -> bool:
            return (await app.dispatch.find(run.id)).status is RunStatus.WAITING

        await server.until(waits)
        await server.until(lambda: server.world.direct_messages(ASKER))
        await app.dispatch.decide(run.id, "keep", actor="anna", surface="console")

        async def told() -> bool:
            return run.id not in await app.memory("discord").untold()

        await server.until(told)
        (said,) = server.world.direct_messages(ASKER)
    assert f"I can no longer write in the thread of run {run.id}" in said
    assert "it was deleted" in said


async def test_a_person_without_direct_messages_is_told_in_the_channel(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (thread,) = server.world.threads()
        server.world.env.backend.delete_channel(thread.id)
        server.world.env.inject_error("POST", "/users/@me/channels", status=403, code=50007)
        run = (await server.app.dispatch.runs())[0]
        await server.app.dispatch.decide(run.id, "1", actor="anna", surface="console")
        await server.sees("I can no longer write in the thread")
        (said,) = [m for m in server.world.all_messages() if "no longer write" in server.read(m)]
        assert said.channel_id == server.world.channel.id
        assert f"/intern status {run.id}" in server.read(said)
        assert server.world.direct_messages(ASKER) == []


async def test_an_archived_thread_is_opened_again(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (thread,) = server.world.threads()
        server.world.env.backend.edit_channel(thread.id, {}, thread_metadata={"archived": True})
        server.world.env.inject_error(
            "PATCH", f"/channels/{thread.id}/messages/*", status=400, code=THREAD_ARCHIVED
        )
        await server.press("use:1")
        await server.sees("Decided")
        meta = server.world.env.backend.get_channel(thread.id).thread_metadata
        assert meta is not None
        assert not meta.archived


async def test_a_locked_thread_stays_locked_and_is_told_elsewhere(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (thread,) = server.world.threads()
        server.world.env.backend.edit_channel(
            thread.id, {}, thread_metadata={"archived": True, "locked": True}
        )
        path = f"/channels/{thread.id}/messages/*"
        server.world.env.inject_error("PATCH", path, status=400, code=THREAD_ARCHIVED, times=None)
        await server.press("use:1")
        await server.until(lambda: any("locked" in t for t in server.world.direct_messages(ASKER)))
        meta = server.world.env.backend.get_channel(thread.id).thread_metadata
        assert meta is not None
        assert (meta.archived, meta.locked) == (True, True)


async def test_a_message_that_somebody_deleted_is_posted_anew(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        offer = await server.until(lambda: server._offer("use:1", -1))
        server.world.env.backend.delete_message(int(offer[0]["channel_id"]), int(offer[0]["id"]))
        run = (await server.app.dispatch.runs())[0]
        await server.app.dispatch.decide(run.id, "1", actor="anna", surface="console")
        await server.sees("(anna)")
        await each_stands_there_once(server)
        (anew,) = [m for m in server.world.all_messages() if "(anna)" in server.read(m)]
        assert anew.id != int(offer[0]["id"])


async def test_a_message_that_discord_does_not_take_is_said_plainly(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        path = f"/channels/{server.world.threads()[0].id}/messages"
        server.world.env.inject_error("POST", path, status=400, code=50035, message="Invalid Form Body")
        await server.press("use:1")
        await server.sees("The whole text is in the attached file; answer in words.")
        await server.sees("Train on")
        (plainly,) = [m for m in server.world.all_messages() if "answer in words" in server.read(m)]
        (file,) = plainly.attachments
        assert file["filename"].endswith(".txt")
        assert file["size"] > 0


@pytest.mark.parametrize(
    ("flag", "name"),
    [
        ("send_messages", "Send Messages"),
        ("create_public_threads", "Create Public Threads"),
        ("send_messages_in_threads", "Send Messages in Threads"),
        ("attach_files", "Attach Files"),
        ("read_message_history", "Read Message History"),
    ],
)
async def test_a_missing_permission_is_named_before_a_run_starts(
    server: DiscordSurface, flag: str, name: str
) -> None:
    guild = server.world.guild
    overwrites = {guild.default_role: discord.PermissionOverwrite(**{flag: False})}
    server.world.channel = guild.create_text_channel("odd", overwrites=overwrites)  # type: ignore[arg-type]
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.is_told("I lack the permission")
        await server.is_told(f"“{name}”")
        assert await app.dispatch.runs() == []


async def test_a_permission_taken_away_in_mid_run_is_named(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        backend, channel = server.world.env.backend, server.world.channel
        denied = discord.Permissions(send_messages_in_threads=True).value
        everyone = Overwrite(server.world.guild.default_role.id, OverwriteType.ROLE, allow=0, deny=denied)
        backend.edit_channel(channel.id, {}, overwrites=[everyone])
        run = (await server.app.dispatch.runs())[0]
        await server.app.dispatch.decide(run.id, "1", actor="anna", surface="console")
        await server.until(lambda: server.world.direct_messages(ASKER))
        assert "“Send Messages in Threads”" in server.world.direct_messages(ASKER)[0]


async def test_what_came_in_before_a_crash_is_done_by_the_next_process(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.process() as app:
        monkeypatch.setattr(server.bot._inbox, "start", lambda incoming: None)  # it dies before it begins
        monkeypatch.setattr(server.bot._memory, "_me", DEAD)
        await server.start(SENTENCE)
        assert await app.dispatch.runs() == []
    async with server.process() as app:
        await server.sees("Which data shall I use?")
        assert len(await app.dispatch.runs()) == 1


async def test_what_comes_in_while_the_bot_drains_is_left_to_the_next(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.process() as app:
        await server.bot._inbox.drain(0.1)
        await server.start(SENTENCE)
        assert await app.dispatch.runs() == []
        memory = app.memory("discord")
        monkeypatch.setattr(memory, "_me", "the next")
        assert len(await memory.left_over("9999")) == 1


async def test_a_store_that_does_not_answer_is_told_and_the_next_try_works(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def accept(*args: Any) -> bool:
        raise StoreError("the disk is full")

    async with server.process() as app:
        with monkeypatch.context() as patch:
            patch.setattr(server.bot._memory, "accept", accept)
            await server.start(SENTENCE)
            await server.is_told("I am busy right now")
            me = server.world.env.backend.bot_user.id
            await server.world.people[ASKER].send(server.world.channel, f"<@{me}> {SENTENCE}")
            await server.sees("I am busy right now")
        assert await app.dispatch.runs() == []
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")


async def test_a_run_whose_message_goes_before_it_has_a_thread_is_told_of(server: DiscordSurface) -> None:
    async with server.process() as app:
        server.world.env.inject_error("POST", "/channels/*/messages/*/threads", status=404, code=10008)
        await server.start(SENTENCE)
        await server.until(lambda: any("was deleted" in t for t in server.world.direct_messages(ASKER)))
        (run,) = await app.dispatch.runs()
        (said,) = server.world.direct_messages(ASKER)
        assert f"I can no longer write in the thread of run {run.id}" in said


async def test_a_server_that_discord_does_not_give_now_is_waited_for(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.process() as app:
        guild = server.bot.get_guild(server.world.guild.id)
        assert guild is not None
        guild.unavailable = True
        await server.start(SENTENCE)
        await server.is_told("Discord does not give me the server now")
        place = f"{guild.id}/{server.world.channel.id}"
        request = Request(SENTENCE, str(server.world.people[ASKER].id), "discord", channel=place)
        await app.dispatch.start(request)
        guild.unavailable = False
        await server.sees("Which data shall I use?")
        assert server.world.direct_messages(ASKER) == []


async def test_the_bot_was_removed_from_the_server(server: DiscordSurface) -> None:
    async with server.process():
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        run = (await server.app.dispatch.runs())[0]
        server.world.env.backend.remove_guild(server.world.guild.id)
        await server.app.dispatch.decide(run.id, "1", actor="anna", surface="console")
        await server.until(lambda: server.world.direct_messages(ASKER))
        assert "I can no longer write in the thread" in server.world.direct_messages(ASKER)[0]
