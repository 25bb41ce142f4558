"""Whatever people type, attach and click: a clear answer to that person, and nothing lost or done twice."""

from __future__ import annotations

from typing import Any

import pytest
from simcord.enums import InteractionType

from bot.chat.text import units
from bot.discord.claims import Claim, digest
from tests.bot.discord.surface import DiscordSurface
from tests.contract.surface import APPROVER, ASKER, STRANGER
from tests.graph.world import SENTENCE

CSV = b"text,label\n" + b"good thing,pos\nbad thing,neg\n" * 50


async def ask(server: DiscordSurface, path: str, who: str = ASKER, **options: Any) -> None:
    result = await server.world.people[who].slash(server.world.channel, f"intern {path}", **options)
    server.results.setdefault(who, []).append(result)


@pytest.mark.parametrize(
    ("path", "options", "answer"),
    [
        ("status", {"run": "r222222"}, "no run"),
        ("status", {}, "None of your runs"),
        ("status", {"run": "`*_~"}, "no run"),
        ("cancel", {}, "No run belongs to this place"),
        ("cancel", {"run": "r222222"}, "no run"),
        ("try", {"run": "r222222", "text": "x"}, "no run"),
        ("try", {"text": " "}, "No run belongs to this place"),
        ("runs", {}, "No runs yet. Start one: /intern run, with what you want"),
        ("help", {}, "Train on this file"),
        ("run", {"goal": "sort tickets", "minutes": -1.0}, "Minutes has to be a number"),
        ("run", {"goal": "sort tickets", "budget": -5.0}, "Budget has to be a number"),
    ],
)
async def test_a_command_that_starts_nothing_is_answered(
    server: DiscordSurface, path: str, options: dict[str, Any], answer: str
) -> None:
    async with server.process() as app:
        await ask(server, path, **options)
        await server.is_told(answer)
        assert await app.dispatch.runs() == []


async def test_an_empty_mention_gets_help_in_discords_words(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.world.people[ASKER].send(
            server.world.channel, f"<@{server.world.env.backend.bot_user.id}>"
        )
        await server.sees("/intern run without a goal")
        (helped,) = await server.messages()
        assert "/intern <sentence>" not in helped  # that is how Slack's is called
        assert await app.dispatch.runs() == []


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        ([("cat.png", b"png")], "cannot read files like"),
        ([("a.csv", CSV), ("b.csv", CSV)], "Attach one file"),
        ([("a.csv", b"")], "is empty"),
    ],
)
async def test_a_file_that_is_no_data_is_refused(
    server: DiscordSurface, files: list[tuple[str, bytes]], answer: str
) -> None:
    async with server.process() as app:
        said = f"<@{server.world.env.backend.bot_user.id}> sort these by label"
        await server.world.people[ASKER].send(server.world.channel, said, attachments=files)
        await server.sees(answer)
        assert await app.dispatch.runs() == []


