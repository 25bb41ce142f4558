"""What a job says: JSON lines on stdout, and nothing else.

One object a line: ``{"v":1,"seq":n,"t":"…","type":…,"stage":…, …fields}``. ``stage`` names the program of the
job's chain that speaks (``audit``, ``smoke``, ``train`` …). Anything on stdout that is not such an object is a
log line. A line is at most ``MAX_LINE_BYTES``; a malformed or longer line is a log line, never a crash.

Fields by type:

=========  ==========================================================================================
started    ``pid``
progress   ``step``, ``total`` (both in the program's own unit), ``metrics`` (name -> number)
epoch      ``epoch``, ``metrics``
warning    ``kind`` (a :class:`FailureKind` or a free word), ``detail``
artifact   ``path`` (relative to the job's ``out/``), ``sha256``
result     ``data`` (small JSON; large things are artifacts)
failed     ``kind`` (a :class:`FailureKind`), ``detail`` (one sentence a person can act on)
=========  ==========================================================================================

This module uses the standard library only: it also runs inside the sandbox.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

VERSION = 1
MAX_LINE_BYTES = 64 * 1024


class JobEventType(StrEnum):
    STARTED = "started"
    PROGRESS = "progress"
    EPOCH = "epoch"
    WARNING = "warning"
    ARTIFACT = "artifact"
    RESULT = "result"
    FAILED = "failed"


class FailureKind(StrEnum):
    """Why something did not work. Persisted: renaming a value is a migration."""

    OUT_OF_MEMORY = "out_of_memory"
    NAN_LOSS = "nan_loss"
    DIVERGED = "diverged"
    OVERFIT = "overfit"
    TIMEOUT = "timeout"
    PREEMPTED = "preempted"
    NO_CREDIT = "no_credit"
    NO_CAPACITY = "no_capacity"
    NO_TOKEN = "no_token"  # noqa: S105 - a kind of failure, not a secret
    UNREACHABLE = "unreachable"
    DENIED = "denied"
    SCRIPT_ERROR = "script_error"
    DATA_ERROR = "data_error"
    NO_DISK = "no_disk"
    NOT_ISOLATED = "not_isolated"
    UNKNOWN = "unknown"


class JobError(Exception):
    """A failure that a job's program names itself; ``detail`` is a sentence for a person."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True)
class JobEvent:
    seq: int
    t: str
    type: JobEventType
    stage: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def encode(self) -> str:
        """One line without its newline; NaN and infinities become null, too long details are cut."""
        body = {"v": VERSION, "seq": self.seq, "t": self.t, "type": self.type.value, "stage": self.stage}
        line = json.dumps(body | finite(dict(self.fields)), ensure_ascii=False, allow_nan=False)
        if len(line.encode()) <= MAX_LINE_BYTES:
            return line
        cut = {k: v[:2000] if isinstance(v, str) else v for k, v in self.fields.items()}
        line = json.dumps(body | finite(cut), ensure_ascii=False, allow_nan=False)
        if len(line.encode()) <= MAX_LINE_BYTES:
            return line
        raise ValueError(f"a job event of {len(line.encode())} bytes: put large things into an artifact")


def finite(value: Any) -> Any:
    """``value`` with every NaN and infinity replaced by ``None``, as JSON has neither."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return value


def decode(line: str) -> JobEvent | None:
    """The event in ``line``, or ``None`` when it is a log line. Never raises."""
    if not line.startswith("{") or len(line.encode(errors="replace")) > MAX_LINE_BYTES:
        return None
    try:
        body = json.loads(line)
        if not isinstance(body, dict) or body.pop("v") != VERSION:
            return None
        seq, t, kind, stage = body.pop("seq"), body.pop("t"), body.pop("type"), body.pop("stage")
        if not (type(seq) is int and seq >= 0 and isinstance(t, str) and isinstance(stage, str)):
            return None
        return JobEvent(seq, t, JobEventType(kind), stage, body)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


class Emitter:
    """The voice of a job's program. One a process; ``for_stage`` gives each program of a chain its own name."""

    def __init__(
        self, stage: str, out: TextIO | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.stage = stage
        self._out = out if out is not None else sys.stdout
        self._now = now
        self._seq = [0]

    def for_stage(self, stage: str) -> Emitter:
        other = Emitter(stage, self._out, self._now)
        other._seq = self._seq
        return other

    def emit(self, type_: JobEventType, **fields: Any) -> None:
        stamp = self._now().isoformat(timespec="milliseconds")
        event = JobEvent(self._seq[0], stamp, type_, self.stage, fields)
        self._seq[0] += 1
        self._out.write(event.encode() + "\n")
        self._out.flush()

    def progress(self, step: int, total: int, **metrics: float) -> None:
        self.emit(JobEventType.PROGRESS, step=step, total=total, metrics=metrics)

    def epoch(self, epoch: float, **metrics: float) -> None:
        self.emit(JobEventType.EPOCH, epoch=epoch, metrics=metrics)

    def warning(self, kind: str, detail: str) -> None:
        self.emit(JobEventType.WARNING, kind=kind, detail=detail)

    def artifact(self, path: Path, out_dir: Path) -> None:
        """Announce a finished file; ``path`` lies under ``out_dir`` (the job's ``out/``)."""
        self.emit(JobEventType.ARTIFACT, path=path.relative_to(out_dir).as_posix(), sha256=sha256_file(path))

    def result(self, data: Mapping[str, Any]) -> None:
        self.emit(JobEventType.RESULT, data=dict(data))

    def failed(self, kind: FailureKind, detail: str) -> None:
        self.emit(JobEventType.FAILED, kind=kind.value, detail=detail)


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
