"""One typed line, awaited without a thread: a thread stuck in ``input()`` would keep the process from
ending.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

_CHUNK_BYTES = 4096
_MAX_LINE_BYTES = 64 * 1024


class Typed(Protocol):
    """Where answers come from."""

    async def line(self) -> str | None:
        """The next line without its end; ``None`` at the end of input or at Ctrl-C."""


class Nobody:
    """Answers nothing: ``--json``, or a program without standard input."""

    async def line(self) -> str | None:
        return None


class TypedLines:
    """Lines from a file descriptor: a terminal, a pipe or a file."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._ended = False

    async def line(self) -> str | None:
        while b"\n" not in self._buffer and len(self._buffer) < _MAX_LINE_BYTES and not self._ended:
            chunk = await self._chunk()
            if chunk is None:
                return None
            self._buffer += chunk
            self._ended = not chunk
        if not self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")

    async def _chunk(self) -> bytes | None:
        """What can be read now, empty at the end of input; ``None`` at Ctrl-C."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bool] = loop.create_future()

        def settle(value: bool) -> None:
            if not ready.done():
                ready.set_result(value)

        try:
            loop.add_reader(self._descriptor, settle, True)
        except (PermissionError, NotImplementedError):  # a plain file: always ready
            return os.read(self._descriptor, _CHUNK_BYTES)
        try:
            with _interrupt(loop, lambda: settle(False)):
                return os.read(self._descriptor, _CHUNK_BYTES) if await ready else None
        except OSError:  # the terminal has gone
            return b""
        finally:
            loop.remove_reader(self._descriptor)


@contextmanager
def _interrupt(loop: asyncio.AbstractEventLoop, then: object) -> Iterator[None]:
    """While inside, Ctrl-C calls ``then`` instead of ending the program; only the main thread can have
    this.
    """
    assert callable(then)
    previous = signal.getsignal(signal.SIGINT)
    installed = False
    with suppress(NotImplementedError, RuntimeError, ValueError):
        loop.add_signal_handler(signal.SIGINT, then)
        installed = True
    try:
        yield
    finally:
        if installed:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, previous)
