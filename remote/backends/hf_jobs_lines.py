"""The lines that a job on HF Jobs writes to its log, and how the backend reads them back.

The provider keeps one log for a job, stdout and stderr together, and it is all that comes back while the job
runs. So :mod:`remote.backends.hf_jobs_inside`, which owns the job's output, writes five kinds of line::

    {"v":1,"seq":7,…}            an event of the protocol, numbered by hf_jobs_inside (never by the job itself)
    [{"v":1,"seq":8,…},{…}]      several events that came together
    intern-part 7 0 3 <base64>   the first of three parts of event 7: container runtimes cut a line at 16 KiB
    intern-saved <name>          a snapshot of out/ lies in the bucket under this name
    intern-end <exit code>       the last line of all: the log is complete
    | …                          anything else that the job wrote

What the job writes cannot be taken for one of ours: every line of it that is no event gets the mark ``| ``.
Standard library only: it also runs inside the job.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence

from remote.protocol import JobEvent, JobEventType, decode, decode_all

LINE_BYTES = 12 * 1024  # the longest line that is sent whole, safely below 16 KiB
_PART_BYTES = 9 * 1024  # of an event, before base64 adds a third
_LINE_ENDS = re.compile("\x85|\u2028|\u2029".encode())
_PART = re.compile(r"intern-part (\d{1,9}) (\d{1,4}) (\d{1,4}) ([A-Za-z0-9+/=]+)")
_SAVED = re.compile(r"intern-saved (\S{1,200})")
_END = re.compile(r"intern-end (-?\d{1,4})")


def part_lines(seq: int, line: bytes) -> Iterator[bytes]:
    """The parts of an encoded event that is longer than ``LINE_BYTES``; without newlines."""
    pieces = [line[at : at + _PART_BYTES] for at in range(0, len(line), _PART_BYTES)]
    for index, piece in enumerate(pieces):
        yield f"intern-part {seq} {index} {len(pieces)} ".encode() + base64.b64encode(piece)


def log_lines(line: bytes) -> Iterator[bytes]:
    """A line of the job that is no event, marked and cut to what a container runtime lets through. The client's
    reader takes three characters for ends of lines that a provider's JSON need not escape, and gives up there."""
    line = _LINE_ENDS.sub(b" ", line)
    for at in range(0, max(len(line), 1), LINE_BYTES):
        yield b"| " + line[at : at + LINE_BYTES]


def saved_line(name: str) -> bytes:
    return f"intern-saved {name}".encode()


def end_line(code: int) -> bytes:
    return f"intern-end {code}".encode()


class LogReader:
    """Takes a job's log from its start, line by line, as often as the stream begins anew.

    ``last`` is the last event, ``shas`` the announced artifacts (path -> sha256, the last word counts),
    ``saved`` the last snapshot's name, ``ended`` whether the log is complete, ``gap`` whether an event was
    seen whose predecessor was not: the stream lost a line, and reading it again from the start mends that.
    """

    def __init__(self) -> None:
        self.last: JobEvent | None = None
        self.shas: dict[str, str] = {}
        self.saved: str | None = None
        self.ended = False
        self.gap = False
        self._parts: dict[int, dict[int, bytes]] = {}

    @property
    def next_seq(self) -> int:
        return 0 if self.last is None else self.last.seq + 1

    def restart(self) -> None:
        """The log is read again from its first line; events that were taken are not given twice."""
        self.gap = False
        self._parts.clear()

    def take(self, line: str, *, gaps_allowed: bool = False) -> list[JobEvent]:
        """The events that ``line`` holds or completes, as far as they are the next ones; otherwise notes what it
        says."""
        line = line.rstrip("\r\n")
        if line.startswith(("{", "[")):
            return self._next(decode_all(line), gaps_allowed)
        if not line.startswith("intern-"):
            return []
        if part := _PART.fullmatch(line):
            whole = self._whole(part)
            return [] if whole is None else self._next([whole], gaps_allowed)
        if saved := _SAVED.fullmatch(line):
            self.saved = saved[1]
        elif _END.fullmatch(line):
            self.ended = True
        return []

    def _whole(self, part: re.Match[str]) -> JobEvent | None:
        seq, index, count = int(part[1]), int(part[2]), int(part[3])
        try:
            piece = base64.b64decode(part[4], validate=True)
        except binascii.Error:
            return None
        parts = self._parts.setdefault(seq, {})
        parts[index] = piece
        if set(parts) != set(range(count)):
            return None
        del self._parts[seq]
        return decode(b"".join(parts[i] for i in range(count)).decode("utf-8", "replace"))

    def _next(self, events: Sequence[JobEvent], gaps_allowed: bool) -> list[JobEvent]:
        """Those of ``events`` that were not seen yet; none after a gap."""
        taken = []
        for event in events:
            if event.seq < self.next_seq:
                continue
            if event.seq > self.next_seq and not gaps_allowed:
                self.gap = True
            if self.gap:
                break
            self.last = event
            if event.type is JobEventType.ARTIFACT:
                self.shas[str(event.fields.get("path"))] = str(event.fields.get("sha256"))
            taken.append(event)
        return taken
