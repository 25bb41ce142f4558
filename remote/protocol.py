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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        """One line without its newline; NaN and infinities become null, too long details are cut. It is one line
        to those as well for whom Unicode has more ends of lines, as huggingface_hub's reader of logs.

        Raises ValueError for more than the line may hold, TypeError and RecursionError for what is no JSON."""
        body = {"v": VERSION, "seq": self.seq, "t": self.t, "type": self.type.value, "stage": self.stage}
        try:  # nearly all are short, and every number in them is finite: a third of the time
            line = _quick(body | self.fields)  # type: ignore[operator]
        except (ValueError, TypeError):  # NaN, infinity, a table that is no dict
            return self._careful(body)
        # Not printable: those ends of lines, and a half of a surrogate pair, which is no UTF-8.
        return line if 4 * len(line) <= MAX_LINE_BYTES and line.isprintable() else self._careful(body)

    def _careful(self, body: dict[str, Any]) -> str:
        line = _one_line(body | finite(dict(self.fields)))
        if len(line.encode()) <= MAX_LINE_BYTES:
            return line
        cut = {k: v[:2000] if isinstance(v, str) else v for k, v in self.fields.items()}
        line = _one_line(body | finite(cut))
        if len(line.encode()) <= MAX_LINE_BYTES:
            return line
        raise ValueError(f"a job event of {len(line.encode())} bytes: put large things into an artifact")


def _one_line(body: Any) -> str:
    return json.dumps(body, ensure_ascii=False, allow_nan=False).translate(_LINE_ENDS)


_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}  # JSON escapes the others
_quick = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode


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
    if not line.startswith("{") or _too_long(line):
        return None
    try:
        return _event(json.loads(line))
    except (ValueError, RecursionError):
        return None


def decode_all(line: str) -> list[JobEvent]:
    """The events in ``line``, which holds one or an array of them; what is none is left out. Never raises.

    A job says one event a line. Whoever passes a job's events on over a line that costs by the line may put those
    that wait together into one (:func:`together`).
    """
    if not line.startswith("["):
        event = decode(line)
        return [] if event is None else [event]
    if _too_long(line):
        return []
    try:
        bodies = json.loads(line)
    except (ValueError, RecursionError):
        return []
    return [event for event in map(_event, bodies) if event is not None]


def together(lines: Iterable[bytes], at_most_bytes: int) -> Iterator[bytes]:
    """Encoded events, in order, on as few lines of ``at_most_bytes`` as it takes. One that is alone, or longer by
    itself, stays as it is. Without newlines."""
    group: list[bytes] = []
    size = 0
    for line in lines:
        if group and size + len(line) + 2 > at_most_bytes:
            yield _array(group)
            group, size = [], 0
        group.append(line)
        size += len(line) + 1
    if group:
        yield _array(group)


def _array(group: Sequence[bytes]) -> bytes:
    return group[0] if len(group) == 1 else b"[" + b",".join(group) + b"]"


def _too_long(line: str) -> bool:
    return 4 * len(line) > MAX_LINE_BYTES and len(line.encode(errors="replace")) > MAX_LINE_BYTES


def _event(body: Any) -> JobEvent | None:
    try:
        if not isinstance(body, dict) or body.pop("v") != VERSION:
            return None
        seq, t, kind, stage = body.pop("seq"), body.pop("t"), body.pop("type"), body.pop("stage")
        if not (type(seq) is int and seq >= 0 and isinstance(t, str) and isinstance(stage, str)):
            return None
        return JobEvent(seq, t, JobEventType(kind), stage, body)
    except (ValueError, KeyError, TypeError):
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
