"""What comes in is kept, handled once, and found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.chat.inbox import Busy, Inbox
from bot.chat.incoming import Incoming, Kind, Person
from graph.errors import StoreError
from graph.store.sqlite import SqliteStore
from graph.store.surfaces import SurfaceTables

SAID = Incoming("k1", Kind.START, Person("1"), "g/c", text="sort tickets")


class Hands:
    """Carries things out, as slowly as it is told to."""

    def __init__(self) -> None:
        self.done: list[Incoming] = []
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.fails: Exception | None = None

    async def __call__(self, incoming: Incoming) -> None:
        self.begun.set()
        await self.may_end.wait()
        if self.fails:
            raise self.fails
        self.done.append(incoming)


@pytest.fixture
async def memory(tmp_path: Path) -> AsyncIterator[SurfaceTables]:
    store = await SqliteStore.open(tmp_path / "intern.db")
    yield SurfaceTables(store, "discord")
    await store.close()


def inbox(memory: SurfaceTables, hands: Hands) -> Inbox:
    return Inbox("discord", memory, hands, lambda: "r7k2mc", lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def left(memory: SurfaceTables) -> list[str]:
    memory._me = "another"
    return [key for key, _ in await memory.left_over("9999")]


async def test_the_same_thing_is_handled_once(memory: SurfaceTables) -> None:
    hands = Hands()
    made = inbox(memory, hands)
    kept = await made.keep(SAID)
    assert kept is not None
    assert kept.new_id == "r7k2mc"
    assert await made.keep(SAID) is None
    hands.may_end.set()
    made.start(kept)
    await made.drain(5.0)
    assert hands.done == [kept]
    assert await left(memory) == []


async def test_what_a_drain_does_not_wait_for_is_left_over(memory: SurfaceTables) -> None:
    hands = Hands()
    made = inbox(memory, hands)
    kept = await made.keep(SAID)
    assert kept is not None
    made.start(kept)
    await hands.begun.wait()
    await made.drain(0.0)
    assert hands.done == []
    assert await left(memory) == ["k1"]
    made.start(kept)  # no more
    assert hands.done == []


async def test_what_the_store_could_not_finish_is_left_over(memory: SurfaceTables) -> None:
    hands = Hands()
    hands.fails = StoreError("locked")
    hands.may_end.set()
    made = inbox(memory, hands)
    kept = await made.keep(SAID)
    assert kept is not None
    made.start(kept)
    await made.drain(5.0)
    assert await left(memory) == ["k1"]


async def test_what_cannot_be_kept_is_told(memory: SurfaceTables, monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept(*args: object) -> bool:
        raise StoreError("locked")

    monkeypatch.setattr(memory, "accept", accept)
    with pytest.raises(Busy):
        await inbox(memory, Hands()).keep(SAID)


async def test_what_takes_too_long_to_keep_is_told(
    memory: SurfaceTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def accept(*args: object) -> bool:
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(memory, "accept", accept)
    monkeypatch.setattr("bot.chat.inbox.KEEP_WITHIN_S", 0.0)
    with pytest.raises(Busy):
        await inbox(memory, Hands()).keep(SAID)


async def test_a_sweep_takes_over_what_a_dead_process_left(memory: SurfaceTables) -> None:
    dead = "nowhere/999999999:1"
    mine, memory._me = memory._me, dead
    await memory.accept("k1", SAID.dump(), "2025-01-01")
    memory._me = mine
    hands = Hands()
    hands.may_end.set()
    made = inbox(memory, hands)
    sweeping = asyncio.create_task(made.sweep())
    await hands.begun.wait()
    await made.drain(5.0)
    sweeping.cancel()
    assert [incoming.text for incoming in hands.done] == ["sort tickets"]
