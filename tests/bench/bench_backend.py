"""How much the local backend costs over running the same program directly.

``python -m tests.bench.bench_backend`` prints one JSON line a figure:

start      submit to first event and to the end, against ``python -m remote.jobs`` run directly (median, s)
latency    from the job's writing an event to the reader's having it, one event each 25 ms (ms)
rate       events a second through pipe, file and reader, and how many were lost
flood      1 GB of log: wall time (s) and the supervisor's peak memory (MB)
bomb       how long the machine takes to be rid of a fork bomb after its deadline (s)
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from remote.backend import Backend, Need
from remote.backends.local import LocalBackend
from remote.protocol import JobEventType
from remote.sandbox.interpreter import package_root
from tests.remote.sandbox.jobs import job, no_sandbox, run

NEED = Need(timeout_s=120, memory_mb=2048, disk_mb=1024, processes=64)
Report = dict[str, float | int | str]


def direct_s(folder: Path) -> float:
    """One run of the same program without any backend."""
    code = "emit.progress(1, 2)\nemit.result({})"
    spec = job(folder, code, key="direct")
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "program.py").write_text((folder / "direct.py").read_text())
    programs = [{"name": "program", "module": spec.programs[0].module, "config": {}}]
    (folder / "job.json").write_text(json.dumps({"programs": programs}))
    command = [sys.executable, "-m", "remote.jobs"]
    env = {**os.environ, "PYTHONPATH": str(package_root())}
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


async def start(backend: LocalBackend, home: Path) -> Report:
    direct = statistics.median([await asyncio.to_thread(direct_s, home) for _ in range(10)])
    first, whole = [], []
    for n in range(10):
        spec = job(home, "emit.progress(1, 2)\nemit.result({})", key=f"start-{n}", need=NEED)
        begun = time.perf_counter()
        ref = await backend.submit(spec)
        seen = 0
        async for _ in backend.events(ref):
            if seen == 0:
                first.append(time.perf_counter() - begun)
            seen += 1
        whole.append(time.perf_counter() - begun)
    return {
        "direct_s": round(direct, 3),
        "first_event_s": round(statistics.median(first), 3),
        "whole_s": round(statistics.median(whole), 3),
        "overhead_s": round(statistics.median(whole) - direct, 3),
    }


async def latency(backend: Backend, home: Path) -> Report:
    code = """
        import time
        for step in range(200):
            emit.progress(step, 200, at=time.time())
            time.sleep(0.025)
        emit.result({})
    """
    ref = await backend.submit(job(home, code, key="latency", need=NEED))
    read = [(event, datetime.now(UTC).timestamp()) async for event in backend.events(ref)]
    steps = [(event, at) for event, at in read if event.type is JobEventType.PROGRESS]
    late = sorted(1000 * (at - event.fields["metrics"]["at"]) for event, at in steps)
    return {
        "median_ms": round(statistics.median(late), 1),
        "p95_ms": round(late[int(0.95 * len(late))], 1),
        "max_ms": round(late[-1], 1),
    }


async def rate(backend: LocalBackend, home: Path) -> Report:
    code = """
        for step in range(100_000):
            os.write(1, b'{"v":1,"seq":%d,"t":"2026-01-01T00:00:00.000+00:00","type":"progress",'
                        b'"stage":"program","step":%d,"metrics":{"loss":0.123456}}\\n' % (step, step))
        emit.result({})
    """
    begun = time.perf_counter()
    ended = await run(backend, home, job(home, code, key="rate", need=NEED))
    seconds = time.perf_counter() - begun
    steps = [event.fields["step"] for event in ended.events if event.type is JobEventType.PROGRESS]
    lost = 100_000 - len(set(steps))
    return {"events_per_s": round(100_000 / seconds), "lost": lost, "in_order": int(steps == sorted(steps))}


async def flood(backend: LocalBackend, home: Path) -> Report:
    code = """
        line = ("x" * 1023 + "\\n").encode() * 1024
        for _ in range(1024):
            os.write(2, line)
        emit.result({})
    """
    begun = time.perf_counter()
    ended = await run(backend, home, job(home, code, key="flood", need=NEED))
    return {
        "seconds": round(time.perf_counter() - begun, 2),
        "supervisor_peak_mb": ended.exit["supervisor_peak_mb"],
        "log_mb": round(ended.folder.log.stat().st_size / 1024**2, 1),
    }


async def bomb(backend: LocalBackend, home: Path) -> Report:
    code = "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    spec = replace(job(home, code, key="bomb"), need=replace(NEED, timeout_s=2.0))
    begun = time.perf_counter()
    ended = await run(backend, home, spec)
    over = round(time.perf_counter() - begun - 2.0, 2)
    return {"over_deadline_s": over, "left": int(ended.has_processes()), "ended_as": ended.failure.value}


async def main() -> None:
    measures: list[Callable[[LocalBackend, Path], Awaitable[Report]]] = [start, latency, rate, flood, bomb]
    for isolated in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            backend = LocalBackend(home) if isolated else LocalBackend(home, find_sandbox=no_sandbox)
            await backend.probe()
            for measure in measures[: len(measures) if isolated else 3]:
                report = await measure(backend, home)
                isolation = "bubblewrap" if isolated else "none"
                print(json.dumps({"figure": measure.__name__, "isolation": isolation, **report}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
