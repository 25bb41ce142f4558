"""What can go wrong, on demand. Thread-safe enough: tests set it up, the server's one thread uses it up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from grpclib.const import Status

FOREVER = 10**9


@dataclass
class _Refusal:
    status: Status
    message: str
    times: int


@dataclass
class Faults:
    """``refuse`` and ``hang`` name a call, such as "SandboxCreate"."""

    _refusals: dict[str, _Refusal] = field(default_factory=dict)
    _hanging: set[str] = field(default_factory=set)
    _mute: set[str] = field(default_factory=set)
    _cut: dict[str, int] = field(default_factory=dict)
    _damage: Callable[[bytes], bytes] = lambda data: data[: len(data) // 2]
    drop_logs_after: int | None = None  # lines; then the stream breaks
    drop_logs_times: int = 0
    log_piece_chars: int = 0  # where not 0, the stream's messages hold so many characters
    silent_logs: bool = False  # streams stay open and say nothing

    def refuse(self, call: str, status: Status, message: str = "", times: int = FOREVER) -> None:
        self._refusals[call] = _Refusal(status, message, times)

    def spend_limit(self) -> None:
        words = "Workspace has reached its spend limit. Increase it in your billing settings."
        self.refuse("SandboxCreate", Status.RESOURCE_EXHAUSTED, words)

    def no_capacity(self) -> None:
        self.refuse("SandboxCreate", Status.RESOURCE_EXHAUSTED, "No H100 is available in any region.")

    def hang(self, call: str) -> None:
        self._hanging.add(call)

    def mute(self, call: str) -> None:
        """The call does its work, and its answer never comes."""
        self._mute.add(call)

    def damage(self, path: str, times: int = FOREVER, how: Callable[[bytes], bytes] | None = None) -> None:
        """Downloads of files whose path ends in ``path`` arrive cut in half, or as ``how`` makes them."""
        self._cut[path] = times
        if how is not None:
            self._damage = how

    def drop_logs(self, after: int, times: int = 1) -> None:
        self.drop_logs_after, self.drop_logs_times = after, times

    def clear(self) -> None:
        self.__init__()  # type: ignore[misc]

    def refusal(self, call: str) -> tuple[Status, str] | None:
        found = self._refusals.get(call)
        if found is None or found.times <= 0:
            return None
        found.times -= 1
        return found.status, found.message

    def hangs(self, call: str) -> bool:
        return call in self._hanging

    def mutes(self, call: str) -> bool:
        return call in self._mute

    def damaged(self, path: str, data: bytes) -> bytes:
        for end, times in self._cut.items():
            if path.endswith(end) and times > 0:
                self._cut[end] = times - 1
                return self._damage(data)
        return data
