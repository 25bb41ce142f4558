"""Discord's rate limit of posts and edits, kept by construction: five in any five seconds, for each channel.

A question or a result waits for its turn; a live card that would have to wait is not sent yet (``delay_s``), and what
it shows then is newer. discord.py waits as well, where Discord asks for more patience than that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

MOST = 5
PERIOD_S = 5.0
RESERVED = 2  # of these, kept back for what people wait for
_MOST_CHANNELS = 1_000


class Pacer:
    """``clock`` gives seconds that only grow; ``pause`` waits that many seconds."""

    def __init__(
        self, clock: Callable[[], float], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._sent_s: dict[
            int, deque[float]
        ] = {}  # of each channel's last messages, some of them still to come

    def delay_s(self, channel: int) -> float:
        """Seconds until a live card may be edited in the channel."""
        sent_s = self._sent_s.get(channel, ())
        free = MOST - RESERVED
        return max(sent_s[-free] + PERIOD_S - self._clock(), 0.0) if len(sent_s) >= free else 0.0

    async def turn(self, channel: int) -> None:
        """Returns when a message may be posted or edited in the channel."""
        now_s = self._clock()
        if len(self._sent_s) > _MOST_CHANNELS:
            self._sent_s = {c: times for c, times in self._sent_s.items() if times[-1] > now_s - PERIOD_S}
        sent_s = self._sent_s.setdefault(channel, deque(maxlen=MOST))
        at_s = max(sent_s[0] + PERIOD_S, now_s) if len(sent_s) == MOST else now_s
        sent_s.append(at_s)  # at once, so that those who wait stand in line
        if at_s > now_s:
            await self._pause(at_s - now_s)
