"""A line that breaks, comes back, or does not; and what the call does meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from configs.settings import Media
from serve_app.call.presence import Change, Presence
from tests.fakes.fake_call import FakeCall, a_profile, tone
from tests.fakes.virtual_time import run_virtual

MEDIA = Media(absent_after_s=4, wait_for_return_s=30)
QUESTION = "what are your opening hours"


def test_a_line_breaks_comes_back_and_breaks_again() -> None:
    presence = Presence(MEDIA)
    looks = [(0.0, 0.0), (3.0, 3.0), (4.0, 4.0), (5.0, 5.0), (6.0, 0.1), (7.0, 0.0), (20.0, 4.5)]

    changes = [presence.look(now, unheard) for now, unheard in looks]

    assert changes == [None, None, Change.BROKE, None, Change.CAME_BACK, None, Change.BROKE]
    assert presence.broken


def test_a_line_that_stays_broken_is_gone_once() -> None:
    presence = Presence(MEDIA)
    presence.look(4.0, 4.0)

    assert [presence.look(4.0 + after, 4.0 + after) for after in (29.9, 30.0, 31.0)] == [None, Change.GONE, None]


def test_a_vanished_caller_is_noticed_within_five_seconds_and_the_call_ends_politely() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            await call.line.say(tone(1500))
            await call.until("call.state", state="speaking")
            call.line.broke_s = broke_s = asyncio.get_running_loop().time()
            await call.until("call.state", state="reconnecting")
            assert asyncio.get_running_loop().time() - broke_s < 5
            quiet_from = len(call.line.played)
            assert await call.running == "connection_lost"

            assert 34 <= asyncio.get_running_loop().time() - broke_s <= 38
            assert call.shown("agent.heard")[-1]["text"] == "en closing_down of Fake Utility"
            assert "still_there" not in str(call.shown("agent.text"))
            comfort = call.line.played[quiet_from + 10 : quiet_from + 500]
            assert all(any(frame) for frame in comfort), "the open line is heard"

    run_virtual(play())


def test_a_caller_who_comes_back_goes_on_with_the_same_call() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            call.line.broke_s = asyncio.get_running_loop().time()
            await call.until("call.state", state="reconnecting")
            await asyncio.sleep(20)
            call.line.broke_s = None
            await asyncio.sleep(1)
            await call.line.say(tone(1500))
            answered = await call.until("agent.heard", turn=1)

            assert answered["complete"]
            assert not call.running.done()

    run_virtual(play())


@pytest.mark.parametrize("every_s", [2.0, 5.0])
def test_quality_is_told_now_and_then_and_kept_for_who_asks(every_s: float) -> None:
    async def play() -> None:
        async with FakeCall(profile=a_profile(media={"quality_every_s": every_s})) as call:
            await asyncio.sleep(9)
            assert call.session.snapshot()["quality"] is None
            call.line.report = {"mos": 4.2}
            await asyncio.sleep(20)

            assert len(call.shown("quality")) == pytest.approx(20 / every_s, abs=1)
            assert call.session.snapshot()["quality"] == {"mos": 4.2}

    run_virtual(play())
