"""What a chat surface remembers over restarts. ``graph/store/surfaces.py`` keeps it beside the runs;
``tests/contract/test_chat_memory.py`` is its contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from bot.projector import Shown


class ChatMemory(Protocol):
    """Of one surface. Raises :class:`graph.errors.StoreError`."""

    async def place_run(self, run_id: str, place: str) -> None:
        """The run is to be shown at ``place``, the surface's own address of a conversation; the first call holds."""

    async def move_run(self, run_id: str, place: str) -> None:
        """It is shown at another place from now on: in the thread that was made for it."""

    async def place_of(self, run_id: str) -> str | None: ...
    async def run_at(self, place: str) -> str | None:
        """The newest run shown at ``place``."""

    async def tell(self, run_id: str, seq: int) -> None:
        """Every event up to ``seq`` has been shown."""

    async def untold(self) -> list[str]:
        """Runs with events that were not shown yet."""

    async def shown(self, run_id: str) -> dict[str, tuple[str, str]]:
        """``card key -> (handle, digest)``."""

    async def show(self, run_id: str, key: str, handle: str, digest: str) -> None: ...
    async def accept(self, key: str, body: Mapping[str, Any], at: str) -> bool:
        """Keep what came in; ``False`` where it has come in already."""

    async def finish(self, key: str) -> None:
        """What came in has been handled."""

    async def left_over(self, before: str) -> list[tuple[str, Mapping[str, Any]]]:
        """What came in and nobody handles any more, taken over by this process."""

    async def lead(self, now: float) -> bool:
        """Whether this process is the one that shows the surface's runs."""

    async def stop_leading(self) -> None: ...


class CardMemory:
    """The projector's view of it: :class:`bot.projector.Memory`."""

    def __init__(self, memory: ChatMemory) -> None:
        self._memory = memory

    async def recall(self, run_id: str) -> dict[str, Shown]:
        found = await self._memory.shown(run_id)
        return {key: Shown(handle, digest) for key, (handle, digest) in found.items()}

    async def remember(self, run_id: str, key: str, shown: Shown) -> None:
        await self._memory.show(run_id, key, shown.handle, shown.digest)
