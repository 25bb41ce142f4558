"""Slack's rate limits, with a clock that only the test moves: what may be sent when, whatever has to be shown."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Sequence
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.slack.pacer import EDIT_BURST, EDITS_PER_MINUTE, POST_EVERY_S, RESERVED, Pacer

TINY_S = 1e-6  # of the clock's floating-point sums
TICK_S = 1e-3  # no event loop waits for less


class Time:
    """Seconds that pass only when everybody waits."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()

    def clock(self) -> float:
        return self.now_s

    async def pause(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.now_s + seconds, next(self._number), done))
        await done

    async def run(self, *work: Awaitable[None]) -> None:
        """Until all of it is done."""
        together = asyncio.gather(*work)
        while not together.done():
            for _ in range(5):  # everybody gets as far as they can without time
                await asyncio.sleep(0)
            if self._waiting and not together.done():
                at_s, _, done = heapq.heappop(self._waiting)
                self.now_s = max(self.now_s, at_s)
                done.set_result(None)
        await together


class Desk:
    """Sends edits as the projector does, and notes when."""

    def __init__(self) -> None:
        self.time = Time()
        self.pacer = Pacer(self.time.clock, self.time.pause)
        self.sent_s: list[float] = []

    async def asking(self, at_s: float) -> None:
        """A question, or an answer: it takes its turn at once."""
        await self.time.pause(at_s)
        await self.pacer.edit()
        self.sent_s.append(self.time.now_s)

    async def live(self, at_s: float) -> None:
        """A live card: it looks first, and looks again when it was told to."""
        await self.time.pause(at_s)
        while (delay_s := self.pacer.edit_delay_s()) > 0:
            await self.time.pause(max(delay_s, TICK_S))
        await self.pacer.edit()
        self.sent_s.append(self.time.now_s)

    def most(self, window_s: float = 60.0) -> int:
        """The most edits within any ``window_s``."""
        return max(
            sum(start <= at < start + window_s - TINY_S for at in self.sent_s) for start in self.sent_s
        )


kinds = st.sampled_from(["live", "asking"])
arrivals = st.lists(st.tuples(st.floats(0, 120), st.integers(1, 40), kinds), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(arrivals)
def test_no_minute_has_more_edits_than_slack_allows(groups: Sequence[tuple[float, int, str]]) -> None:
    desk = Desk()
    cards = [(at_s, kind) for at_s, many, kind in groups for _ in range(many)]
    asyncio.run(desk.time.run(*(getattr(desk, kind)(at_s) for at_s, kind in cards)))
    assert len(desk.sent_s) == len(cards)
    assert desk.most() <= EDITS_PER_MINUTE


@pytest.mark.parametrize("kind", ["live", "asking"])
async def test_a_flood_is_sent_in_full_and_at_slacks_pace(kind: str) -> None:
    desk = Desk()
    await desk.time.run(*(getattr(desk, kind)(0.0) for _ in range(300)))
    assert len(desk.sent_s) == 300
    assert desk.most() <= EDITS_PER_MINUTE
    at_full_pace_s = 300 / (EDITS_PER_MINUTE - EDIT_BURST) * 60
    assert desk.sent_s[-1] <= at_full_pace_s  # and no slower than it has to be


async def test_after_a_quiet_hour_there_is_a_burst_and_no_more() -> None:
    desk = Desk()
    await desk.time.run(*(desk.asking(3600.0) for _ in range(100)))
    assert sum(at == 3600.0 for at in desk.sent_s) == EDIT_BURST
    assert desk.most() <= EDITS_PER_MINUTE


async def test_a_question_does_not_wait_behind_live_cards() -> None:
    desk = Desk()
    questions: list[float] = []

    async def question(at_s: float) -> None:
        await desk.time.pause(at_s)
        await desk.pacer.edit()
        questions.append(desk.time.now_s)

    asked_s = [30.0 + n / 10 for n in range(RESERVED)]
    await desk.time.run(*(desk.live(0.0) for _ in range(200)), *map(question, asked_s))
    assert questions == asked_s


async def test_live_cards_wait_while_questions_stand_in_line() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    order: list[str] = []

    async def send(name: str, wait: Callable[[], float]) -> None:
        while (delay_s := wait()) > 0:
            await time.pause(max(delay_s, TICK_S))
        await pacer.edit()
        order.append(name)

    questions = [send("question", lambda: 0.0) for _ in range(3 * EDIT_BURST)]
    await time.run(*questions, send("live", pacer.edit_delay_s))
    assert order[-1] == "live"


async def test_a_channel_gets_one_post_a_second_and_in_order() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    posted: list[tuple[int, float]] = []

    async def post(number: int) -> None:
        await pacer.post("C1")
        posted.append((number, time.now_s))

    await time.run(*map(post, range(20)))
    assert [number for number, _ in posted] == list(range(20))
    assert all(b - a >= POST_EVERY_S - TINY_S for (_, a), (_, b) in pairwise(posted))
    assert posted[-1][1] == pytest.approx(19 * POST_EVERY_S)


async def test_channels_do_not_wait_for_each_other() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    await time.run(*(pacer.post(f"C{n}") for n in range(2000)))  # more than are remembered
    assert time.now_s == 0.0
    await time.run(pacer.post("C1999"))
    assert time.now_s == POST_EVERY_S


async def test_a_channel_that_was_quiet_is_posted_to_at_once() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    await pacer.post("C1")
    time.now_s += POST_EVERY_S
    await time.run(pacer.post("C1"))
    assert time.now_s == POST_EVERY_S
