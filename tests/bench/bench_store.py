"""From a job's writing an event to its standing in the run's log, through the local backend.

``python -m tests.bench.bench_store`` prints one JSON line a figure:

latency    one event each 25 ms, of which every one is kept (ms)
progress   100,000 steps as fast as the job can say them: events a second; the log keeps one each second of them
warnings   20,000 warnings as fast as the job can say them, each of which is kept: events a second, transactions, lost
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from graph import jobs
from graph.context import Context
from graph.deps import Deps, Said
from graph.names import Stage
from graph.state import Request
from graph.store.sqlite import SqliteStore
from remote.backend import JobSpec, Need
from remote.backends.local import LocalBackend
from remote.recipes.registry import Registry
from tests.bench.bench_backend import Report
from tests.remote.sandbox.jobs import job

NEED = Need(timeout_s=120, memory_mb=2048, disk_mb=1024, processes=64)
STEPS, WARNINGS = 100_000, 20_000


class Timed(SqliteStore):
    """Knows when each of its events was written, and in how many transactions."""

    transactions = 0
    written: list[tuple[Said, float]]

    async def append_all(self, run_id: str, said: Sequence[Said], *, fence: int | None = None) -> None:
        await super().append_all(run_id, said, fence=fence)
        self.written += [(each, time.time()) for each in said]
        self.transactions += 1


async def heard(home: Path, spec: JobSpec) -> tuple[Timed, float]:
    """The store once it has heard the whole job, and the seconds from the first word to the last."""
    store = await Timed.open(home / f"{spec.key}.db")
    assert isinstance(store, Timed)
    store.written = []
    await store.create_run("run", Request("Sort tickets"), "Sort tickets", datetime.now(UTC).isoformat())
    await store.lease("run", "me", 0.0, 1e9)
    backend = LocalBackend(home)
    deps = Deps(store, [backend], [], {}, Registry(), home, lambda: datetime.now(UTC), fence=1)
    ref = await backend.submit(spec)
    outcome = await jobs.listen(Context(deps, "run", Stage.WATCH, 0), ref, "program", to_end=True)
    return store, outcome.seconds


async def latency(home: Path) -> Report:
    code = """
        import time
        for step in range(200):
            emit.epoch(step, at=time.time())
            time.sleep(0.025)
        emit.result({})
    """
    store, _ = await heard(home, job(home, code, key="latency", need=NEED))
    late = sorted(1000 * (at - said.payload["metrics"]["at"]) for said, at in store.written)
    await store.close()
    return {
        "median_ms": round(late[len(late) // 2], 1),
        "p95_ms": round(late[int(0.95 * len(late))], 1),
        "max_ms": round(late[-1], 1),
    }


async def progress(home: Path) -> Report:
    code = f"for i in range({STEPS}): emit.progress(i, {STEPS}, loss=1.0)\nemit.result({{}})"
    store, seconds = await heard(home, job(home, code, key="progress", need=NEED))
    await store.close()
    return {"events_per_s": round(STEPS / seconds), "kept": len(store.written)}


async def warnings(home: Path) -> Report:
    code = f"for i in range({WARNINGS}): emit.warning('note', str(i))\nemit.result({{}})"
    store, _ = await heard(home, job(home, code, key="warnings", need=NEED))
    begun = datetime.fromisoformat(store.written[0][0].at).timestamp()
    kept = [event.payload["detail"] for event in await store.events("run")]
    await store.close()
    return {
        "events_per_s": round(len(kept) / (store.written[-1][1] - begun)),
        "transactions": store.transactions,
        "lost": WARNINGS - len(kept),
        "in_order": int(kept == sorted(kept, key=int)),
    }


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for measure in (latency, progress, warnings):
            report = await measure(Path(folder))
            print(json.dumps({"figure": measure.__name__, **report}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
