"""Keeps what a surface shows in step with a run's log: posts a card once, edits it afterwards.

Cards are a pure function of the log (:mod:`bot.present`), so the projector is a reconciler: it compares the
cards that should be seen with those that were shown, and mends the difference. What follows from that:

- **At least once is enough.** An event that arrives twice changes nothing: events up to the last ``seq`` are
  dropped, and an equal card is not sent again.
- **A restart re-attaches.** ``Memory`` keeps which message (``handle``) shows which card and the card's
  digest. A new process folds the whole backlog silently, then edits only the cards that differ. Between
  posting and remembering a crash can still lose a handle: a renderer for such a medium gives its post the
  deterministic id ``<run id>/<card key>`` and looks for it first.
- **Progress is coalesced.** A live card is edited at most once in ``min_interval_s``; a settled one, a
  question and its answer at once, since a person waits for them.

A renderer that fails raises out of ``run``; nothing is remembered then, so that the next try repairs it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from bot.cards import Card
from bot.present import Story, tell
from graph.deps import Event


class Reader(Protocol):
    """A run's log, as :class:`bot.dispatch.Dispatch` gives it."""

    async def events(self, run_id: str, after: int = -1) -> list[Event]: ...

    def follow(self, run_id: str, after: int = -1) -> AsyncIterator[Event]:
        """Events as they come, until the run waits for a person or has ended."""


class Renderer(Protocol):
    async def show(self, card: Card) -> str:
        """Post the card; the handle by which it can be edited."""

    async def update(self, handle: str, card: Card) -> str:
        """Show ``card`` in the place of its older version; its handle, another one if it had to be posted anew."""

    def delay_s(self, card: Card) -> float:
        """Seconds for which a live card should not be sent yet; 0 where the medium has no limits."""


@dataclass(frozen=True, slots=True)
class Shown:
    handle: str
    digest: str


class Memory(Protocol):
    """Which message shows which card, over restarts."""

    async def recall(self, run_id: str) -> dict[str, Shown]: ...
    async def remember(self, run_id: str, key: str, shown: Shown) -> None: ...


class ProcessMemory:
    """For a surface that lives as long as its process, such as a terminal."""

    def __init__(self) -> None:
        self._shown: dict[str, dict[str, Shown]] = {}

    async def recall(self, run_id: str) -> dict[str, Shown]:
        return dict(self._shown.get(run_id, {}))

    async def remember(self, run_id: str, key: str, shown: Shown) -> None:
        self._shown.setdefault(run_id, {})[key] = shown


def digest(card: Card) -> str:
    """Of all that is seen of a card; ``news`` is not."""
    return hashlib.sha256(repr(replace(card, news="")).encode("utf-8", "replace")).hexdigest()[:16]


class Projector:
    """One run on one surface. ``clock`` gives seconds that only grow; ``pause`` waits that many seconds; ``visible``
    is what the surface shows of a card: it is not told of other changes."""

    def __init__(
        self,
        run_id: str,
        reader: Reader,
        renderer: Renderer,
        memory: Memory,
        *,
        clock: Callable[[], float],
        min_interval_s: float = 0.0,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        visible: Callable[[Card], Card] = lambda card: card,
    ) -> None:
        self.story = Story(run_id)
        self.last_seq = -1
        self._run_id = run_id
        self._reader = reader
        self._renderer = renderer
        self._memory = memory
        self._clock = clock
        self._min_interval_s = min_interval_s
        self._pause = pause
        self._visible = visible
        self._shown: dict[str, Shown] = {}
        self._seen: dict[str, str] = {}  # digests of cards that another process showed
        self._sent_at: dict[str, float] = {}
        self._pending: dict[str, None] = {}  # keys, the one that waits longest first

    async def run(self) -> None:
        """Show what there is, then follow the run until it waits for a person or has ended."""
        await self.catch_up()
        events = self._reader.follow(self._run_id, self.last_seq)
        coming: asyncio.Task[Event | None] | None = None
        try:
            while True:
                coming = coming or asyncio.create_task(_next(events))
                await self._wait(coming)
                if not coming.done():
                    await self.flush(everything=False)
                    continue
                event, coming = coming.result(), None
                if event is None:
                    break
                await self.take(event)
        finally:
            if coming is not None:
                coming.cancel()
        await self.flush()

    async def catch_up(self, *, seen: int = -1) -> None:
        """Fold the log so far and mend what is shown; what a live card shows may wait for its turn, as after a restart
        amid many runs. What events up to ``seen`` say counts as shown already.
        """
        self._shown = await self._memory.recall(self._run_id)
        for event in await self._reader.events(self._run_id):
            self._fold(event)
            if event.seq <= seen:
                self._seen |= {key: self._digest(key) for key in self.story.changed}
        await self.flush(everything=False)

    async def take(self, event: Event) -> None:
        """Fold one event, and show what is due."""
        self._fold(event)
        await self.flush(everything=False)

    async def flush(self, *, everything: bool = True) -> None:
        """Show every card that waits, or only those that are due."""
        for key in list(self._pending):
            if everything or self._due_in(key) <= 0:
                del self._pending[key]
                await self._send(self.story.cards[key])

    def _fold(self, event: Event) -> None:
        if event.seq <= self.last_seq:
            return
        self.last_seq = event.seq
        self.story = tell(self.story, event)
        self._pending |= dict.fromkeys(self.story.changed)

    def _due_in(self, key: str) -> float:
        """Seconds until the card may be sent; a new, settled or asking card never waits."""
        card, sent_at = self.story.cards[key], self._sent_at.get(key)
        if key not in self._shown or not card.live or card.asks:
            return 0.0
        since = 0.0 if sent_at is None else sent_at + self._min_interval_s - self._clock()
        return max(since, self._renderer.delay_s(card))

    async def _wait(self, coming: asyncio.Task[Event | None]) -> None:
        """Until the next event, or until a card that waits is due."""
        if not self._pending:
            await asyncio.wait({coming})
            return
        timer = asyncio.ensure_future(self._pause(max(min(map(self._due_in, self._pending)), 0.0)))
        try:
            await asyncio.wait({coming, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()

    async def _send(self, card: Card) -> None:
        old, now = self._shown.get(card.key), self._digest(card.key)
        if now == (old.digest if old else self._seen.get(card.key)):
            return
        if old is None:
            shown = Shown(await self._renderer.show(card), now)
        else:
            shown = Shown(await self._renderer.update(old.handle, card), now)
        self._sent_at[card.key] = self._clock()
        self._shown[card.key] = shown
        await self._memory.remember(self._run_id, card.key, shown)

    def _digest(self, key: str) -> str:
        return digest(self._visible(self.story.cards[key]))


async def _next(events: AsyncIterator[Event]) -> Event | None:
    return await anext(events, None)
