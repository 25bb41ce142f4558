"""From a job's raw output to ``events.jsonl`` and ``log.txt``, in bounded memory whatever it writes.

The supervisor numbers events itself: a job's own ``seq`` may start again (a chain runs several
programs) or be forged, while readers rely on ``seq`` to resume. Everything that is not an event of the
protocol, or that :mod:`remote.sandbox.vetting` does not let pass, is log. A line longer than the protocol
allows is log in pieces, so that an endless line costs no more memory than a short one. The log keeps its
head and its tail: the head says what was started, the tail why it ended.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from remote.protocol import MAX_LINE_BYTES, JobEvent, JobEventType, decode
from remote.sandbox.vetting import Vetting

LOG_HEAD_BYTES = 16 * 1024**2
LOG_TAIL_BYTES = 4 * 1024**2
_LAST_LINES = 40
EVENTS_BYTES = 256 * 1024**2  # about two million events


class Lines:
    """Cuts a stream into ``(line without newline, whole)``; pieces of an overlong line are not ``whole``."""

    def __init__(self) -> None:
        self._rest = b""
        self._overlong = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield line, not self._overlong and len(line) <= MAX_LINE_BYTES
            self._overlong = False
        yield from self._keep(rest)

    def pass_on(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """As :meth:`feed`, for data in which no event can be: many lines as one piece, at no cost a line."""
        lines, newline, rest = (self._rest + data).rpartition(b"\n")
        if newline:
            yield lines, False
            self._overlong = False
        yield from self._keep(rest)

    def holds_event(self, data: bytes) -> bool:
        """Whether an event may begin in ``data``, or end in it."""
        return b"{" in data or self._rest.startswith(b"{")

    def _keep(self, rest: bytes) -> Iterator[tuple[bytes, bool]]:
        if len(rest) > MAX_LINE_BYTES:
            yield rest, False
            self._overlong, rest = True, b""
        self._rest = rest

    def end(self) -> Iterator[tuple[bytes, bool]]:
        """What stood after the last newline: a torn line is not an event."""
        if self._rest:
            yield self._rest, False
        self._rest = b""


class Log:
    """``log.txt``: the first ``LOG_HEAD_BYTES`` at once, the last ``LOG_TAIL_BYTES`` at :meth:`close`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._head_left = LOG_HEAD_BYTES
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._left_out_bytes = 0
        self._last: deque[bytes] = deque(maxlen=_LAST_LINES)

    def write(self, data: bytes) -> None:
        """``data`` is written as it comes; the last lines are also kept for :meth:`last_lines`."""
        now, later = data[: self._head_left], data[self._head_left :]
        self._head_left -= len(now)
        if now:
            write_all(self._fd, now)
        if later:
            self._tail.append(later)
            self._tail_bytes += len(later)
        while self._tail_bytes > LOG_TAIL_BYTES and len(self._tail) > 1:
            gone = len(self._tail.popleft())
            self._tail_bytes -= gone
            self._left_out_bytes += gone

    def remember(self, lines: bytes) -> None:
        self._last.extend(line[-2000:] for line in lines.rsplit(b"\n", _LAST_LINES)[-_LAST_LINES:])

    def last_lines(self) -> str:
        """The last 40 lines, each cut to its last 2000 bytes."""
        return b"\n".join(self._last).decode("utf-8", "replace")

    def close(self) -> None:
        if self._left_out_bytes:
            write_all(self._fd, f"\n[… {self._left_out_bytes} bytes of log left out …]\n".encode())
        for piece in self._tail:
            write_all(self._fd, piece)
        os.close(self._fd)


class Events:
    """``events.jsonl``: numbered 0, 1, 2 … in the order in which the job wrote them."""

    def __init__(self, path: Path, programs: Sequence[str], now: Callable[[], str]) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._now = now
        self._seq = 0
        self.at_most_bytes = EVENTS_BYTES
        self._written_bytes = 0
        self._batch: list[str] = []
        self._last_program = programs[-1]
        self._vetting = Vetting(programs, now)
        self.dropped = 0
        self.last: JobEvent | None = None
        self.result: JobEvent | None = None  # of the chain's last program
        self.failed: JobEvent | None = None

    def take(self, line: bytes) -> bool:
        """Add the event in ``line``; False when it is a log line. Written by the next :meth:`flush`."""
        try:
            said = decode(line.decode("utf-8"))
        except UnicodeDecodeError:
            return False
        event = None if said is None else self._vetting.event(said)
        if event is None:
            return False
        ends = event.type in (JobEventType.RESULT, JobEventType.FAILED)
        if self._written_bytes > self.at_most_bytes and not ends:
            self.dropped += 1
            return True
        return self._add(event.type, event.stage, event.fields, event.t)

    def add(self, type_: JobEventType, stage: str, fields: Mapping[str, Any]) -> None:
        """The supervisor's own word."""
        self._add(type_, stage, fields, self._now())

    def _add(self, type_: JobEventType, stage: str, fields: Mapping[str, Any], t: str) -> bool:
        event = JobEvent(self._seq, t, type_, stage, fields)
        try:
            line = event.encode() + "\n"
        except (ValueError, RecursionError):  # re-encoding can lengthen a line beyond the limit
            return False
        self._seq += 1
        self._batch.append(line)
        self.last = event
        if type_ is JobEventType.FAILED:
            self.failed = event
        elif type_ is JobEventType.RESULT and stage == self._last_program:
            self.result = event
        return True

    def flush(self) -> None:
        """One write for the batch; on a full disk nothing of it stays, so no line is torn. Raises OSError."""
        if not self._batch:
            return
        data = "".join(self._batch).encode()
        size = os.fstat(self._fd).st_size
        try:
            write_all(self._fd, data)
        except OSError:
            os.ftruncate(self._fd, size)
            raise
        self._batch.clear()
        self._written_bytes += len(data)

    def close(self) -> None:
        self.flush()
        os.close(self._fd)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
