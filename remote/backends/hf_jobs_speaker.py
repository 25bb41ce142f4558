"""The voice of a job on HF Jobs: what it says, vetted, numbered and written to the provider's log
(:mod:`remote.backends.hf_jobs_lines`), in bounded amounts. Standard library only: it runs inside the job.

Every line costs the provider and whoever reads it, so events that come quickly one after another share lines: one
that comes alone is written at once, and after that nothing for ``TOGETHER_S``, unless something else is to be said.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from remote.backends import hf_jobs_lines as lines
from remote.protocol import JobEvent, JobEventType, decode, together
from remote.sandbox.pump import write_all
from remote.sandbox.vetting import Vetting

_LOG_BYTES = 2 * 1024**2  # of the job's own words; the provider's log is no place for more
_EVENT_BYTES = 64 * 1024**2
TOGETHER_S = 0.01


class Speaker:
    """Writes to the provider's log, one whole line a write. What waits is written by :meth:`breathe` when its time
    has come, by :meth:`flush` at once, and before anything else is said."""

    def __init__(
        self, fd: int, programs: Sequence[str], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._fd = fd
        self._clock_s = clock_s
        self._waiting: list[bytes] = []
        self._not_before_s = 0.0
        self._last_program = programs[-1]
        self._vetting = Vetting(programs, _now)
        self._seq = 0
        self._log_left = _LOG_BYTES
        self._events_left = _EVENT_BYTES
        self._recent: deque[bytes] = deque(maxlen=40)
        self.dropped = 0
        self.last: JobEvent | None = None
        self.result: JobEvent | None = None  # of the chain's last program
        self.failed: JobEvent | None = None

    def take(self, line: bytes, *, speaks: bool, whole: bool) -> None:
        """A line of the job: an event, or log."""
        said = decode(line.decode("utf-8", "replace")) if speaks and whole and line[:1] == b"{" else None
        event = self._vetting.event(said) if said is not None else None
        if event is None or not self._say(event.type, event.stage, event.fields, event.t):
            self._log(line)

    def add(self, type_: JobEventType, stage: str, fields: Mapping[str, Any]) -> None:
        """A word of our own."""
        self._say(type_, stage, fields, _now())

    def mark(self, line: bytes) -> None:
        self.flush()
        self._write(line)

    @property
    def patience_s(self) -> float | None:
        """How long what waits may go on waiting; ``None`` where nothing does."""
        return max(0.0, self._not_before_s - self._clock_s()) if self._waiting else None

    def breathe(self) -> None:
        """Write what waits, unless the last time was a moment ago."""
        if self.patience_s == 0.0:
            self.flush()

    def flush(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        for line in together(waiting, lines.LINE_BYTES):
            self._write(line)
        self._not_before_s = self._clock_s() + TOGETHER_S

    def _write(self, line: bytes) -> None:
        write_all(self._fd, line + b"\n")

    def last_lines(self) -> str:
        return b"\n".join(self._recent).decode("utf-8", "replace")

    def _say(self, type_: JobEventType, stage: str, fields: Mapping[str, Any], t: str) -> bool:
        event = JobEvent(self._seq, t, type_, stage, fields)
        try:
            line = event.encode().encode()
        except (ValueError, RecursionError):  # numbering it anew made it longer than the limit
            return False
        outcome = type_ in (JobEventType.RESULT, JobEventType.FAILED)
        if self._events_left <= 0 and not outcome:
            self.dropped += 1
            return True
        self._seq += 1
        self._events_left -= len(line)
        if len(line) <= lines.LINE_BYTES:
            self._waiting.append(line)
        else:
            for part in lines.part_lines(event.seq, line):
                self.mark(part)
        self.last = event
        if type_ is JobEventType.FAILED:
            self.failed = event
        elif type_ is JobEventType.RESULT and stage == self._last_program:
            self.result = event
        return True

    def _log(self, line: bytes) -> None:
        self._recent.append(line[-2000:])
        if self._log_left <= 0:
            return
        for piece in lines.log_lines(line[: self._log_left]):
            self.mark(piece)
        self._log_left -= len(line) + 1
        if self._log_left <= 0:
            self.mark(b"| [... the rest of the log is left out ...]")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
