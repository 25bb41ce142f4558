"""Sandboxes of the stand-in: one process each, its mounts as folders, its output kept so that it replays."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modal_proto import api_pb2

Status = api_pb2.GenericResult


@dataclass
class Run:
    """One created sandbox: a line of the bill, and the process behind it."""

    id: str
    name: str
    definition: Any  # api_pb2.Sandbox
    tags: Mapping[str, str]
    created_at: float
    env: Mapping[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    result: Any = None  # api_pb2.GenericResult, once ended
    pid: int | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    terminated: bool = False
    timed_out: bool = False

    @property
    def running(self) -> bool:
        return self.result is None

    def wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


def tree(pid: int) -> list[int]:
    """``pid`` and its descendants, from /proc."""
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        found.append(parent)
        try:
            tasks = list(Path(f"/proc/{parent}/task").iterdir())
            waiting += [int(c) for task in tasks for c in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def kill_tree(pid: int, number: int = signal.SIGKILL) -> None:
    for each in tree(pid):
        try:
            os.kill(each, number)
        except ProcessLookupError:
            continue


async def execute(run: Run, folder: Path, mounts: Mapping[str, Path], secrets: Mapping[str, str]) -> None:
    """Run the sandbox's command to its end. ``mounts``: path in the sandbox -> folder of this machine."""
    folder.mkdir(parents=True)
    run.env = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MODAL_SANDBOX_ID": run.id,
        "TMPDIR": str(folder),
        **secrets,
    }
    argv = [_local(word, mounts) for word in run.definition.entrypoint_args]
    if argv[0] == "python":
        argv[0] = sys.executable
    with (folder.parent / f"{run.id}.stderr").open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=folder,
            env=dict(run.env),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=2**20,
            start_new_session=True,
        )
    run.pid = process.pid
    if run.terminated:  # before it began
        kill_tree(process.pid)
    reader = asyncio.create_task(_collect(run, process))
    code = await _within(process, run)
    await reader
    status = Status.GENERIC_STATUS_SUCCESS if code == 0 else Status.GENERIC_STATUS_FAILURE
    if run.terminated:
        status = Status.GENERIC_STATUS_TERMINATED
    elif run.timed_out:
        status = Status.GENERIC_STATUS_TIMEOUT
    shutil.rmtree(folder, ignore_errors=True)
    run.result = Status(status=status, exitcode=code if code >= 0 else 128 - code)
    run.wake()


async def _within(process: asyncio.subprocess.Process, run: Run) -> int:
    try:
        return await asyncio.wait_for(process.wait(), run.definition.timeout_secs or None)
    except TimeoutError:
        run.timed_out = True
        kill_tree(process.pid)
        return await process.wait()


async def _collect(run: Run, process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        run.lines.append(line.decode("utf-8", "replace"))
        run.wake()


def _local(word: str, mounts: Mapping[str, Path]) -> str:
    for mount, folder in mounts.items():
        if word == mount or word.startswith(f"{mount}/"):
            return str(folder) + word.removeprefix(mount)
    return word


def now() -> float:
    return time.time()
