"""Numbered migrations: ``migrations/NNNN_name.sql``, applied in order, each in one transaction, once.

The number of the last one stands in SQLite's own ``user_version``. A database that is newer than this program is
refused, so that an older process never writes into a schema that it doesn't know.
"""

from __future__ import annotations

from importlib import resources

import aiosqlite

from graph.errors import StoreError


def migrations() -> list[tuple[int, str]]:
    """``(number, SQL)`` in order."""
    folder = resources.files("graph.store") / "migrations"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [(int(f.name.split("_", 1)[0]), f.read_text(encoding="utf-8")) for f in files]


async def migrate(db: aiosqlite.Connection) -> int:
    """Bring the database up to date; returns its version. Two processes at once are safe."""
    wanted = migrations()
    version = await _version(db)
    if version > wanted[-1][0]:
        raise StoreError(
            f"The database has schema version {version}, this program knows {wanted[-1][0]}.",
            "Update the program, or point DATABASE_URL or INTERN_HOME elsewhere.",
        )
    if version == wanted[-1][0]:
        return version
    await db.execute("BEGIN IMMEDIATE")
    try:
        version = await _version(db)  # another process may have migrated while this one waited
        for number, sql in wanted:
            if number > version:
                for statement in _statements(sql):
                    await db.execute(statement)
                await db.execute(f"PRAGMA user_version = {number}")
        await db.execute("COMMIT")
    except BaseException:
        await db.execute("ROLLBACK")
        raise
    return wanted[-1][0]


async def _version(db: aiosqlite.Connection) -> int:
    async with db.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


def _statements(sql: str) -> list[str]:
    # executescript() would commit the transaction, hence one by one; our files hold no ';' within a statement.
    lines = [line.split("--", 1)[0] for line in sql.splitlines()]
    return [s.strip() for s in "\n".join(lines).split(";") if s.strip()]
