"""A job's folder: the one place that the submitter, the supervisor and every reader of a job share.

Processes meet in files, never in memory, because any of them may be killed at any time::

    submit.lock   held for moments by a submitter: two submitters at once prepare one job
    spec.json     written last and atomically: where it exists, the job has been submitted
    job.json      the chain that ``python -m remote.jobs`` runs
    in/ out/ tmp/ inputs (copies), what comes back, scratch (removed at the end)
    alive.lock    a flock that the supervisor holds for its life. The submitter takes it and hands the open
                  file on, so there is no moment at which a started job looks dead, and, unlike a pid, it
                  cannot be mistaken for another process's
    cancel.json   somebody wants it stopped
    events.jsonl  what it said, numbered by the supervisor     log.txt  all other output
    exit.json     written last and atomically: where it exists, the job has ended and nothing will change

Alive, or ended, or else killed together with its supervisor: there is no fourth state.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from remote.backend import Need, Program
from remote.sandbox.isolation import Bind, Walls

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """All that the supervisor needs to run the job; plain data, kept as ``spec.json``."""

    key: str
    run_id: str
    programs: tuple[str, ...]  # names, in order: the last one's result ends the job
    need: Need
    python: str
    walls: Walls | None = None  # None: not isolated
    binds: tuple[Bind, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def isolation(self) -> str:
        """What a plan and ``run.json`` call it."""
        return "none" if self.walls is None else self.walls.kind

    def encode(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def decode(cls, text: str) -> SandboxSpec:
        """Raises ValueError, KeyError or TypeError when ``text`` is no spec of this version."""
        body: dict[str, Any] = json.loads(text)
        body["need"] = Need(**body["need"])
        for old in ("isolation", "bwrap"):  # before there was Docker; such a job may still be fetched
            body.pop(old, None)
        body["walls"] = Walls(**body["walls"]) if body.get("walls") else None
        body["binds"] = tuple(Bind(**bind) for bind in body["binds"])
        body["programs"] = tuple(body["programs"])
        return cls(**body)


@dataclass(frozen=True, slots=True)
class JobFolder:
    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "spec.json"

    @property
    def job(self) -> Path:
        return self.root / "job.json"

    @property
    def inputs(self) -> Path:
        return self.root / "in"

    @property
    def out(self) -> Path:
        return self.root / "out"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    @property
    def exit(self) -> Path:
        return self.root / "exit.json"

    @property
    def cancel(self) -> Path:
        return self.root / "cancel.json"

    @property
    def alive_lock(self) -> Path:
        return self.root / "alive.lock"

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Waits for its turn: blocks the calling thread while another process prepares this job."""
        with (self.root / "submit.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def hold(self) -> int:
        """A file descriptor whose flock says "alive" until its last copy is closed."""
        fd = os.open(self.alive_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        return fd

    def alive(self) -> bool:
        try:
            fd = os.open(self.alive_lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def ended(self) -> dict[str, Any] | None:
        """``exit.json``, or ``None`` while there is none."""
        try:
            body: dict[str, Any] = json.loads(self.exit.read_text("utf-8"))
        except FileNotFoundError:
            return None
        return body


def write_atomic(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, "utf-8")
    beside.replace(path)


def job_json(programs: Sequence[Program]) -> str:
    """``job.json``: the chain that ``python -m remote.jobs`` runs. Raises ValueError or TypeError for a
    config that is not plain JSON."""
    chain = [{"name": p.name, "module": p.module, "config": dict(p.config)} for p in programs]
    return json.dumps({"programs": chain}, ensure_ascii=False, allow_nan=False, indent=1)
