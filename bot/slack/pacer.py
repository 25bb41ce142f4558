"""Slack's rate limits, kept by construction: https://docs.slack.dev/apis/web-api/rate-limits.

Edits: Tier 3, 50 in any minute for a workspace: ten at once, and 40 a minute from then on. Posts: one a second in a
channel. A question or a result waits for its turn; a live card that would have to wait is not sent yet
(``edit_delay_s``), and what it shows then is newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

EDITS_PER_MINUTE = 50
EDIT_BURST = 10
RESERVED = 4  # edits kept back for what people wait for
POST_EVERY_S = 1.0


class Pacer:
    """Of one workspace. ``clock`` gives seconds that only grow."""

    def __init__(
        self, clock: Callable[[], float], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock = clock
        self._pause = pause
        self._edits = float(EDIT_BURST)  # a token bucket
        self._at_s = clock()
        self._next_post_s: dict[str, float] = {}

    def edit_delay_s(self) -> float:
        """Seconds until a live card may be edited."""
        self._fill()
        return max(RESERVED + 1 - self._edits, 0.0) / _edits_per_s()

    async def edit(self) -> None:
        """Returns when an edit may be sent."""
        self._fill()
        self._edits -= 1.0  # taken at once, so that those who wait stand in line
        if self._edits < 0:
            await self._pause(-self._edits / _edits_per_s())

    async def post(self, channel: str) -> None:
        """Returns when a message may be posted in the channel."""
        now = self._clock()
        at = max(self._next_post_s.get(channel, now), now)
        self._next_post_s[channel] = at + POST_EVERY_S
        if len(self._next_post_s) > 1000:
            self._next_post_s = {c: t for c, t in self._next_post_s.items() if t > now}
        if at > now:
            await self._pause(at - now)

    def _fill(self) -> None:
        now = self._clock()
        self._edits = min(self._edits + (now - self._at_s) * _edits_per_s(), float(EDIT_BURST))
        self._at_s = now


def _edits_per_s() -> float:
    """At which the bucket fills: what is left of a minute's edits after a burst."""
    return (EDITS_PER_MINUTE - EDIT_BURST) / 60
