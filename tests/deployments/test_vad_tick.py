"""One VAD request for all calls: who shares it, when it leaves, and that nobody is left without an answer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from configs.settings import VadTick
from deployments.contracts.errors import BadInput, StageBusy
from deployments.contracts.speech import VAD_WINDOW_SAMPLES, VadVerdict, VadWindows
from deployments.vad_tick import VadTicker
from tests.fakes.virtual_time import run_virtual

BUDGET_MS = 40.0


def share(call: int, windows: int = 1) -> VadWindows:
    return VadWindows(bytes([call]) * (2 * VAD_WINDOW_SAMPLES * windows), state=b"%d" % call)


def verdict_on(windows: VadWindows) -> VadVerdict:
    """Tells whose windows were judged, and how many."""
    count = len(windows.pcm) // (2 * VAD_WINDOW_SAMPLES)
    return VadVerdict((windows.pcm[0] / 255,) * count, windows.state or b"")


class Judge:
    """The deployment: takes `takes_s`, then answers, raises `fails`, or returns what `answers` makes of the batch."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, list[VadWindows]]] = []
        self.takes_s = 0.003
        self.fails: Exception | None = None
        self.answers: Callable[[list[VadWindows]], list[VadVerdict]] = lambda batch: [verdict_on(w) for w in batch]

    async def __call__(self, batch: list[VadWindows]) -> list[VadVerdict]:
        self.batches.append((asyncio.get_running_loop().time(), batch))
        await asyncio.sleep(self.takes_s)
        if self.fails is not None:
            raise self.fails
        return self.answers(batch)


def ticking(
    talk: Callable[[VadTicker, Judge], Awaitable[None]], oldest_ms: float = 8.0, most_windows: int = 32
) -> None:
    """Run `talk` in virtual time; nobody may be left waiting and no exception may be left unseen."""

    async def play() -> None:
        unseen: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
        judge = Judge()
        async with asyncio.timeout(10):
            await talk(VadTicker(judge, VadTick(oldest_ms=oldest_ms, most_windows=most_windows), BUDGET_MS), judge)
            await asyncio.sleep(1)
        gc.collect()
        assert unseen == []

    run_virtual(play())


def test_calls_that_wait_together_share_one_request_and_get_their_own_verdicts() -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        shares = [share(call, windows=call) for call in (1, 2, 3)]
        verdicts = await asyncio.gather(*(ticker.judge(windows) for windows in shares))

        assert [batch for _, batch in judge.batches] == [shares]
        assert verdicts == [verdict_on(windows) for windows in shares]
        assert (ticker.ticks, ticker.unknown) == (1, 0)

    ticking(talk)


def test_a_tick_leaves_when_the_oldest_share_is_old_enough_not_the_newest() -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        first = asyncio.create_task(ticker.judge(share(1)))
        await asyncio.sleep(0.006)
        second = asyncio.create_task(ticker.judge(share(2)))
        await asyncio.sleep(0.006)
        third = asyncio.create_task(ticker.judge(share(3)))
        await asyncio.gather(first, second, third)

        assert [(pytest.approx(at), len(batch)) for at, batch in judge.batches] == [(0.008, 2), (0.020, 1)]

    ticking(talk)


def test_enough_windows_leave_at_once_and_the_next_share_waits_its_own_time() -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        waiting = []
        for call, windows in ((1, 1), (2, 1), (3, 2), (4, 1)):
            waiting.append(asyncio.create_task(ticker.judge(share(call, windows))))
            await asyncio.sleep(0.1)
        await asyncio.gather(*waiting)

        assert [(pytest.approx(at), len(batch)) for at, batch in judge.batches] == [(0.2, 3), (0.8, 1)]

    ticking(talk, oldest_ms=500, most_windows=4)


def test_ticks_do_not_wait_for_one_another() -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        judge.takes_s = 0.030
        slow = asyncio.create_task(ticker.judge(share(1)))
        await asyncio.sleep(0.010)
        judge.takes_s = 0.001
        assert await ticker.judge(share(2)) == verdict_on(share(2))

        assert not slow.done()
        assert await slow == verdict_on(share(1))

    ticking(talk)


def test_a_verdict_that_comes_too_late_is_unknown_for_all() -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        judge.takes_s = 3.0
        began = asyncio.get_running_loop().time()
        verdicts = await asyncio.gather(ticker.judge(share(1)), ticker.judge(share(2)))

        assert verdicts == [None, None] and ticker.unknown == 2
        assert asyncio.get_running_loop().time() - began == pytest.approx((8 + BUDGET_MS) / 1000)

    ticking(talk)


@pytest.mark.parametrize(
    ("failure", "logged"),
    [
        (StageBusy("vad_busy", "full", "vad"), []),
        (BadInput("vad_windows_wrong", "3 bytes", "vad"), ["vad_tick_failed"]),
        (ZeroDivisionError("a bug"), ["vad_tick_failed"]),
    ],
    ids=["stage failed", "refused", "a bug"],
)
def test_whatever_the_request_raises_the_verdict_is_unknown_and_only_mistakes_are_logged(
    failure: Exception, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        judge.fails = failure
        assert await asyncio.gather(ticker.judge(share(1)), ticker.judge(share(2))) == [None, None]
        assert ticker.unknown == 2
        judge.fails = None

        assert await ticker.judge(share(1)) == verdict_on(share(1))
        assert [record.message for record in caplog.records] == logged

    ticking(talk)


@pytest.mark.parametrize("wrong_by", [-1, 1])
def test_an_answer_that_is_not_one_verdict_a_share_is_unknown_for_all(wrong_by: int) -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        judge.answers = lambda batch: [verdict_on(batch[0])] * (len(batch) + wrong_by)
        verdicts = await asyncio.gather(ticker.judge(share(1)), ticker.judge(share(2)))

        assert verdicts == [None, None] and ticker.unknown == 2

    ticking(talk)


@pytest.mark.parametrize("after_s", [0.001, 0.009], ids=["while it waits", "while it is judged"])
def test_a_call_that_ends_meanwhile_does_not_disturb_the_others(after_s: float) -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        gone, stays = (asyncio.create_task(ticker.judge(share(call))) for call in (1, 2))
        await asyncio.sleep(after_s)
        gone.cancel()

        assert await stays == verdict_on(share(2))
        assert gone.cancelled() and ticker.unknown == 0

    ticking(talk)


def test_a_host_whose_only_call_ended_still_serves_the_next() -> None:
    async def talk(ticker: VadTicker, judge: Judge) -> None:
        gone = asyncio.create_task(ticker.judge(share(1)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0.1)

        assert await ticker.judge(share(2)) == verdict_on(share(2))

    ticking(talk)
