"""One suite for every store. Postgres joins here."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graph.deps import Budgets, Decision, Said, Spend, Store
from graph.errors import LeaseLost, RunNotFound, StoreError
from graph.llm.model import Tokens
from graph.names import DecisionKind, EventType, FailureKind, RunStatus, Stage
from graph.state import Choice, Question, Request
from graph.store.migrate import migrations
from graph.store.sqlite import SqliteStore

AT = "2026-11-24T12:00:00.000+00:00"
REQUEST = Request("Sort tickets; “quoted” \u2028 ünï \x00 nul", budget_usd=0.0, overrides={"epochs": 2})
SAID = [("1", "one \u2028"), ("2", "again"), ("3", "three")]
DECISION = Decision("q1", "r1", "compute", "approve", "ann", "console", AT, 1.5, "abc")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await SqliteStore.open(tmp_path / "intern.db")
    await store.create_run("r1", REQUEST, "Sort tickets", AT)
    yield store
    await store.close()


async def test_a_run_comes_back_as_it_was_created(store: Store) -> None:
    run = await store.run("r1")
    assert (run.request, run.status, run.stage) == (REQUEST, RunStatus.RUNNING, Stage.INTAKE)


async def test_an_unknown_or_ambiguous_id_says_so(store: Store) -> None:
    await store.create_run("r12", REQUEST, "t", AT)
    assert (await store.find("r12")).id == "r12"
    for prefix, words in (("zz", "no run"), ("r", "More than one"), ("", "no run"), ("r1%", "no run")):
        with pytest.raises(RunNotFound, match=words):
            await store.find(prefix)
    with pytest.raises(RunNotFound):
        await store.run("zz")


async def test_events_are_numbered_in_order_from_many_writers(store: Store) -> None:
    seqs = await asyncio.gather(
        *(store.append("r1", EventType.NOTE, {"text": str(i)}, at=AT) for i in range(50))
    )
    assert sorted(seqs) == list(range(50))
    assert [e.seq for e in await store.events("r1", after=44)] == [45, 46, 47, 48, 49]


async def test_an_event_with_a_key_is_written_once(store: Store) -> None:
    first = await store.append("r1", EventType.NOTE, {"text": "a"}, at=AT, key="k")
    again = await store.append("r1", EventType.NOTE, {"text": "b"}, at=AT, key="k")
    assert first == again
    assert [e.payload["text"] for e in await store.events("r1")] == ["a"]


async def test_several_events_are_written_in_order_and_those_that_are_there_are_passed_over(
    store: Store,
) -> None:
    await store.append("r1", EventType.NOTE, {"text": "two"}, at=AT, key="2")
    said = [Said(EventType.NOTE, {"text": text}, AT, Stage.WATCH, key) for key, text in SAID]
    for _ in range(2):
        await store.append_all("r1", said)
    events = await store.events("r1")
    assert [(e.seq, e.payload["text"]) for e in events] == [(0, "two"), (1, "one \u2028"), (2, "three")]
    assert (events[1].stage, events[1].at) == (Stage.WATCH, AT)
    await store.append_all("r1", [])
    await store.append_all("r1", [Said(EventType.NOTE, {"text": "no key"}, AT)] * 2)
    assert [e.seq for e in await store.events("r1")] == list(range(5))


async def test_of_several_events_all_are_written_or_none(store: Store) -> None:
    lease = await store.lease("r1", "a", 0.0, 10.0)
    assert lease is not None
    said = [Said(EventType.NOTE, {"text": text}, AT, None, key) for key, text in SAID]
    with pytest.raises(LeaseLost):
        await store.append_all("r1", said, fence=lease.fence - 1)
    with pytest.raises(StoreError):
        await store.append_all("no such run", said)
    assert await store.events("r1") == []
    await store.append_all("r1", said, fence=lease.fence)
    assert len(await store.events("r1")) == 3


async def test_the_first_decision_wins_and_the_others_learn_of_it(store: Store) -> None:
    answers = await asyncio.gather(*(store.decide(replace(DECISION, actor=f"p{i}")) for i in range(20)))
    assert sum(won for _, won in answers) == 1
    assert len({held.actor for held, _ in answers}) == 1
    held = await store.decision("q1")
    assert held == answers[0][0]
    assert held is not None
    assert (held.price_usd, held.plan_hash) == (1.5, "abc")
    assert await store.decisions("r1") == [held]


async def test_an_effect_is_claimed_once_and_then_found(store: Store) -> None:
    assert (await store.claim("e", "r1")).state == "claimed"
    await store.record("e", {"id": 7})
    found = await store.claim("e", "r1")
    assert (found.state, found.result) == ("done", {"id": 7})
    assert await store.effects("r1") == [found]
    with pytest.raises(StoreError, match="never claimed"):
        await store.record("other", {})


async def test_a_lease_has_one_holder_until_its_time_is_over(store: Store) -> None:
    first = await store.lease("r1", "a", now=100.0, ttl_s=10)
    assert first is not None
    assert await store.lease("r1", "b", now=105.0, ttl_s=10) is None
    renewed = await store.lease("r1", "a", now=105.0, ttl_s=10)
    assert renewed == first
    second = await store.lease("r1", "b", now=115.0, ttl_s=10)
    assert second is not None
    assert second.fence > first.fence


async def test_an_old_fence_cannot_write(store: Store) -> None:
    old = await store.lease("r1", "a", now=100.0, ttl_s=10)
    assert old is not None
    await store.claim("e", "r1", fence=old.fence)
    new = await store.lease("r1", "b", now=200.0, ttl_s=10)
    assert new is not None
    with pytest.raises(LeaseLost):
        await store.append("r1", EventType.NOTE, {}, at=AT, fence=old.fence)
    with pytest.raises(LeaseLost):
        await store.record("e", {}, fence=old.fence)
    with pytest.raises(LeaseLost):
        await store.update_run("r1", fence=old.fence, at=AT, status=RunStatus.DONE)
    assert await store.append("r1", EventType.NOTE, {}, at=AT, fence=new.fence) == 0


async def test_a_released_or_expired_lease_is_free_and_its_holder_forgotten(store: Store) -> None:
    lease = await store.lease("r1", "a", now=100.0, ttl_s=1000)
    assert lease is not None
    assert await store.holder("r1") == "a"
    await store.expire("r1", "somebody else")
    assert await store.holder("r1") == "a"
    await store.release(lease)
    assert await store.holder("r1") is None
    assert await store.lease("r1", "b", now=101.0, ttl_s=10) is not None


async def test_runnable_names_runs_that_nobody_holds_and_that_can_move(store: Store) -> None:
    assert await store.runnable(now=100.0) == ["r1"]
    lease = await store.lease("r1", "a", now=100.0, ttl_s=10)
    assert lease is not None
    assert await store.runnable(now=101.0) == []
    assert await store.runnable(now=111.0) == ["r1"]
    question = Question("q1", DecisionKind.COMPUTE, Stage.APPROVE_COMPUTE, "?", (Choice("approve", "Yes"),))
    await store.update_run("r1", fence=lease.fence, at=AT, status=RunStatus.WAITING, question=question)
    assert await store.runnable(now=111.0) == []
    assert (await store.run("r1")).question is not None
    await store.decide(DECISION)
    assert await store.runnable(now=111.0) == ["r1"]
    await store.update_run("r1", fence=lease.fence, at=AT, status=RunStatus.DONE, clear_question=True)
    await store.request_cancel("r1", "ann")
    assert await store.runnable(now=111.0) == []
    run = await store.run("r1")
    assert (run.question, run.cancel_requested_by) == (None, "ann")


async def test_two_processes_worth_of_connections_share_one_file(tmp_path: Path) -> None:
    one, two = await asyncio.gather(*(SqliteStore.open(tmp_path / "x" / "i.db") for _ in range(2)))
    await one.create_run("r1", REQUEST, "t", AT)
    await asyncio.gather(
        *(s.append("r1", EventType.NOTE, {"n": i}, at=AT) for i in range(25) for s in (one, two))
    )
    assert [e.seq for e in await two.events("r1")] == list(range(50))
    await one.close()
    await two.close()


async def test_a_cancelled_write_leaves_no_transaction_open(store: Store) -> None:
    for _ in range(20):
        task = asyncio.create_task(store.append("r1", EventType.NOTE, {}, at=AT))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.append("r1", EventType.NOTE, {}, at=AT)
    seqs = [e.seq for e in await store.events("r1")]
    assert seqs == list(range(len(seqs)))
    assert len(seqs) >= 20


async def test_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {migrations()[-1][0] + 1}")
    db.close()
    with pytest.raises(StoreError, match="Update the program"):
        await SqliteStore.open(path)


async def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    path.write_bytes(b"not a database, but long enough to be read as a header" * 40)
    with pytest.raises(StoreError, match="cannot be used"):
        await SqliteStore.open(path)


async def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "i.db")
    await store.create_run("r1", REQUEST, "t", AT)
    await store.db.execute("PRAGMA max_page_count = 1")  # SQLite's own way to a SQLITE_FULL
    with pytest.raises(StoreError, match="full") as caught:
        await store.append("r1", EventType.NOTE, {"text": "x" * 1_000_000}, at=AT)
    assert caught.value.kind is FailureKind.NO_DISK
    assert len(await store.events("r1")) == 0
    await store.close()


async def test_a_locked_database_is_told_as_one(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "i.db")
    await store.create_run("r1", REQUEST, "t", AT)
    await store.db.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / "i.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await store.append("r1", EventType.NOTE, {}, at=AT)
    other.execute("ROLLBACK")
    other.close()
    assert await store.append("r1", EventType.NOTE, {}, at=AT) == 0
    await store.close()


async def test_a_second_create_finds_the_run(store: Store) -> None:
    again = await store.create_run("r1", Request("Something else"), "Other", AT)
    assert again.request == REQUEST


async def test_the_feed_has_every_runs_events_in_the_order_of_writing(store: Store) -> None:
    await store.create_run("r2", REQUEST, "t", AT)
    start = await store.feed_end()
    for run_id in ("r1", "r2", "r1"):
        await store.append(run_id, EventType.NOTE, {"text": run_id}, at=AT)
    news = await store.feed(start)
    assert [event.run_id for _, event in news] == ["r1", "r2", "r1"]
    assert [position for position, _ in news] == sorted({position for position, _ in news})
    assert await store.feed(news[-1][0]) == []
    assert await store.feed(start, limit=1) == news[:1]
    assert await store.feed_end() == news[-1][0]


async def test_runs_of_one_surface_and_of_one_person(store: Store) -> None:
    await store.create_run("r2", Request("s", requester="U1", surface="slack"), "t", AT)
    await store.create_run("r3", Request("s", requester="U2", surface="slack"), "t", AT)
    assert {run.id for run in await store.runs(surface="slack")} == {"r2", "r3"}
    assert [run.id for run in await store.runs(surface="slack", requester="U1")] == ["r2"]
    assert len(await store.runs()) == 3


async def test_wishes_add_up(store: Store) -> None:
    await store.wish("r1", {"epochs": 1, "batch_size": 8})
    await store.wish("r1", {"epochs": 2})
    assert dict((await store.run("r1")).wishes) == {"epochs": 2, "batch_size": 8}


def spend(key: str, usd: float, **more: Any) -> Spend:
    return Spend(key, "r1", "abc", "modal", "T4", "slack:U1", "C1", usd / 2, usd, **{"at": AT, **more})


async def test_a_commitment_counts_until_it_is_settled(store: Store) -> None:
    assert await store.commit_spend(spend("a", 2.0), Budgets()) == ""
    assert await store.spent_usd("2026-11") == 2.0
    await store.settle("a", 0.5)
    assert await store.spent_usd("2026-11") == 0.5
    assert await store.spent_usd("2026-11", surface="discord") == 0.0
    assert await store.spent_usd("2026-10") == 0.0
    assert [(line.committed_usd, line.actual_usd) for line in await store.ledger(run_id="r1")] == [(2.0, 0.5)]


async def test_tokens_stand_in_the_same_ledger(store: Store) -> None:
    await store.commit_spend(spend("a", 2.0), Budgets())
    await store.commit_spend(replace(spend("b", 1.0), backend="llm"), Budgets())
    await store.settle("b", 0.25, Tokens(1200, 34))
    lines = await store.ledger(run_id="r1")
    assert [(line.input_tokens, line.output_tokens) for line in lines] == [(None, None), (1200, 34)]
    assert await store.spent_usd("2026-11") == 2.25


async def test_the_same_job_is_committed_once(store: Store) -> None:
    for _ in range(2):
        assert await store.commit_spend(spend("a", 2.0), Budgets(run=2.0)) == ""
    assert len(await store.ledger()) == 1


@pytest.mark.parametrize("name", ["run", "person", "channel", "month"])
async def test_a_budget_stops_what_would_pass_it(store: Store, name: str) -> None:
    budgets = Budgets(**{name: 3.0})
    assert await store.commit_spend(spend("a", 2.0), budgets) == ""
    assert await store.commit_spend(spend("b", 1.5), budgets) == name
    assert await store.commit_spend(spend("c", 1.0), budgets) == ""
    assert [line.key for line in await store.ledger()] == ["a", "c"]


async def test_a_new_month_has_a_new_budget_but_a_run_keeps_its_own(store: Store) -> None:
    assert await store.commit_spend(spend("a", 2.0, at="2026-10-31T23:59:59"), Budgets()) == ""
    assert await store.commit_spend(spend("b", 2.0), Budgets(month=2.0)) == ""
    assert await store.commit_spend(spend("c", 0.1), Budgets(run=4.0)) == "run"


async def test_two_commitments_at_once_cannot_pass_a_budget_together(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.commit_spend(spend(f"k{n}", 1.0), Budgets(month=3.0)) for n in range(10))
    )
    assert answers.count("") == 3
