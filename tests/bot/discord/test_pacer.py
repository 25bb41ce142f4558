from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.discord.pacer import MOST, PERIOD_S, Pacer


class Time:
    def __init__(self) -> None:
        self.now = 0.0
        self.waited: list[float] = []

    def clock(self) -> float:
        return self.now

    async def pause(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


@given(st.lists(st.floats(0, 3), max_size=40))
async def test_never_more_than_five_in_five_seconds(pauses: list[float]) -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    sent = []
    for pause in pauses:
        time.now += pause
        await pacer.turn(1)
        sent.append(time.now)
    assert all(late - early >= PERIOD_S - 1e-9 for early, late in zip(sent, sent[MOST:], strict=False))


async def test_five_go_at_once_and_the_sixth_waits() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    for _ in range(MOST):
        await pacer.turn(1)
    assert time.waited == []
    await pacer.turn(1)
    assert time.waited == [PERIOD_S]


async def test_channels_do_not_wait_for_each_other() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    for channel in (1, 2):
        for _ in range(MOST):
            await pacer.turn(channel)
    assert time.waited == []


async def test_a_live_card_leaves_room_for_what_people_wait_for() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    for _ in range(3):
        assert pacer.delay_s(1) == 0.0
        await pacer.turn(1)
        time.now += 1.0
    assert pacer.delay_s(1) == 2.0
    await pacer.turn(1)  # a question does not wait
    assert time.waited == []
    time.now += 2.0
    assert pacer.delay_s(1) == 1.0


async def test_channels_long_silent_are_forgotten() -> None:
    time = Time()
    pacer = Pacer(time.clock, time.pause)
    for channel in range(1_002):
        await pacer.turn(channel)
    time.now += 60.0
    await pacer.turn(5_000)
    assert len(pacer._sent_s) == 1