async def test_a_file_that_is_too_large_is_refused_before_it_is_fetched(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.chat.uploads.MAX_BYTES", 100)
    async with server.process() as app:
        monkeypatch.setattr(server, "_chunks", None)  # nothing is fetched
        await server.start("sort these by label", file=("data.csv", CSV))
        await server.is_told("at most")
        (said,) = [text for text in server._private(ASKER) if "at most" in text]
        assert "data.csv has" in said
        assert "put it on the Hub" in said
        assert await app.dispatch.runs() == []
        assert not (app.deps.home / "uploads").exists() or not list(
            (app.deps.home / "uploads").rglob("*.csv")
        )


async def test_a_file_that_discord_no_longer_has_is_asked_for_again(
    server: DiscordSurface, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server.process() as app:
        monkeypatch.setattr(server.world.env.backend.cdn, "get", lambda url: b"half")
        await server.start("sort these by label", file=("data.csv", CSV))
        await server.is_told("came only in part")
        assert await app.dispatch.runs() == []


async def test_a_message_of_6000_characters_is_a_request_and_is_shown_within_the_limits(
    server: DiscordSurface,
) -> None:
    goal = SENTENCE + " " + "please " * 900
    async with server.process() as app:
        await server.start(goal[:6000])
        await server.press("use:1")
        await server.sees("Train on")
        (run,) = await app.dispatch.runs()
        assert len(run.request.sentence) > 5900
    assert all(units(text) < 4_000 for text in await server.messages())


@pytest.mark.parametrize(
    "custom_id",
    [
        "intern:",
        "intern:decide:r222222:0123456789:0:",
        "intern:decide::::",
        "intern:drop:r222222:::",
        "intern:cancel:../../etc:::",
        "intern:words:r222222:::",
        "intern:" + "x" * 90,
    ],
)
async def test_a_button_that_was_tampered_with_does_nothing(server: DiscordSurface, custom_id: str) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        message, _, _ = await server.until(lambda: server._offer("use:1", -1))
        forged = dict(message)
        forged["components"] = [
            {
                "type": 1,
                "id": 1,
                "components": [{"type": 2, "id": 2, "style": 1, "label": "x", "custom_id": custom_id}],
            }
        ]
        await server.click(forged, custom_id, STRANGER)
        if "cancel" not in custom_id:  # that one asks whether one is sure first
            await server.is_told("no longer good", STRANGER)
        (run,) = await app.dispatch.runs()
        assert await app.deps.store.decisions(run.id) == []


async def test_a_component_that_is_not_in_the_message_does_nothing(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        message, _, _ = await server.until(lambda: server._offer("use:1", -1))
        (run,) = await app.dispatch.runs()
        await server.click(message, Claim("stop", run.id).dump(), STRANGER)
        assert not (await app.dispatch.find(run.id)).status.ended


async def test_a_stale_plan_shows_the_new_price_and_refuses(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.press("use:1")
        await server.sees("Train on")
        message, claim, _ = await server.until(lambda: server._offer("approve", -1))
        old = Claim(claim.verb, claim.run, claim.question, claim.choice, digest("an older plan")).dump()
        forged = dict(message)
        button = {"type": 2, "id": 2, "style": 1, "label": "x", "custom_id": old}
        forged["components"] = [{"type": 1, "id": 1, "components": [button]}]
        await server.click(forged, old, APPROVER)
        await server.is_told("its price is now $0.00", APPROVER)
        (run,) = await app.dispatch.runs()
        assert [d.kind for d in await app.deps.store.decisions(run.id)] == ["dataset"]


async def test_spending_asks_whether_one_is_sure(server: DiscordSurface) -> None:
    server.jobs.usd_per_hour = 60.0
    async with server.process() as app:
        await server.start("Tell positive from negative product reviews, spend at most $5.")
        await server.press("use:1")
        await server.sees("$1.00")
        message, claim, _ = await server.until(lambda: server._offer("approve", -1))
        assert claim.verb == "sure"
        asked = await server.click(message, claim.dump(), APPROVER)
        assert asked.ephemeral
        await server.is_told("Spend $1.00?", APPROVER)
        (run,) = await app.dispatch.runs()
        assert [d.kind for d in await app.deps.store.decisions(run.id)] == ["dataset"]
        await server.press("approve", APPROVER)
        await server.sees("Publish?")
        # An older view of the card still shows the button: it is told who decided.
        await server.click(message, claim.dump(), APPROVER)
        await server.is_told("already decided", APPROVER)


async def test_stopping_asks_whether_one_is_sure_and_a_stranger_may_not(server: DiscordSurface) -> None:
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (run,) = await app.dispatch.runs()
        for who in (STRANGER, ASKER):
            message = server.world.versions[server.world.all_messages()[0].id][-1]
            asked = await server.click(message, Claim("cancel", run.id).dump(), who)
            assert asked.response is not None
            stopped = await server.world.people[who].click(
                asked.response, custom_id=Claim("stop", run.id).dump()
            )
            server.results.setdefault(who, []).append(stopped)
            if who == STRANGER:
                await server.is_told("Only Alice", STRANGER)
                assert not (await app.dispatch.find(run.id)).status.ended
        await server.sees("Cancelled")


async def test_a_run_of_another_server_is_not_shown(server: DiscordSurface) -> None:
    other = server.world.env.create_guild("Elsewhere")
    channel = other.create_text_channel("general")
    eve = other.add_member(server.world.env.create_user("Eve"))
    async with server.process() as app:
        await server.start(SENTENCE)
        await server.sees("Which data shall I use?")
        (run,) = await app.dispatch.runs()
        result = await eve.slash(channel, "intern status", run=run.id)
        server.results["eve"] = [result]
        await server.is_told("belongs to another server", "eve")
        assert await eve.autocomplete(channel, "intern status", "run", "") == []
        edit = Claim("edit", run.id).dump()
        forged = dict(server.world.versions[server.world.all_messages()[0].id][-1])
        button = {"type": 2, "id": 2, "style": 1, "label": "x", "custom_id": edit}
        forged |= {
            "channel_id": str(channel.id),
            "components": [{"type": 1, "id": 1, "components": [button]}],
        }
        opened = await eve._dispatch_interaction(
            InteractionType.MESSAGE_COMPONENT,
            channel,
            {"custom_id": edit, "component_type": 2},
            extra={"message": forged},
        )
        server.results["eve"] = [opened]
        assert opened.modal is None
        await server.is_told("no longer good", "eve")


async def test_hostile_words_of_people_do_nothing(server: DiscordSurface) -> None:
    evil = "@everyone <@&1> [free](https://evil.example) discord.gg/evil ||x|| # big\n```"
    async with server.process():
        await server.start(f"{SENTENCE} {evil}")
        await server.press("use:1")
        await server.sees("Train on")
    for message in server.world.all_messages():
        assert not message.mention_everyone
        assert message.mention_user_ids in ([], [server.world.people[ASKER].id])
        assert message.mention_role_ids == []
    thread = server.world.env.backend.get_channel(server.world.threads()[0].id)
    assert thread.name is not None
    assert "\n" not in thread.name
