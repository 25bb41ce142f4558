"""What a chat surface remembers: where a run is shown, which message shows which card, and what came in.

In the same database as the runs, so that a restart finds both in one state. :class:`bot.chat.memory.ChatMemory`
is the contract.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiosqlite

from graph.errors import StoreError
from graph.holder import Holder
from graph.store.sqlite import SqliteStore

LEADER_S = 15.0  # how long a process that shows a surface's runs may be silent
INBOX_S = 300.0  # after that another process handles what this one took in


@dataclass(frozen=True, slots=True)
class _Coming:
    """On its way into the inbox. ``new``: the answer to who hands it in, cancelled where they wait no longer."""

    key: str
    body: str
    at: str
    new: asyncio.Future[bool]


class SurfaceTables:
    """One surface's rows. ``surface`` is its name, such as "slack"."""

    def __init__(self, store: SqliteStore, surface: str) -> None:
        self._store = store
        self._surface = surface
        self._me = str(Holder.me())
        self._coming: list[_Coming] = []
        self._keeping: asyncio.Task[None] | None = None

    # -- which run is shown where ----------------------------------------------------------------------------

    async def place_run(self, run_id: str, place: str) -> None:
        async with self._store.transaction() as db:
            await db.execute(
                "INSERT INTO shown_runs (surface, run_id, place) VALUES (?, ?, ?) "
                "ON CONFLICT (surface, run_id) DO NOTHING",
                (self._surface, run_id, place),
            )

    async def move_run(self, run_id: str, place: str) -> None:
        async with self._store.transaction() as db:
            await db.execute(
                "UPDATE shown_runs SET place = ? WHERE surface = ? AND run_id = ?",
                (place, self._surface, run_id),
            )

    async def place_of(self, run_id: str) -> str | None:
        rows = await self._store.all(
            "SELECT place FROM shown_runs WHERE surface = ? AND run_id = ?", self._surface, run_id
        )
        return str(rows[0]["place"]) if rows else None

    async def run_at(self, place: str) -> str | None:
        """The newest run that is shown at ``place``."""
        rows = await self._store.all(
            "SELECT s.run_id FROM shown_runs s JOIN runs r ON r.id = s.run_id WHERE s.surface = ? AND s.place = ? "
            "ORDER BY r.created_at DESC LIMIT 1",
            self._surface,
            place,
        )
        return str(rows[0]["run_id"]) if rows else None

    async def tell(self, run_id: str, seq: int) -> None:
        async with self._store.transaction() as db:
            await db.execute(
                "UPDATE shown_runs SET told = MAX(told, ?) WHERE surface = ? AND run_id = ?",
                (seq, self._surface, run_id),
            )

    async def untold(self) -> list[str]:
        """Runs of which this surface has not shown every event; its own runs that it does not show yet, too."""
        rows = await self._store.all(
            "SELECT r.id FROM runs r LEFT JOIN shown_runs s ON s.run_id = r.id AND s.surface = ?1 "
            "WHERE (s.run_id IS NOT NULL OR json_extract(r.request, '$.surface') = ?1) AND COALESCE(s.told, -1) < "
            "(SELECT COALESCE(MAX(e.seq), -1) FROM events e WHERE e.run_id = r.id) ORDER BY r.created_at",
            self._surface,
        )
        return [str(row["id"]) for row in rows]

    # -- which message shows which card ------------------------------------------------------------------------

    async def shown(self, run_id: str) -> dict[str, tuple[str, str]]:
        """``key -> (handle, digest)``."""
        rows = await self._store.all(
            "SELECT key, handle, digest FROM shown_cards WHERE surface = ? AND run_id = ?",
            self._surface,
            run_id,
        )
        return {str(r["key"]): (str(r["handle"]), str(r["digest"])) for r in rows}

    async def show(self, run_id: str, key: str, handle: str, digest: str) -> None:
        async with self._store.transaction() as db:
            await db.execute(
                "INSERT INTO shown_cards (surface, run_id, key, handle, digest) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (surface, run_id, key) DO UPDATE SET handle = excluded.handle, digest = excluded.digest",
                (self._surface, run_id, key, handle, digest),
            )

    # -- what came in ------------------------------------------------------------------------------------------

    async def accept(self, key: str, body: Mapping[str, Any], at: str) -> bool:
        """Keep what came in, before it is acknowledged; ``False`` where it has come in already.

        What comes in at once is kept in one transaction: an acknowledgement must not stand in line behind two
        hundred others. Whoever gives up waiting has not handed anything in.
        """
        new: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._coming.append(_Coming(key, json.dumps(body), at, new))
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._keep())
        return await new

    async def _keep(self) -> None:
        while self._coming:
            taken: list[_Coming] = []
            try:
                async with self._store.transaction() as db:
                    taken, self._coming = self._coming, []  # all that came in until it was our turn
                    wanted = [c for c in taken if not c.new.done()]
                    kept = await self._insert(db, wanted)
                    for key in kept - {c.key for c in wanted if not c.new.cancelled()}:
                        await db.execute(
                            "DELETE FROM inbox WHERE surface = ? AND key = ?", (self._surface, key)
                        )
            except StoreError as error:
                for coming in taken or self._coming:
                    if not coming.new.done():
                        coming.new.set_exception(error)
                self._coming = [c for c in self._coming if not c.new.done()]
                continue
            for coming in wanted:
                if not coming.new.done():
                    coming.new.set_result(coming.key in kept)
                    kept.discard(coming.key)  # the same thing twice at once is new once

    async def _insert(self, db: aiosqlite.Connection, wanted: Sequence[_Coming]) -> set[str]:
        """The keys that were not there yet."""
        rows = json.dumps([(c.key, c.body, c.at) for c in wanted])
        async with db.execute(
            "INSERT INTO inbox (surface, key, body, at, holder) SELECT ?, json_extract(value, '$[0]'), "
            "json_extract(value, '$[1]'), json_extract(value, '$[2]'), ? FROM json_each(?) WHERE true "
            "ON CONFLICT (surface, key) DO NOTHING RETURNING key",
            (self._surface, self._me, rows),
        ) as cursor:
            return {str(row[0]) for row in await cursor.fetchall()}

    async def finish(self, key: str) -> None:
        """It has been handled; its words are no longer kept."""
        async with self._store.transaction() as db:
            await db.execute(
                "UPDATE inbox SET handled = 1, body = '{}' WHERE surface = ? AND key = ?",
                (self._surface, key),
            )

    async def left_over(self, before: str) -> list[tuple[str, Mapping[str, Any]]]:
        """``(key, body)`` of what nobody handles any more, taken over by this process: its holder is dead, or it
        came in before ``before`` (ISO 8601)."""
        rows = await self._store.all(
            "SELECT key, body, at, holder FROM inbox WHERE surface = ? AND handled = 0 AND holder <> ? ORDER BY at",
            self._surface,
            self._me,
        )
        taken = []
        for row in rows:
            holder = Holder.parse(row["holder"])
            if not (row["at"] < before or (holder and holder.is_dead())):
                continue
            async with (
                self._store.transaction() as db,
                db.execute(
                    "UPDATE inbox SET holder = ? WHERE surface = ? AND key = ? AND holder = ? AND handled = 0",
                    (self._me, self._surface, row["key"], row["holder"]),
                ) as cursor,
            ):
                if cursor.rowcount == 1:
                    taken.append((str(row["key"]), json.loads(row["body"])))
        return taken

    # -- who shows the runs --------------------------------------------------------------------------------------

    async def lead(self, now: float) -> bool:
        """Whether this process shows the surface's runs, from now on for ``LEADER_S`` seconds."""
        rows = await self._store.all("SELECT holder FROM projecting WHERE surface = ?", self._surface)
        other = Holder.parse(rows[0]["holder"]) if rows else None
        dead = rows[0]["holder"] if rows and other and other.is_dead() else ""
        async with (
            self._store.transaction() as db,
            db.execute(
                "INSERT INTO projecting (surface, holder, expires_at) VALUES (?, ?, ?) "
                "ON CONFLICT (surface) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at "
                "WHERE holder IN (excluded.holder, ?) OR expires_at <= ?",
                (self._surface, self._me, now + LEADER_S, dead, now),
            ) as cursor,
        ):
            return cursor.rowcount == 1

    async def stop_leading(self) -> None:
        async with self._store.transaction() as db:
            await db.execute(
                "DELETE FROM projecting WHERE surface = ? AND holder = ?", (self._surface, self._me)
            )
