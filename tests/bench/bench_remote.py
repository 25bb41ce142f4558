"""How much the remote backends cost over running the same program directly: the providers' real clients, against
stand-ins for the providers in processes of their own (which take their part of this machine's cores).

``python -m tests.bench.bench_remote`` prints one JSON line a figure and backend:

start      submit to first event (median, s), and the same program run directly
latency    from the job's writing an event to the reader's having it, one event each 25 ms (ms)
rate       events a second that a job says as fast as it can, how many were lost, and what one costs the reader (µs)
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from remote.backend import Backend, Need
from remote.backends.hf_jobs import HfJobsBackend
from tests.bench.bench_backend import Report, direct_s, latency
from tests.bench.stand_in import stand_in
from tests.jobsserver.server import OWNER_TOKEN
from tests.modalserver.world import backend_for, environment
from tests.remote.sandbox.jobs import job

EVENTS, STARTS = 100_000, 7
NEED = Need(timeout_s=120, memory_mb=1024, disk_mb=64, processes=64)


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
    """From the first event to the end of the stream."""
    code = f"for i in range({EVENTS}):\n    emit.progress(i, {EVENTS}, loss=1.0)\nemit.result({{}})"
    ref = await backend.submit(job(home, code, key="rate", need=NEED))
    steps, begun, worked = [], 0.0, time.process_time()
    async for event in backend.events(ref):
        begun = begun or time.perf_counter()
        steps.append(event.fields.get("step"))
    seconds = time.perf_counter() - begun
    return {
        "events_per_s": round(len(steps) / seconds),
        "lost": EVENTS + 1 - len(steps),
        "in_order": int(steps[:-1] == list(range(EVENTS))),
        "reader_us": round(1e6 * (time.process_time() - worked) / len(steps), 1),
    }


async def measured(name: str, backend: Backend, home: Path) -> None:
    for measure in (start, latency, rate):
        report = await measure(backend, home)
        print(json.dumps({"figure": measure.__name__, "backend": name, **report}), flush=True)


async def modal(url: str, home: Path) -> None:
    os.environ.update(environment(url, home))  # before the client is imported
    backend = backend_for()
    try:
        await measured("modal", backend, home)
    finally:
        await backend.aclose()


async def hf_jobs(url: str, home: Path) -> None:
    backend = HfJobsBackend(SecretStr(OWNER_TOKEN), url, home / "home", requirements=())
    await measured("hf_jobs", backend, home)


@contextmanager
def place(kind: str) -> Iterator[tuple[str, Path]]:
    """A stand-in's address and an empty folder."""
    with tempfile.TemporaryDirectory() as folder, stand_in(kind, Path(folder, "server")) as url:
        yield url, Path(folder)


def main() -> None:
    with place("modal") as (url, home):
        asyncio.run(modal(url, home))
    with place("hf_jobs") as (url, home):
        asyncio.run(hf_jobs(url, home))


if __name__ == "__main__":
    main()
