"""A stand-in for a provider as a process of its own, so that it shares no interpreter with who talks to it.

``python -m tests.bench.stand_in modal|hf_jobs FOLDER`` prints its address and serves until its stdin is closed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.jobsserver.server import JobsServer
from tests.modalserver.server import ModalServer


@contextmanager
def stand_in(kind: str, folder: Path) -> Iterator[str]:
    """Its address."""
    command = [sys.executable, "-m", "tests.bench.stand_in", kind, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


async def hf_jobs(folder: Path) -> None:
    async with JobsServer(folder).running() as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def modal(folder: Path) -> None:
    with ModalServer(folder) as server:
        print(server.url, flush=True)
        sys.stdin.read()


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "modal":
        modal(folder)
    else:
        asyncio.run(hf_jobs(folder))


if __name__ == "__main__":
    main()
