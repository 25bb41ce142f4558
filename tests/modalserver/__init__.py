"""A stand-in for Modal: a small gRPC and HTTP server on the loopback, spoken to by the real client.

It really runs a sandbox's command, as a process of this machine with the sandbox's mounts as local folders, so that a
backend is tested from the first byte to the last. What it cannot show is isolation, image building and price::

    with ModalServer(folder) as server:
        monkeypatch.setenv("MODAL_SERVER_URL", server.url)   # and MODAL_SANDBOX_V2=0

``server.ledger`` is what a bill would be made of: every sandbox that was created. ``server.faults`` makes calls fail,
hang or lie; ``server.kill`` and ``server.preempt`` are what happens to a machine. It listens in a thread of its own,
so it serves synchronous tests and other processes as well.
"""

from __future__ import annotations

from tests.modalserver.faults import Faults
from tests.modalserver.sandboxes import Run
from tests.modalserver.server import TOKEN_ID, TOKEN_SECRET, ModalServer

__all__ = ["TOKEN_ID", "TOKEN_SECRET", "Faults", "ModalServer", "Run"]
