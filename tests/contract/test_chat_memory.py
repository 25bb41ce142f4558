"""One suite for every memory of a chat surface. Postgres joins here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from bot.chat.memory import ChatMemory
from graph.errors import StoreError
from graph.names import EventType
from graph.state import Request
from graph.store.checkpoints import sqlite_saver
from graph.store.sqlite import SqliteStore
from graph.store.surfaces import LEADER_S, SurfaceTables

AT = "2026-11-24T12:00:00.000+00:00"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "intern.db")
    for run_id, surface in (("r1", "slack"), ("r2", "console"), ("r3", "discord")):
        await store.create_run(run_id, Request("Sort", surface=surface), "Sort", AT)
        await store.append(run_id, EventType.NOTE, {"text": "hi"}, at=AT)
    yield store
    await store.close()


@pytest.fixture
def memory(store: SqliteStore) -> ChatMemory:
    return SurfaceTables(store, "slack")


def as_another_process(memory: ChatMemory, holder: str = "elsewhere/1:1") -> None:
    memory._me = holder  # type: ignore[attr-defined]  # stands for a second process


async def test_a_run_has_one_place_until_it_is_moved(memory: ChatMemory) -> None:
    assert await memory.place_of("r1") is None
    await memory.place_run("r1", "T/C")
    await memory.place_run("r1", "T/OTHER")
    assert (await memory.place_of("r1"), await memory.run_at("T/C"), await memory.run_at("T/X")) == (
        "T/C",
        "r1",
        None,
    )
    await memory.move_run("r1", "T/C/9.9")
    assert await memory.run_at("T/C/9.9") == "r1"


async def test_a_surface_sees_no_other_ones_rows(store: SqliteStore, memory: ChatMemory) -> None:
    other = SurfaceTables(store, "discord")
    await memory.place_run("r1", "T/C")
    await memory.show("r1", "root", "h", "d")
    assert await memory.accept("k", {}, AT)
    assert await other.place_of("r1") is None
    assert await other.shown("r1") == {}
    assert await other.accept("k", {}, AT)


async def test_untold_are_its_own_runs_and_those_it_shows(memory: ChatMemory) -> None:
    assert await memory.untold() == ["r1"]  # its own, even before it has a place
    await memory.place_run("r2", "T/C")
    await memory.place_run("r1", "T/C")
    assert await memory.untold() == ["r1", "r2"]
    await memory.tell("r1", 0)
    await memory.tell("r2", 0)
    assert await memory.untold() == []
    await memory.tell("r1", -1)  # never backwards
    assert await memory.untold() == []


async def test_cards_are_remembered_with_their_newest_digest(memory: ChatMemory) -> None:
    await memory.show("r1", "root", "h1", "d1")
    await memory.show("r1", "root", "h1", "d2")
    assert await memory.shown("r1") == {"root": ("h1", "d2")}


async def test_the_same_event_is_taken_in_once(memory: ChatMemory) -> None:
    assert sorted(await asyncio.gather(*(memory.accept("k", {"n": n}, AT) for n in range(20)))) == [
        False
    ] * 19 + [True]
    await memory.finish("k")
    assert not await memory.accept("k", {}, AT)


async def test_what_is_left_over_is_taken_over_once(memory: ChatMemory) -> None:
    await memory.accept("old", {"a": 1}, "2026-01-01")
    await memory.accept("new", {"a": 2}, AT)
    await memory.accept("done", {"a": 3}, "2026-01-01")
    await memory.finish("done")
    assert await memory.left_over("2026-06-01") == []  # mine
    as_another_process(memory)
    assert await memory.left_over("2026-06-01") == [("old", {"a": 1})]
    assert await memory.left_over("2026-06-01") == []


async def test_what_a_dead_process_took_in_is_left_over_at_once(memory: ChatMemory) -> None:
    import socket

    as_another_process(memory, f"{socket.gethostname()}/999999999:1")
    await memory.accept("k", {"a": 1}, AT)
    as_another_process(memory)
    assert await memory.left_over("2000") == [("k", {"a": 1})]


async def test_one_process_leads(store: SqliteStore, memory: ChatMemory) -> None:
    second = SurfaceTables(store, "slack")
    as_another_process(second)
    assert await memory.lead(100.0)
    assert not await second.lead(100.0)
    assert await memory.lead(100.0 + LEADER_S)  # renewed in time
    assert not await second.lead(101.0 + LEADER_S)
    assert await second.lead(101.0 + 2 * LEADER_S)
    assert not await memory.lead(102.0 + 2 * LEADER_S)
    await second.stop_leading()
    assert await memory.lead(102.0 + 2 * LEADER_S)


async def test_what_comes_in_at_once_is_kept_each_once(memory: ChatMemory) -> None:
    keys = [f"k{n % 100}" for n in range(200)]
    new = await asyncio.gather(*(memory.accept(key, {"n": n}, AT) for n, key in enumerate(keys)))
    assert new == [True] * 100 + [False] * 100
    as_another_process(memory)
    kept = await memory.left_over("2027")
    assert dict(kept) == {f"k{n}": {"n": n} for n in range(100)}
    assert not any(await asyncio.gather(*(memory.accept(key, {}, AT) for key in keys)))


async def test_what_nobody_waits_for_any_more_was_not_handed_in(
    store: SqliteStore, memory: ChatMemory
) -> None:
    async with store.transaction():  # others write just now
        given_up = asyncio.create_task(memory.accept("given up", {}, AT))
        waits = asyncio.create_task(memory.accept("waits", {}, AT))
        while len(memory._coming) < 2:  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
    assert await waits
    assert await memory.accept("given up", {}, AT)


async def test_where_nothing_can_be_kept_everybody_is_told(store: SqliteStore, memory: ChatMemory) -> None:
    async with store.transaction() as db:
        await db.execute("ALTER TABLE inbox RENAME TO elsewhere")
    told = await asyncio.gather(*(memory.accept(f"k{n}", {}, AT) for n in range(3)), return_exceptions=True)
    assert [type(error) for error in told] == [StoreError] * 3
    async with store.transaction() as db:
        await db.execute("ALTER TABLE elsewhere RENAME TO inbox")
    assert await memory.accept("k0", {}, AT)


async def test_checkpoints_and_the_store_stand_in_one_line(store: SqliteStore, tmp_path: Path) -> None:
    async with sqlite_saver(tmp_path / "intern.db", store.turn) as saver:
        await saver.conn.execute("PRAGMA busy_timeout = 0")  # who waits in SQLite fails
        where = {"configurable": {"thread_id": "r1", "checkpoint_ns": ""}}
        async with store.transaction() as db:
            put = asyncio.create_task(saver.aput(where, empty_checkpoint(), {}, {}))  # type: ignore[arg-type]
            for _ in range(20):
                await db.execute("DELETE FROM inbox")
        await put
        assert await saver.aget_tuple(where) is not None  # type: ignore[arg-type]
