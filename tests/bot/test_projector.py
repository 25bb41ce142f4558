from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from bot.cards import Card
from bot.present import present
from bot.projector import ProcessMemory, Projector
from graph.deps import Event
from graph.names import EventType, Stage
from tests.bot import story
from tests.bot.story import Log


class Recorder:
    """A surface that remembers its messages, and can be out of order."""

    def __init__(self) -> None:
        self.messages: dict[str, Card] = {}
        self.calls: list[tuple[str, str]] = []
        self.broken = False
        self._changed = asyncio.Event()

    async def shows(self, cards: Mapping[str, Card]) -> None:
        """Returns once exactly these cards are seen."""
        while seen(self) != cards:
            self._changed.clear()
            await self._changed.wait()

    async def show(self, card: Card) -> str:
        self._check()
        handle = f"m{len(self.messages)}"
        self.messages[handle] = card
        self.calls.append(("show", card.key))
        self._changed.set()
        return handle

    def delay_s(self, card: Card) -> float:
        return 0.0

    async def update(self, handle: str, card: Card) -> str:
        self._check()
        assert self.messages[handle].key == card.key
        self.messages[handle] = card
        self.calls.append(("update", card.key))
        self._changed.set()
        return handle

    def _check(self) -> None:
        if self.broken:
            raise ConnectionError("the chat does not answer")

    def cards(self) -> list[Card]:
        return list(self.messages.values())


class Tape:
    """A run's log that grows by hand; ``follow`` ends when it is closed."""

    def __init__(self, events: list[Event]) -> None:
        self.written = list(events)
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()

    def grow(self, *events: Event) -> None:
        for event in events:
            self.written.append(event)
            self._queue.put_nowait(event)

    def close(self) -> None:
        self._queue.put_nowait(None)

    async def events(self, run_id: str, after: int = -1) -> list[Event]:
        return [event for event in self.written if event.seq > after]

    async def follow(self, run_id: str, after: int = -1) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event


class Clock:
    """Time that passes when the projector waits for it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def projector(
    tape: Tape,
    surface: Recorder,
    memory: ProcessMemory | None = None,
    *,
    clock: Clock | None = None,
    every: float = 0.0,
) -> Projector:
    clock = clock or Clock()
    return Projector(
        story.RUN,
        tape,
        surface,
        memory or ProcessMemory(),
        clock=clock,
        min_interval_s=every,
        pause=clock.pause,
    )


def seen(surface: Recorder) -> dict[str, Card]:
    return {card.key: card for card in surface.cards()}


async def test_after_any_event_the_surface_shows_exactly_the_cards_of_the_log() -> None:
    surface, events = Recorder(), story.whole_run().events
    shown = projector(Tape([]), surface)
    for number, event in enumerate(events, 1):
        await shown.take(event)
        assert seen(surface) == present(events[:number])
    posted = [key for call, key in surface.calls if call == "show"]
    assert len(posted) == len(set(posted))


async def test_events_that_come_twice_change_nothing() -> None:
    surface, events = Recorder(), story.whole_run().events
    shown = projector(Tape([]), surface)
    for event in [*events, *events, *reversed(events)]:
        await shown.take(event)
    once = Recorder()
    other = projector(Tape([]), once)
    for event in events:
        await other.take(event)
    assert surface.calls == once.calls


async def test_a_new_process_posts_nothing_twice_and_edits_only_what_changed() -> None:
    log, memory, surface = story.until_the_plan(), ProcessMemory(), Recorder()
    await projector(Tape(log.events), surface, memory).catch_up()
    before = len(surface.calls)

    await projector(Tape(log.events), surface, memory).catch_up()
    assert surface.calls[before:] == []

    log.decided(story.COMPUTE, "approve")
    await projector(Tape(log.events), surface, memory).catch_up()
    assert sorted(surface.calls[before:]) == [("update", f"question:{story.COMPUTE.id}"), ("update", "root")]
    assert seen(surface) == present(log.events)


async def test_a_backlog_is_shown_in_its_last_state_only() -> None:
    surface, log = Recorder(), story.whole_run()
    await projector(Tape(log.events), surface).catch_up()
    assert surface.calls == [("show", key) for key in present(log.events)]


async def test_what_was_seen_elsewhere_is_not_shown_again() -> None:
    surface, log = Recorder(), story.until_the_plan()
    last = log.events[-1].seq
    story.training(log)
    await projector(Tape(log.events), surface).catch_up(seen=last)
    assert ("show", "training:1") in surface.calls
    assert not any(key == "audit" for _, key in surface.calls)


async def test_a_surface_that_failed_is_mended_by_the_next_try() -> None:
    log, memory, surface = story.until_the_plan(), ProcessMemory(), Recorder()
    surface.broken = True
    with pytest.raises(ConnectionError):
        await projector(Tape(log.events), surface, memory).catch_up()
    surface.broken = False
    await projector(Tape(log.events), surface, memory).catch_up()
    assert seen(surface) == present(log.events)


def progress(steps: int) -> Log:
    log = Log()
    log.say(EventType.JOB_SUBMITTED, Stage.LAUNCH, backend="local", key="k", hardware="here")
    for step in range(1, steps + 1):
        log.say(
            EventType.JOB_PROGRESS, Stage.WATCH, job="j", stage="train", step=step, total=steps, metrics={}
        )
    return log


async def test_progress_is_edited_at_most_once_in_the_interval() -> None:
    surface, clock, log = Recorder(), Clock(), progress(30)
    shown = projector(Tape([]), surface, clock=clock, every=3.0)
    for event in log.events:
        await shown.take(event)
        clock.now += 0.5
    await shown.flush()
    assert surface.calls[0] == ("show", "training:1")
    assert len(surface.calls) == 1 + 30 // 6  # 30 events half a second apart, an edit every three seconds
    assert seen(surface) == present(log.events)


async def test_a_settled_card_and_a_question_do_not_wait() -> None:
    surface, clock, log = Recorder(), Clock(), progress(3)
    shown = projector(Tape([]), surface, clock=clock, every=60.0)
    log.say(EventType.JOB_FAILED, Stage.WATCH, kind="timeout", detail="Too slow.")
    log.asked(story.COMPUTE)
    log.decided(story.COMPUTE, "cancel")
    for event in log.events:
        await shown.take(event)
    key = f"question:{story.COMPUTE.id}"
    assert [call for call in surface.calls if call[1] == "training:1"] == [
        ("show", "training:1"),
        ("update", "training:1"),
    ]
    assert [call for call in surface.calls if call[1] == key] == [("show", key), ("update", key)]


async def test_the_last_progress_is_shown_though_no_further_event_comes() -> None:
    """The timer, not the next event, sends what waits."""
    surface, clock, log = Recorder(), Clock(), progress(2)
    tape = Tape(log.events[:1])
    running = asyncio.create_task(projector(tape, surface, clock=clock, every=3.0).run())
    await surface.shows(present(log.events[:1]))
    tape.grow(*log.events[1:])
    await surface.shows(present(log.events))
    assert max(clock.waited) == 3.0
    assert not running.done()
    tape.close()
    await running


async def test_run_shows_the_backlog_then_follows_to_the_end() -> None:
    log = story.until_the_plan()
    tape, surface = Tape(log.events), Recorder()
    known = len(log.events)
    story.finishing(story.training(log))
    tape.grow(*log.events[known:])
    tape.close()
    await projector(tape, surface).run()
    assert seen(surface) == present(log.events)
