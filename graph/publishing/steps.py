"""The steps of a publication in the effects ledger of the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from graph.deps import Store


class LedgerSteps:
    """A :class:`graph.deps.Steps`. ``prefix`` is the same for every try of one run to publish: a repository that an
    earlier try made is known as its own."""

    def __init__(self, store: Store, run_id: str, prefix: str, fence: int | None) -> None:
        self._store, self._run_id, self._prefix, self._fence = store, run_id, prefix, fence

    async def once(self, step: str, do: Callable[[], Awaitable[Mapping[str, Any]]]) -> Mapping[str, Any]:
        key = f"{self._prefix}/{step}"
        effect = await self._store.claim(key, self._run_id, fence=self._fence)
        if effect.state == "done" and effect.result is not None:
            return effect.result
        result = await do()
        await self._store.record(key, result, fence=self._fence)
        return result
