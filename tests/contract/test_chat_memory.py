"""One suite for every memory of a chat surface. Postgres joins here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.chat.memory import ChatMemory
from graph.names import EventType
from graph.state import Request
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
