"""Discord's rate limit of posts and edits, kept by construction: five in five seconds, for each channel.

A question or a result waits for its turn; a live card that would have to wait is not sent yet (``delay_s``), and what
it shows then is newer. discord.py waits as well, where Discord asks for more patience than that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

BURST = 5
PER_S = 1.0  # messages a second
RESERVED = 2  # kept back for what people wait for
_MOST_CHANNELS = 1_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Pacer:
    """``clock`` gives seconds that only grow; ``pause`` waits that many seconds."""

    def __init__(
        self, clock: Callable[[], float], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._buckets: dict[int, _Bucket] = {}

    def delay_s(self, channel: int) -> float:
        """Seconds until a live card may be edited in the channel."""
        return max(RESERVED + 1 - self._filled(channel).tokens, 0.0) / PER_S

    async def turn(self, channel: int) -> None:
        """Returns when a message may be posted or edited in the channel."""
        bucket = self._filled(channel)
        bucket.tokens -= 1.0  # taken at once, so that those who wait stand in line
        if bucket.tokens < 0:
            await self._pause(-bucket.tokens / PER_S)

    def _filled(self, channel: int) -> _Bucket:
        now = self._clock()
        if len(self._buckets) > _MOST_CHANNELS:
            self._buckets = {c: b for c, b in self._buckets.items() if now - b.at_s < BURST / PER_S}
        bucket = self._buckets.setdefault(channel, _Bucket(float(BURST), now))
        bucket.tokens = min(bucket.tokens + (now - bucket.at_s) * PER_S, float(BURST))
        bucket.at_s = now
        return bucket
