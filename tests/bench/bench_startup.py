"""``python -m tests.bench.bench_startup``: what the command costs before it does anything, and a run's orchestration.

- importing ``bot.cli`` against a bare interpreter: seconds and peak memory of whole processes, medians;
- a whole run with a backend that answers at once: seconds of everything that is not a job.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 7


def process(code: str) -> tuple[float, float]:
    """Wall seconds and peak memory (MB) of ``python -c code``; medians over RUNS after one warm-up."""
    probe = f"{code}\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    seconds, memory = [], []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
        memory.append(float(done.stdout))
    return statistics.median(seconds[1:]), statistics.median(memory[1:])


async def orchestration() -> float:
    """Seconds of one run from sentence to package where every job answers at once; median over RUNS."""
    from tests.graph.world import World

    seconds = []
    for _ in range(RUNS + 1):
        with tempfile.TemporaryDirectory() as folder:
            world = World(Path(folder) / "home")
            async with world.process() as driver:
                await world.start(driver)
                began = time.perf_counter()
                run = await driver.advance("r1")
                seconds.append(time.perf_counter() - began)
                assert run.status.ended
    return statistics.median(seconds[1:])


def main() -> None:
    bare_s, bare_mb = process("pass")
    cli_s, cli_mb = process("import bot.cli")
    print(f"bare interpreter   {bare_s:6.3f} s {bare_mb:6.1f} MB")
    print(f"import bot.cli     {cli_s:6.3f} s {cli_mb:6.1f} MB   ×{cli_s / bare_s:.1f} the bare interpreter")
    print(
        f"orchestration      {asyncio.run(orchestration()):6.3f} s of a whole run with jobs that answer at once"
    )
    print(f"peak of this bench {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:6.1f} MB")


if __name__ == "__main__":
    main()
