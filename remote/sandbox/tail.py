"""Reading ``events.jsonl`` while it grows, from any process."""

from __future__ import annotations

from pathlib import Path

from remote.protocol import JobEvent, decode

_CHUNK_BYTES = 256 * 1024


class Tail:
    """Each :meth:`read` gives the events that are new; a last line without its newline waits for the next
    read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def read(self) -> list[JobEvent]:
        """The events of :meth:`lines`."""
        events = (decode(line.decode("utf-8", "replace")) for line in self.lines())
        return [event for event in events if event is not None]

    def lines(self) -> list[bytes]:
        """At most some 256 kB at once, so that a long replay does not block the event loop."""
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(self._offset)
                data = file.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    @property
    def behind(self) -> bool:
        """Whether the file holds more than was read."""
        return self._path.exists() and self._path.stat().st_size > self._offset


def announced(path: Path) -> tuple[dict[str, str], JobEvent | None]:
    """Of a job's events: artifacts (path -> sha256, the last word counts), and the last event."""
    tail, last = Tail(path), None
    shas: dict[str, str] = {}
    while True:
        for last in tail.read():
            if last.type == "artifact":
                shas[str(last.fields.get("path"))] = str(last.fields.get("sha256"))
        if not tail.behind:
            return shas, last
