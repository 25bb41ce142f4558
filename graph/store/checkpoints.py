"""LangGraph's checkpoints in the same SQLite file, readable only as the types listed here.

A checkpoint is data from disk: the serializer is told which classes it may make and refuses every other.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiosqlite
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from graph import literature, names, state
from graph.store.sqlite import BUSY_TIMEOUT_S


def serializer() -> JsonPlusSerializer:
    values: list[type] = [
        c
        for c in (*vars(state).values(), *vars(literature).values())
        if inspect.isclass(c) and dataclasses.is_dataclass(c)
    ]
    enums: list[type] = [
        names.DecisionKind,
        names.FailureKind,
        names.RunStatus,
        names.Stage,
        names.TaskFamily,
    ]
    known = {(c.__module__, c.__name__) for c in (*values, *enums)}
    return JsonPlusSerializer(allowed_msgpack_modules=sorted(known))


@asynccontextmanager
async def sqlite_saver(path: Path, turn: asyncio.Lock | None = None) -> AsyncIterator[AsyncSqliteSaver]:
    """A saver on a connection of its own, so that its transactions never mix with the store's.

    ``turn``: the store's. SQLite has no line of writers: of two busy connections one can go without a turn until its
    time is up, which hundreds of runs at once have shown. With one lock for both the line is asyncio's, and fair.
    """
    async with aiosqlite.connect(path, timeout=BUSY_TIMEOUT_S) as db:
        saver = AsyncSqliteSaver(db, serde=serializer())
        saver.lock = turn or saver.lock  # held by each of its reads and writes, which call nothing of ours
        await saver.setup()
        yield saver
