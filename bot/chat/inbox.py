"""What has come in, from its acknowledgement to its end: kept in the store, handled in a task, found again after a
crash. The same for every chat surface.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

from bot.chat.incoming import Incoming
from bot.chat.memory import ChatMemory
from graph.errors import StoreError

log = logging.getLogger(__name__)

SWEEP_S = 30.0
INBOX_S = 300.0  # after that what another process took in is handled here
KEEP_WITHIN_S = 2.0  # chats wait 3 s for an acknowledgement


class Busy(Exception):
    """It could not be kept in time."""


class Inbox:
    """``handle`` carries out what came in, ``new_id`` draws the id of the run that it may start."""

    def __init__(
        self,
        surface: str,
        memory: ChatMemory,
        handle: Callable[[Incoming], Awaitable[None]],
        new_id: Callable[[], str],
        now: Callable[[], datetime],
    ) -> None:
        self._surface = surface
        self._memory = memory
        self._handle = handle
        self._new_id = new_id
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    async def keep(self, incoming: Incoming) -> Incoming | None:
        """As it was kept, to be started; ``None`` where it has come in before. Raises Busy."""
        incoming = replace(incoming, new_id=self._new_id())
        try:
            async with asyncio.timeout(KEEP_WITHIN_S):
                new = await self._memory.accept(incoming.key, incoming.dump(), self._at())
        except (StoreError, TimeoutError) as error:
            log.warning("%s: %s could not be kept: %r", self._surface, incoming.kind, error)
            raise Busy("It could not be kept.") from error
        return incoming if new else None

    def start(self, incoming: Incoming) -> None:
        """Handle it in a task. While this process drains it is left to the next one."""
        if self._draining:
            return
        task = asyncio.create_task(self._carry_out(incoming), name=f"{self._surface} {incoming.kind}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, incoming: Incoming) -> None:
        try:
            await self._handle(incoming)
            await self._memory.finish(incoming.key)
        except StoreError as error:  # found again in the inbox
            log.warning("%s: %s is put off: %s", self._surface, incoming.kind, error)

    async def sweep(self) -> None:
        """Handle what a dead process, or one that is too slow, had taken in; until cancelled."""
        while True:
            try:
                before = (self._now() - timedelta(seconds=INBOX_S)).isoformat(timespec="milliseconds")
                for _, body in await self._memory.left_over(before):
                    self.start(Incoming.load(body))
            except StoreError as error:
                log.warning("%s: the inbox cannot be read: %s", self._surface, error)
            await asyncio.sleep(SWEEP_S)

    async def drain(self, timeout_s: float) -> None:
        """Let what is being handled end; what does not is found in the inbox."""
        self._draining = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _at(self) -> str:
        return self._now().isoformat(timespec="milliseconds")
