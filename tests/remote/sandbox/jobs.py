"""Running small real jobs: a few lines of Python as a job's script, and all that came of it."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from remote.backend import Input, JobRef, JobSpec, Need, Program
from remote.backends.local import LocalBackend
from remote.protocol import FailureKind, JobEvent, JobEventType
from remote.sandbox.folder import JobFolder
from remote.sandbox.interpreter import Interpreter
from remote.sandbox.isolation import Walls
from remote.sandbox.probe import candidates

PRELUDE = """
import json, os, sys
from pathlib import Path
from remote.protocol import Emitter, JobEventType
config = json.loads(Path(sys.argv[2]).read_text())
emit = Emitter("program")
"""
SMALL = Need(timeout_s=20, memory_mb=1024, disk_mb=64, processes=64)


@cache
def bubblewrap_works() -> bool:
    """Found out without our own code, so that a bug in it fails the tests instead of skipping them."""
    trial = ("--unshare-user", "--unshare-all", "--ro-bind", "/", "/", "true")
    return any(
        subprocess.run([binary, *trial], capture_output=True, check=False).returncode == 0
        for binary in candidates()
    )


def no_sandbox(_interpreter: Interpreter, _home: Path) -> Walls | None:
    """In place of what looks for walls: a machine without any."""
    return None


def local(home: Path, *, isolated: bool = True) -> LocalBackend:
    if not isolated:
        return LocalBackend(home, find_sandbox=no_sandbox)
    if not bubblewrap_works():
        pytest.skip("bubblewrap does not run on this machine")
    return LocalBackend(home)


def job(
    folder: Path,
    code: str,
    *,
    key: str = "job",
    config: Mapping[str, Any] | None = None,
    need: Need = SMALL,
    inputs: tuple[Input, ...] = (),
) -> JobSpec:
    """One program, named "program", whose script is ``code`` after :data:`PRELUDE`."""
    script = folder / f"{key}.py"
    script.write_text(PRELUDE + textwrap.dedent(code), "utf-8")
    program = Program("program", "in/program.py", config or {})
    all_inputs = (Input("program.py", str(script)), *inputs)
    return JobSpec(key, "run", (program,), all_inputs, need, allow_unisolated=True)


@dataclass(frozen=True)
class Ended:
    ref: JobRef
    folder: JobFolder
    events: list[JobEvent]

    @property
    def log(self) -> str:
        return self.folder.log.read_text("utf-8", "replace")

    @property
    def exit(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.folder.exit.read_text("utf-8"))
        return body

    @property
    def result(self) -> dict[str, Any]:
        last = self.events[-1]
        assert last.type is JobEventType.RESULT, (last, self.log[-2000:])
        data: dict[str, Any] = last.fields["data"]
        return data

    @property
    def failure(self) -> FailureKind:
        last = self.events[-1]
        assert last.type is JobEventType.FAILED, (last, self.log[-2000:])
        return FailureKind(last.fields["kind"])

    def has_processes(self) -> bool:
        """Whether any process of this machine still works in, or was started for, the job's folder. Not the
        supervisor, which may be about to end."""
        mark = str(self.folder.root)
        words = [_words(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return any(mark in each and "remote.sandbox.supervisor" not in each for each in words)


def _words(process: Path) -> str:
    try:
        return (process / "cmdline").read_text("utf-8", "replace") + str((process / "cwd").readlink())
    except OSError:
        return ""


async def run(backend: LocalBackend, home: Path, spec: JobSpec) -> Ended:
    ref = await backend.submit(spec)
    events = [event async for event in backend.events(ref)]
    return Ended(ref, JobFolder(home / "jobs" / ref.id), events)
