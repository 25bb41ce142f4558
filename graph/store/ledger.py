"""The ledger of money on SQLite: a commitment and the budgets that could stop it are one transaction."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractAsyncContextManager
from dataclasses import astuple, fields
from typing import Any

import aiosqlite

from graph.deps import Budgets, Spend
from graph.llm.model import Tokens

_COLUMNS = ", ".join(field.name for field in fields(Spend))
_USED = "SELECT COALESCE(SUM(COALESCE(actual_usd, committed_usd)), 0.0) FROM ledger WHERE "
_ROUNDING_USD = 1e-9


class LedgerTable:
    """The part of :class:`graph.deps.Store` that is about money; the other half brings the connection."""

    def transaction(
        self, run_id: str | None = None, fence: int | None = None
    ) -> AbstractAsyncContextManager[aiosqlite.Connection]:
        raise NotImplementedError

    async def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        raise NotImplementedError

    async def commit_spend(self, spend: Spend, budgets: Budgets, *, fence: int | None = None) -> str:
        month = spend.at[:7]
        limits = (
            ("run", budgets.run, "run_id = ?", (spend.run_id,)),
            ("person", budgets.person, "person = ? AND substr(at, 1, 7) = ?", (spend.person, month)),
            ("channel", budgets.channel, "channel = ? AND substr(at, 1, 7) = ?", (spend.channel, month)),
            ("month", budgets.month, "substr(at, 1, 7) = ?", (month,)),
        )
        async with self.transaction(spend.run_id, fence) as db:
            async with db.execute("SELECT 1 FROM ledger WHERE key = ?", (spend.key,)) as cursor:
                if await cursor.fetchone():
                    return ""
            for name, limit, where, values in limits:
                if limit is None:
                    continue
                async with db.execute(_USED + where, values) as cursor:
                    row = await cursor.fetchone()
                if row is not None and float(row[0]) + spend.committed_usd > limit + _ROUNDING_USD:
                    return name
            marks = ", ".join("?" * len(fields(Spend)))
            await db.execute(f"INSERT INTO ledger ({_COLUMNS}) VALUES ({marks})", astuple(spend))  # noqa: S608
        return ""

    async def settle(self, key: str, usd: float, tokens: Tokens | None = None) -> None:
        counts = (tokens.input, tokens.output) if tokens else (None, None)
        async with self.transaction() as db:
            await db.execute(
                "UPDATE ledger SET actual_usd = ?, input_tokens = ?, output_tokens = ? WHERE key = ?",
                (usd, *counts, key),
            )

    async def ledger(self, *, run_id: str | None = None, month: str | None = None) -> list[Spend]:
        rows = await self.all(
            f"SELECT {_COLUMNS} FROM ledger WHERE (?1 IS NULL OR run_id = ?1) "  # noqa: S608 - our own columns
            "AND (?2 IS NULL OR substr(at, 1, 7) = ?2) ORDER BY at, rowid",
            run_id,
            month,
        )
        return [Spend(**dict(row)) for row in rows]

    async def spent_usd(self, month: str, *, surface: str | None = None) -> float:
        lines = await self.ledger(month=month)
        return sum(line.usd for line in lines if surface is None or line.person.startswith(f"{surface}:"))
