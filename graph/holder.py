"""Which process holds a lease, and whether it is still alive."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: a process of a machine. The start time tells a reused pid apart."""

    host: str
    pid: int
    started: str

    @classmethod
    def me(cls) -> Holder:
        return cls(socket.gethostname(), os.getpid(), _start_time(os.getpid()) or "0")

    @classmethod
    def parse(cls, text: str) -> Holder | None:
        host, _, rest = text.rpartition("/")
        pid, _, started = rest.partition(":")
        return cls(host, int(pid), started) if pid.isdecimal() else None

    def __str__(self) -> str:
        return f"{self.host}/{self.pid}:{self.started}"

    def is_dead(self) -> bool:
        """Whether this is a process of this machine that no longer runs."""
        return self.host == socket.gethostname() and _start_time(self.pid) != self.started


def _start_time(pid: int) -> str | None:
    """Clock ticks from boot to the process's start (proc(5), field 22); ``None`` for no or a dead process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
