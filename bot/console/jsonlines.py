"""``--json``: each event of the run is one line of JSON on stdout, as it comes."""

from __future__ import annotations

import json
import os
from typing import TextIO

from graph.deps import Event
from remote.protocol import finite


class JsonLines:
    """Writes ``{"run_id", "seq", "at", "type", "stage", "payload"}`` a line. Ends quietly when nobody reads
    on.
    """

    def __init__(self, out: TextIO) -> None:
        self._out: TextIO | None = out

    def write(self, event: Event) -> None:
        if self._out is None:
            return
        body = {
            "run_id": event.run_id,
            "seq": event.seq,
            "at": event.at,
            "type": event.type.value,
            "stage": event.stage.value if event.stage else None,
            "payload": finite(event.payload),
        }
        try:
            self._out.write(json.dumps(body) + "\n")  # ASCII: no lone surrogate, no odd line separator
            self._out.flush()
        except BrokenPipeError:
            # The reader (``head``) has gone. The run goes on; the interpreter's last flush must not complain.
            with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path
                os.dup2(nowhere.fileno(), self._out.fileno())
            self._out = None
