"""How much the remote backends cost over running the same program directly: the providers' real clients, against
stand-ins for the providers on this machine (which take their part of its two cores).

``python -m tests.bench.bench_remote`` prints one JSON line a backend: submit to first event (median, s), the same
program run directly, and 20,000 events a second through provider, client and reader, with how many were lost.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path

from remote.backend import Backend
from tests.bench.bench_backend import Report, direct_s
from tests.jobsserver.world import hf_world
from tests.modalserver.world import modal_world
from tests.remote.sandbox.jobs import job

EVENTS, STARTS = 20_000, 7


async def start(backend: Backend, home: Path) -> Report:
    direct = statistics.median([await asyncio.to_thread(direct_s, home) for _ in range(STARTS)])
    first = []
    for n in range(STARTS):
        spec = job(home, "emit.progress(1, 2)\nemit.result({})", key=f"start-{n}")
        begun = time.perf_counter()
        events = backend.events(await backend.submit(spec))
        await anext(events)
        first.append(time.perf_counter() - begun)
        async for _ in events:
            pass
    return {"first_event_s": round(statistics.median(first), 3), "direct_s": round(direct, 3)}


async def rate(backend: Backend, home: Path) -> Report:
    code = f"for i in range({EVENTS}):\n    emit.progress(i, {EVENTS}, loss=1.0)\nemit.result({{}})"
    ref = await backend.submit(job(home, code, key="rate"))
    seen, begun = 0, 0.0
    async for _ in backend.events(ref):
        begun = begun or time.perf_counter()
        seen += 1
    per_s = seen / (time.perf_counter() - begun)
    return {"events_per_s": round(per_s), "lost": EVENTS + 1 - seen}


async def measured(name: str, backend: Backend, home: Path) -> None:
    report = {"backend": name, **await start(backend, home), **await rate(backend, home)}
    print(json.dumps(report), flush=True)


async def hf_jobs(home: Path) -> None:
    async with hf_world(home) as world:
        await measured("hf_jobs", world.backend, home)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "modal").mkdir()
        (home / "hf").mkdir()
        with modal_world(home / "modal") as world:
            asyncio.run(measured("modal", world.backend, home / "modal"))
        asyncio.run(hf_jobs(home / "hf"))


if __name__ == "__main__":
    main()
