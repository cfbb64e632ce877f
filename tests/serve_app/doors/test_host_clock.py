"""The one timer of a host: every leg every 20 ms, at once when it has something to say, never in a burst."""

from __future__ import annotations

import asyncio

import pytest

from serve_app.doors.host_clock import ROW_S, HostClock, Seat
from tests.fakes.virtual_time import run_virtual


class Leg:
    """Notes when it is called."""

    def __init__(self) -> None:
        self.at_ms: list[float] = []

    def tick(self, now_s: float) -> None:
        self.at_ms.append(round(now_s * 1000, 3))

    def steps_ms(self) -> list[float]:
        return [round(later - earlier, 3) for earlier, later in zip(self.at_ms, self.at_ms[1:], strict=False)]


def test_each_leg_is_called_every_20_ms_and_they_take_turns() -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        legs = [Leg() for _ in range(8)]
        for leg in legs:
            clock.join(leg.tick)
        await asyncio.sleep(1)

        assert all(len(leg.at_ms) in (49, 50) and set(leg.steps_ms()) == {20.0} for leg in legs)
        assert len({leg.at_ms[0] for leg in legs}) == 4

    run_virtual(play())


def test_who_has_something_to_say_is_called_at_once_and_every_20_ms_from_then() -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        leg = Leg()
        seat = clock.join(leg.tick)
        await asyncio.sleep(0.1122)
        seat.hurry()
        at = len(leg.at_ms)
        await asyncio.sleep(0.2)

        assert leg.at_ms[at - 1] == pytest.approx(112.2)
        assert 17 <= leg.at_ms[at] - leg.at_ms[at - 1] <= 23
        assert set(leg.steps_ms()[at:]) == {20.0}

    run_virtual(play())


@pytest.mark.parametrize("at_ms", [100.1, 101, 102.4, 102.6, 104.9, 107.5, 119.9])
def test_a_leg_that_hurried_is_not_called_twice_within_a_frame(at_ms: float) -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        leg = Leg()
        seat = clock.join(leg.tick)
        await asyncio.sleep(at_ms / 1000)
        seat.hurry()
        at = len(leg.at_ms)
        await asyncio.sleep(0.05)

        assert leg.at_ms[at] - leg.at_ms[at - 1] >= 15
        assert leg.at_ms[at] - leg.at_ms[at - 1] <= 23

    run_virtual(play())


def test_after_a_short_stall_every_frame_is_made_up_for() -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        legs = [Leg(), Leg(), Leg(), Leg()]
        for leg in legs:
            clock.join(leg.tick)
        for _ in range(10):
            await asyncio.sleep(0.1)
            asyncio.get_running_loop()._jumping.now_s += 0.045  # type: ignore[attr-defined]  # the loop was blocked
        await asyncio.sleep(0.1)

        assert all(abs(len(leg.at_ms) - (10 * 145 + 100) / 20) <= 1 for leg in legs)
        assert clock.skipped == 0

    run_virtual(play())


def test_after_a_stall_nobody_is_called_in_a_burst() -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        legs = [Leg(), Leg(), Leg(), Leg()]
        for leg in legs:
            clock.join(leg.tick)
        await asyncio.sleep(0.1)
        stalled_at = [len(leg.at_ms) for leg in legs]
        asyncio.get_running_loop()._jumping.now_s += 0.5  # type: ignore[attr-defined]  # the loop was blocked
        await asyncio.sleep(0.1)

        for leg, at in zip(legs, stalled_at, strict=True):
            assert len(leg.at_ms) - at <= 9
        assert clock.skipped >= 80
        assert clock.lag_ms(1.0) == pytest.approx(500, abs=6)

    run_virtual(play())


def test_a_leg_may_leave_while_it_is_called_and_others_are_still_called() -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        seats: list[Seat] = []
        other = Leg()

        def leave(now_s: float) -> None:
            seats[0].leave()
            seats[0].leave()

        seats.append(clock.join(leave))
        for _ in range(4):
            clock.join(other.tick)
        await asyncio.sleep(0.1)

        assert clock.legs == 4
        assert len(other.at_ms) >= 16

    run_virtual(play())


def test_without_legs_there_is_no_timer() -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        leg = Leg()
        seat = clock.join(leg.tick)
        await asyncio.sleep(0.05)
        seat.leave()
        seat.hurry()
        called = len(leg.at_ms)
        await asyncio.sleep(1)

        assert len(leg.at_ms) == called
        assert clock._timer is None
        clock.join(leg.tick)
        await asyncio.sleep(0.05)
        assert len(leg.at_ms) > called

    run_virtual(play())


def test_lag_is_that_of_the_latest_calls() -> None:
    async def play() -> None:
        clock = HostClock(asyncio.get_running_loop().time)
        assert clock.lag_ms() == 0.0
        clock.join(lambda now_s: None)
        await asyncio.sleep(0.5)

        assert clock.lag_ms() < ROW_S * 1000

    run_virtual(play())
