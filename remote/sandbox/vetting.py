"""What of a job's words is taken for an event: everything a script prints may be forged.

Whoever reads events relies on their shape (a time that parses, a step that is a number, a table of metrics), so
what has another shape is a log line here and never reaches them. Three things a job may not say at all:

- that something outside of it failed. ``not_isolated`` or ``no_credit`` would lead a person to be asked for what a
  hostile script wants; such a kind becomes ``script_error``;
- anything in the name of a program that is not in its chain;
- a program's result before the result of the program ahead of it.

Numbers are bounded to 64 bits and nesting to :data:`MAX_DEPTH`, because both are harmless in JSON and not in what
comes after it (``float(10**400)`` raises, and so does recursion). Programs of one chain share a process and could
still speak for each other; ``docs/security.md`` says why that is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from remote.protocol import FailureKind, JobEvent, JobEventType

MAX_DEPTH = 16
MAX_INTEGER = 2**63
MAX_DETAIL_CHARS = 2000
MAX_ARTIFACTS = 10_000
RUNNER = "job"  # the name under which ``remote.jobs`` speaks before any program does

_NOT_FOR_JOBS = (
    FailureKind.NOT_ISOLATED,
    FailureKind.NO_CREDIT,
    FailureKind.NO_CAPACITY,
    FailureKind.NO_TOKEN,
)
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Vetting:
    """``programs``: the chain's names in order. ``now``: the time for an event that gives none that parses."""

    def __init__(self, programs: Sequence[str], now: Callable[[], str]) -> None:
        self._programs = tuple(programs)
        self._now = now
        self._done = 0  # programs, from the front of the chain, whose result was seen
        self._artifacts = 0

    def event(self, said: JobEvent) -> JobEvent | None:
        """The event as readers may have it, or ``None`` when it is a log line."""
        if said.stage not in self._programs and said.stage != RUNNER:
            return None
        if not _plain(said.fields, MAX_DEPTH):
            return None
        fields = _SHAPES[said.type](said.fields)
        if fields is None or not self._in_turn(said):
            return None
        if fields is said.fields and _is_time(said.t):
            return said  # as nearly all are: ten thousand a second may come
        t = said.t if _is_time(said.t) else self._now()
        return JobEvent(said.seq, t, said.type, said.stage, fields)

    def _in_turn(self, said: JobEvent) -> bool:
        if said.type is JobEventType.ARTIFACT:
            self._artifacts += 1
            return self._artifacts <= MAX_ARTIFACTS
        if said.type is not JobEventType.RESULT:
            return True
        expected = self._programs[: self._done + 1]  # the next one, or again one that has spoken
        if said.stage not in expected:
            return False
        self._done = max(self._done, expected.index(said.stage) + 1)
        return True


Fields = Mapping[str, Any]


def _one_line(text: str) -> str:
    """People read it, some of them in a terminal: no line breaks, no control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_DETAIL_CHARS])


def _as_it_is(fields: Fields) -> Fields | None:
    return fields


def _numbers(fields: Fields) -> Fields | None:
    """``progress`` and ``epoch``."""
    for name in ("step", "total", "epoch"):
        if name in fields and not _is_number(fields[name]):
            return None
    metrics = fields.get("metrics", {})
    if not isinstance(metrics, dict) or not all(v is None or _is_number(v) for v in metrics.values()):
        return None
    return fields


def _words(fields: Fields) -> Fields | None:
    """``warning``."""
    kind, detail = fields.get("kind", ""), fields.get("detail", "")
    if not (isinstance(kind, str) and isinstance(detail, str)):
        return None
    return {**fields, "kind": _one_line(kind), "detail": _one_line(detail)}


def _failure(fields: Fields) -> Fields | None:
    words = _words(fields)
    if words is None:
        return None
    try:
        kind = FailureKind(words["kind"])
    except ValueError:
        kind = FailureKind.SCRIPT_ERROR
    return {**words, "kind": (FailureKind.SCRIPT_ERROR if kind in _NOT_FOR_JOBS else kind).value}


def _artifact(fields: Fields) -> Fields | None:
    path, sha256 = fields.get("path"), fields.get("sha256")
    if not (isinstance(path, str) and isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        return None
    inside = path and path.isprintable() and str(PurePosixPath(path)) == path
    return fields if inside and not path.startswith("/") and ".." not in PurePosixPath(path).parts else None


def _data(fields: Fields) -> Fields | None:
    return fields if isinstance(fields.get("data"), dict) else None


_SHAPES: Mapping[JobEventType, Callable[[Fields], Fields | None]] = {
    JobEventType.STARTED: _as_it_is,
    JobEventType.PROGRESS: _numbers,
    JobEventType.EPOCH: _numbers,
    JobEventType.WARNING: _words,
    JobEventType.ARTIFACT: _artifact,
    JobEventType.RESULT: _data,
    JobEventType.FAILED: _failure,
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_time(text: str) -> bool:
    """ISO 8601 with an offset: readers subtract times, which a naive one would break."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _plain(value: object, depth: int) -> bool:
    kind = type(value)  # of what JSON gives: no subclasses
    if kind is int:
        return -MAX_INTEGER < value < MAX_INTEGER  # type: ignore[operator]
    if kind is dict:
        items: Iterable[object] = value.values()  # type: ignore[attr-defined]
    elif kind is list:
        items = value  # type: ignore[assignment]
    else:
        return True
    if depth == 0:
        return False
    for item in items:  # noqa: SIM110 - a generator would double the time
        if not _plain(item, depth - 1):
            return False
    return True
