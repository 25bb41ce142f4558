"""Sandboxes of the stand-in: one process each, its mounts as folders, its output kept so that it replays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modal_proto import api_pb2

Status = api_pb2.GenericResult
_DRAIN_S = 5.0


@dataclass
class Run:
    """One created sandbox: a line of the bill, and the process behind it."""

    id: str
    name: str
    definition: Any  # api_pb2.Sandbox
    tags: Mapping[str, str]
    created_at: float
    lines: list[str] = field(default_factory=list)
    result: Any = None  # api_pb2.GenericResult, once ended
    pid: int | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    terminated: bool = False
    timed_out: bool = False

    @property
    def running(self) -> bool:
        return self.result is None

    def say(self, line: str) -> None:
        self.lines.append(line)
        self.wake()

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


async def execute(run: Run, folder: Path, mounts: Mapping[str, Path]) -> None:
    """Run the sandbox's command to its end. ``mounts``: path in the sandbox -> folder of this machine."""
    code = 1
    try:
        folder.mkdir(parents=True)
        code = await _process(run, folder, mounts)
    finally:  # whatever happens: who waits for a sandbox shall not wait for ever
        status = Status.GENERIC_STATUS_SUCCESS if code == 0 else Status.GENERIC_STATUS_FAILURE
        if run.terminated:
            status = Status.GENERIC_STATUS_TERMINATED
        elif run.timed_out:
            status = Status.GENERIC_STATUS_TIMEOUT
        shutil.rmtree(folder, ignore_errors=True)
        run.result = Status(status=status, exitcode=code if code >= 0 else 128 - code)
        run.wake()


async def _process(run: Run, folder: Path, mounts: Mapping[str, Path]) -> int:
    """The exit code. Not asyncio's own subprocess, whose ``wait`` waits for the pipe as well: a stray process of a
    job may hold that open for ever."""
    env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "MODAL_SANDBOX_ID": run.id, "TMPDIR": str(folder)}
    argv = [_local(word, mounts) for word in run.definition.entrypoint_args]
    if argv[0] == "python":
        argv[0] = sys.executable
    with (folder.parent / f"{run.id}.stderr").open("wb") as stderr:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    run.pid = process.pid
    if run.terminated:  # before it began
        kill_tree(process.pid)
    said, code = asyncio.Event(), asyncio.get_running_loop().create_future()
    _in_thread(_read, process, run, said, asyncio.get_running_loop())
    _in_thread(_reap, process, code, asyncio.get_running_loop())
    try:
        await asyncio.wait_for(asyncio.shield(code), run.definition.timeout_secs or None)
    except TimeoutError:
        run.timed_out = True
        kill_tree(process.pid)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(said.wait(), _DRAIN_S)
    return int(await code)


def _in_thread(work: Callable[..., None], *args: object) -> None:
    threading.Thread(target=work, args=args, daemon=True).start()


def _read(
    process: subprocess.Popen[bytes], run: Run, said: asyncio.Event, loop: asyncio.AbstractEventLoop
) -> None:
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            _tell(loop, run.say, line.decode("utf-8", "replace"))
    _tell(loop, said.set)


def _reap(
    process: subprocess.Popen[bytes], code: asyncio.Future[int], loop: asyncio.AbstractEventLoop
) -> None:
    _tell(loop, code.set_result, process.wait())


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: object) -> None:
    with contextlib.suppress(RuntimeError):  # the server has been closed meanwhile
        loop.call_soon_threadsafe(what, *args)


def _local(word: str, mounts: Mapping[str, Path]) -> str:
    for mount, folder in mounts.items():
        if word == mount or word.startswith(f"{mount}/"):
            return str(folder) + word.removeprefix(mount)
    return word


def now() -> float:
    return time.time()
