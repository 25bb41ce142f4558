"""What the sandbox holds and what it costs.

``python -m tests.bench.bench_sandbox`` prints one JSON line a figure, each beside its limit:

flood     1 GB of log in three shapes: wall time (s), the supervisor's peak memory (limit 100 MB), log on disk (MB)
events    200,000 events as quickly as they can be said: events a second (at least 10,000), lost (0), peak memory
steady    10,000 events a second for 5 s: lost (0), and how far the reader is behind at the end (ms)
filter    a system call in the sandbox against the same call outside, in one run (ratio)
intake    taking over 256 MB of weights against copying them (ratio): hashing, and looking into them
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from remote.backend import Need
from remote.backends.local import LocalBackend
from remote.protocol import JobEventType
from remote.sandbox.artifacts import fetch
from tests.remote.sandbox.jobs import job, run

NEED = Need(timeout_s=600, memory_mb=2048, disk_mb=1024, processes=64)
MB = 1024**2
Report = dict[str, float | int | str]
SHAPES = {
    "lines": "block = (b'x' * 1023 + b'\\n') * 1024",
    "one line": "block = b'{' * 1024**2",
    "braces": "block = (b'{' + b'x' * 1022 + b'\\n') * 1024",
}
EVENT = """
line = (b'{"v":1,"seq":%d,"t":"2026-01-01T00:00:00.000+00:00","type":"progress",'
        b'"stage":"program","step":%d,"metrics":{"loss":0.123456}}\\n')
"""
CALLS = """
import os, time
best = 9.0
for _ in range(5):
    begun = time.perf_counter()
    for _ in range(100_000):
        os.getppid()
    best = min(best, time.perf_counter() - begun)
"""


async def flood(backend: LocalBackend, home: Path) -> Report:
    report: Report = {"limit_mb": 100}
    for shape, block in SHAPES.items():
        code = (
            f"{block}\nfor _ in range(1024):\n    os.write(1, block)\nos.write(1, b'\\n')\nemit.result({{}})"
        )
        begun = time.perf_counter()
        ended = await run(backend, home, job(home, code, key=f"flood-{shape.replace(' ', '-')}", need=NEED))
        report[f"{shape}: s"] = round(time.perf_counter() - begun, 1)
        report[f"{shape}: peak MB"] = ended.exit["supervisor_peak_mb"]
        report[f"{shape}: log MB"] = round(ended.folder.log.stat().st_size / MB, 1)
    return report


async def events(backend: LocalBackend, home: Path) -> Report:
    count = 200_000
    code = f"{EVENT}\nfor step in range({count}):\n    os.write(1, line % (step, step))\nemit.result({{}})"
    begun = time.perf_counter()
    ended = await run(backend, home, job(home, code, key="events", need=NEED))
    seconds = time.perf_counter() - begun
    steps = [event.fields["step"] for event in ended.events if event.type is JobEventType.PROGRESS]
    return {
        "events_per_s": round(count / seconds),
        "at_least": 10_000,
        "lost": count - len(set(steps)),
        "in_order": int(steps == sorted(steps)),
        "peak_mb": ended.exit["supervisor_peak_mb"],
    }


async def steady(backend: LocalBackend, home: Path) -> Report:
    code = f"""
import time
{EVENT}
begun = time.monotonic()
for batch in range(500):
    os.write(1, b"".join(line % (n, n) for n in range(100 * batch, 100 * batch + 100)))
    time.sleep(max(begun + (batch + 1) / 100 - time.monotonic(), 0))
emit.result({{"seconds": time.monotonic() - begun}})
"""
    ref = await backend.submit(job(home, code, key="steady", need=NEED))
    steps, behind_ms, said_s = set(), 0.0, 0.0
    async for event in backend.events(ref):
        if event.type is JobEventType.PROGRESS:
            steps.add(event.fields["step"])
        elif event.type is JobEventType.RESULT:
            said_s = event.fields["data"]["seconds"]
            behind_ms = 1000 * (time.time() - datetime.fromisoformat(event.t).timestamp())
    return {
        "events_per_s": round(50_000 / said_s),
        "lost": 50_000 - len(steps),
        "behind_ms": round(behind_ms, 1),
    }


async def filter_(backend: LocalBackend, home: Path) -> Report:
    inside = (
        await run(backend, home, job(home, f"{CALLS}\nemit.result({{'s': best}})", key="calls"))
    ).result["s"]
    done = subprocess.run([sys.executable, "-c", f"{CALLS}\nprint(best)"], capture_output=True, check=True)
    outside = float(done.stdout)
    return {
        "inside_us": round(inside * 10, 3),
        "outside_us": round(outside * 10, 3),
        "ratio": round(inside / outside, 2),
    }


async def intake(_backend: LocalBackend, home: Path) -> Report:
    out = home / "out"
    out.mkdir()
    save_file({"w": np.random.default_rng(0).random(32 * MB)}, out / "model.safetensors")
    begun = time.perf_counter()
    shutil.copytree(out, home / "copied")
    copied = time.perf_counter() - begun
    begun = time.perf_counter()
    fetch(out, home / "fetched", {})
    fetched = time.perf_counter() - begun
    return {"copy_s": round(copied, 2), "fetch_s": round(fetched, 2), "ratio": round(fetched / copied, 2)}


async def main() -> None:
    measures: list[Callable[[LocalBackend, Path], Awaitable[Report]]] = [
        flood,
        events,
        steady,
        filter_,
        intake,
    ]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        backend = LocalBackend(home)
        await backend.probe()
        for measure in measures:
            report = await measure(backend, home)
            print(json.dumps({"figure": measure.__name__.strip("_"), **report}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
