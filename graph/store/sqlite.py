"""The store on SQLite in WAL mode: one file, any number of processes on one machine, one connection a process.

Every write is one short ``BEGIN IMMEDIATE`` transaction that first checks the fence where one is given, so that a
process that lost its lease cannot write over its successor. LangGraph's checkpoints live in the same file.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from graph.deps import Decision, Effect, Event, Lease, Run, Said
from graph.errors import LeaseLost, RunNotFound, StoreError
from graph.names import EventType, FailureKind, RunStatus, Stage
from graph.state import Question, Request
from graph.store.codec import dump, load
from graph.store.ledger import LedgerTable
from graph.store.migrate import migrate

BUSY_TIMEOUT_S = 10.0


class SqliteStore(LedgerTable):
    """See :class:`graph.deps.Store` for the contract."""

    def __init__(self, db: aiosqlite.Connection) -> None:
        self.db = db
        # One transaction at a time on our one connection; the checkpoints' connection stands in the same line.
        self.turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> SqliteStore:
        """Open and migrate. Raises StoreError when the file cannot be a database of ours."""
        with _Words(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            db = await aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                await db.execute("PRAGMA journal_mode = WAL")
                await db.execute("PRAGMA synchronous = NORMAL")
                await db.execute("PRAGMA foreign_keys = ON")
                await migrate(db)
            except BaseException:
                await db.close()
                raise
        return cls(db)

    async def close(self) -> None:
        await self.db.close()

    # -- runs ------------------------------------------------------------------------------------------------

    async def create_run(self, run_id: str, request: Request, title: str, at: str) -> Run:
        async with self.transaction() as db:
            await db.execute(
                "INSERT INTO runs (id, title, status, stage, request, created_at, updated_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (run_id, title, RunStatus.RUNNING, Stage.INTAKE, dump(request), at, at),
            )
        return await self.run(run_id)

    async def run(self, run_id: str) -> Run:
        rows = await self.all("SELECT * FROM runs WHERE id = ?", run_id)
        if not rows:
            raise RunNotFound(f"There is no run {run_id!r}.", "`intern runs` lists the runs.")
        return _run(rows[0])

    async def find(self, prefix: str) -> Run:
        # GLOB metacharacters cannot occur in our ids, so a prefix with one simply finds nothing.
        rows = await self.all("SELECT * FROM runs WHERE substr(id, 1, ?) = ? LIMIT 2", len(prefix), prefix)
        if prefix and len(rows) == 1:
            return _run(rows[0])
        if prefix and len(rows) > 1:
            raise RunNotFound(f"More than one run starts with {prefix!r}.", "Give more of its id.")
        raise RunNotFound(f"There is no run {prefix!r}.", "`intern runs` lists the runs.")

    async def runs(
        self, limit: int = 50, *, surface: str | None = None, requester: str | None = None
    ) -> list[Run]:
        rows = await self.all(
            "SELECT * FROM runs WHERE (?1 IS NULL OR json_extract(request, '$.surface') = ?1) "
            "AND (?2 IS NULL OR json_extract(request, '$.requester') = ?2) "
            "ORDER BY created_at DESC LIMIT ?3",
            surface,
            requester,
            limit,
        )
        return [_run(r) for r in rows]

    async def wish(self, run_id: str, settings: Mapping[str, Any]) -> None:
        async with self.transaction() as db:
            await db.execute(
                "UPDATE runs SET wishes = json_patch(wishes, ?) WHERE id = ?", (json.dumps(settings), run_id)
            )

    async def runnable(self, now: float) -> list[str]:
        rows = await self.all(
            "SELECT r.id FROM runs r LEFT JOIN leases l ON l.run_id = r.id AND l.expires_at > ? "
            "WHERE l.run_id IS NULL AND (r.status = 'running' OR r.status = 'waiting' AND ("
            "  r.cancel_requested_by IS NOT NULL OR EXISTS (SELECT 1 FROM decisions d "
            "  WHERE d.interrupt_id = json_extract(r.question, '$.id')))) ORDER BY r.created_at",
            now,
        )
        return [str(r["id"]) for r in rows]

    async def update_run(
        self,
        run_id: str,
        *,
        fence: int,
        at: str,
        status: RunStatus | None = None,
        stage: Stage | None = None,
        title: str | None = None,
        question: Question | None = None,
        clear_question: bool = False,
    ) -> None:
        changes: dict[str, Any] = {"updated_at": at}
        changes |= {
            k: v for k, v in (("status", status), ("stage", stage), ("title", title)) if v is not None
        }
        if question is not None or clear_question:
            changes["question"] = dump(question) if question is not None else None
        columns = ", ".join(f"{name} = ?" for name in changes)  # names are the literals above
        async with self.transaction(run_id, fence) as db:
            await db.execute(f"UPDATE runs SET {columns} WHERE id = ?", (*changes.values(), run_id))  # noqa: S608

    async def request_cancel(self, run_id: str, actor: str) -> None:
        async with self.transaction() as db:
            await db.execute(
                "UPDATE runs SET cancel_requested_by = COALESCE(cancel_requested_by, ?) WHERE id = ?",
                (actor, run_id),
            )

    # -- events ----------------------------------------------------------------------------------------------

    async def append(
        self,
        run_id: str,
        type: EventType,  # noqa: A002 - the field's name
        payload: Mapping[str, Any],
        *,
        at: str,
        stage: Stage | None = None,
        key: str | None = None,
        fence: int | None = None,
    ) -> int:
        async with self.transaction(run_id, fence) as db:
            if key is not None:
                async with db.execute(
                    "SELECT seq FROM events WHERE run_id = ? AND key = ?", (run_id, key)
                ) as cursor:
                    if found := await cursor.fetchone():
                        return int(found[0])
            async with db.execute(
                "INSERT INTO events (run_id, seq, at, type, stage, payload, key) "
                "SELECT ?, COALESCE(MAX(seq) + 1, 0), ?, ?, ?, ?, ? FROM events WHERE run_id = ? RETURNING seq",
                (run_id, at, type, stage, json.dumps(payload, ensure_ascii=False), key, run_id),
            ) as cursor:
                row = await cursor.fetchone()
        assert row is not None
        return int(row[0])

    async def append_all(self, run_id: str, said: Sequence[Said], *, fence: int | None = None) -> None:
        rows = [
            (run_id, s.at, s.type, s.stage, json.dumps(s.payload, ensure_ascii=False), s.key, run_id)
            for s in said
        ]
        async with self.transaction(run_id, fence) as db:
            await db.executemany(
                "INSERT INTO events (run_id, seq, at, type, stage, payload, key) "
                "SELECT ?, COALESCE(MAX(seq) + 1, 0), ?, ?, ?, ?, ? FROM events WHERE run_id = ? "
                "ON CONFLICT (run_id, key) WHERE key IS NOT NULL DO NOTHING",
                rows,
            )

    async def events(self, run_id: str, after: int = -1) -> list[Event]:
        rows = await self.all("SELECT * FROM events WHERE run_id = ? AND seq > ? ORDER BY seq", run_id, after)
        return [_event(r) for r in rows]

    async def feed(self, after: int, limit: int = 1000) -> list[tuple[int, Event]]:
        # rowid grows with every insert, and writers take turns: no smaller one can appear later.
        rows = await self.all(
            "SELECT rowid AS position, * FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?", after, limit
        )
        return [(int(r["position"]), _event(r)) for r in rows]

    async def feed_end(self) -> int:
        (row,) = await self.all("SELECT COALESCE(MAX(rowid), 0) AS position FROM events")
        return int(row["position"])

    # -- decisions and effects -------------------------------------------------------------------------------

    async def decide(self, decision: Decision) -> tuple[Decision, bool]:
        d = decision
        async with (
            self.transaction() as db,
            db.execute(
                "INSERT INTO decisions "
                "(interrupt_id, run_id, kind, value, actor, surface, price_usd, plan_hash, why, at, actor_name) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (interrupt_id) DO NOTHING",
                (
                    d.interrupt_id,
                    d.run_id,
                    d.kind,
                    d.value,
                    d.actor,
                    d.surface,
                    d.price_usd,
                    d.plan_hash,
                    d.why,
                    d.at,
                    d.actor_name,
                ),
            ) as cursor,
        ):
            won = cursor.rowcount == 1
        held = await self.decision(d.interrupt_id)
        assert held is not None
        return held, won

    async def decision(self, interrupt_id: str) -> Decision | None:
        rows = await self.all("SELECT * FROM decisions WHERE interrupt_id = ?", interrupt_id)
        return Decision(**dict(rows[0])) if rows else None

    async def decisions(self, run_id: str) -> list[Decision]:
        rows = await self.all("SELECT * FROM decisions WHERE run_id = ? ORDER BY at, rowid", run_id)
        return [Decision(**dict(r)) for r in rows]

    async def claim(self, key: str, run_id: str, *, fence: int | None = None) -> Effect:
        async with self.transaction(run_id, fence) as db:
            await db.execute(
                "INSERT INTO effects (key, run_id, state) VALUES (?, ?, 'claimed') ON CONFLICT (key) DO NOTHING",
                (key, run_id),
            )
        return _effect((await self.all("SELECT * FROM effects WHERE key = ?", key))[0])

    async def record(self, key: str, result: Mapping[str, Any], *, fence: int | None = None) -> None:
        rows = await self.all("SELECT run_id FROM effects WHERE key = ?", key)
        if not rows:
            raise StoreError(f"The effect {key!r} was never claimed.")
        async with self.transaction(rows[0]["run_id"], fence) as db:
            await db.execute(
                "UPDATE effects SET state = 'done', result = ? WHERE key = ?",
                (json.dumps(result, ensure_ascii=False), key),
            )

    async def effects(self, run_id: str) -> list[Effect]:
        rows = await self.all("SELECT * FROM effects WHERE run_id = ? ORDER BY rowid", run_id)
        return [_effect(r) for r in rows]

    # -- leases ----------------------------------------------------------------------------------------------

    async def lease(self, run_id: str, holder: str, now: float, ttl_s: float) -> Lease | None:
        async with (
            self.transaction() as db,
            db.execute(
                "INSERT INTO leases (run_id, holder, fence, expires_at) VALUES (?, ?, 1, ?) "
                "ON CONFLICT (run_id) DO UPDATE SET "
                "  fence = fence + (holder <> excluded.holder OR expires_at <= ?), "
                "  holder = excluded.holder, expires_at = excluded.expires_at "
                "WHERE holder = excluded.holder OR expires_at <= ? RETURNING fence",
                (run_id, holder, now + ttl_s, now, now),
            ) as cursor,
        ):
            row = await cursor.fetchone()
        return Lease(run_id, holder, int(row[0])) if row else None

    async def holder(self, run_id: str) -> str | None:
        rows = await self.all("SELECT holder FROM leases WHERE run_id = ? AND expires_at > 0", run_id)
        return str(rows[0]["holder"]) if rows else None

    async def expire(self, run_id: str, holder: str) -> None:
        async with self.transaction() as db:
            await db.execute(
                "UPDATE leases SET expires_at = 0 WHERE run_id = ? AND holder = ?", (run_id, holder)
            )

    async def release(self, lease: Lease) -> None:
        async with self.transaction() as db:
            await db.execute(
                "UPDATE leases SET expires_at = 0 WHERE run_id = ? AND holder = ? AND fence = ?",
                (lease.run_id, lease.holder, lease.fence),
            )

    # -- plumbing --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def transaction(
        self, run_id: str | None = None, fence: int | None = None
    ) -> AsyncIterator[aiosqlite.Connection]:
        """One short write; refused with LeaseLost where ``fence`` is no longer the run's. Raises StoreError."""
        async with self.turn:
            with _Words():
                try:
                    await self.db.execute("BEGIN IMMEDIATE")
                    if run_id is not None and fence is not None:
                        await self._check_fence(run_id, fence)
                    yield self.db
                    await self.db.execute("COMMIT")
                except BaseException:
                    # Queued behind a BEGIN that a cancelled task may have left under way; nothing to undo is fine.
                    await self.db.rollback()
                    raise

    async def _check_fence(self, run_id: str, fence: int) -> None:
        async with self.db.execute("SELECT fence FROM leases WHERE run_id = ?", (run_id,)) as cursor:
            row = await cursor.fetchone()
        if row is not None and int(row[0]) != fence:
            raise LeaseLost(f"Another process has taken run {run_id} over.")

    async def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Every row of a query. Raises StoreError."""
        with _Words():
            async with self.db.execute(sql, values) as cursor:
                cursor.row_factory = aiosqlite.Row
                return list(await cursor.fetchall())


class _Words:
    """Turns SQLite's errors into sentences for the person who runs this."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, sqlite3.Error | OSError):
            return
        text = str(error).lower()
        if "full" in text or "no space" in text:
            raise StoreError(
                "The disk with the database is full.",
                "Free some space, then `intern resume`.",
                FailureKind.NO_DISK,
            ) from error
        if "locked" in text or "busy" in text:
            raise StoreError(
                f"The database stayed locked for {BUSY_TIMEOUT_S:.0f} s.",
                "Close the program that holds it open, then try again.",
            ) from error
        where = f" {self.path}" if self.path else ""
        raise StoreError(
            f"The database{where} cannot be used: {error}.",
            "Check INTERN_HOME and the file's permissions, or restore it from a backup.",
        ) from error


def _run(row: sqlite3.Row) -> Run:
    return Run(
        id=row["id"],
        title=row["title"],
        status=RunStatus(row["status"]),
        stage=Stage(row["stage"]),
        request=load(Request, row["request"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        question=load(Question, row["question"]) if row["question"] else None,
        cancel_requested_by=row["cancel_requested_by"],
        wishes=json.loads(row["wishes"]),
    )


def _event(row: sqlite3.Row) -> Event:
    return Event(
        row["run_id"],
        row["seq"],
        row["at"],
        EventType(row["type"]),
        Stage(row["stage"]) if row["stage"] else None,
        json.loads(row["payload"]),
    )


def _effect(row: sqlite3.Row) -> Effect:
    return Effect(row["key"], row["state"], json.loads(row["result"]) if row["result"] else None)
