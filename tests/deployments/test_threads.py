"""A blocking generator streamed from a thread: whoever leaves, it is closed there, and no thread stays blocked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

from deployments.threads import stream_from_thread

PATIENCE_S = 20
"""Only a test that fails waits so long."""


class Engine:
    """Counts up, in whatever thread asks. `gate` holds back the numbers from `held_from` on."""

    def __init__(self, last: int = 5, held_from: int = 1000, fails_at: int = 1000) -> None:
        self.last, self.held_from, self.fails_at = last, held_from, fails_at
        self.gate = threading.Event()
        self.waiting = threading.Event()
        self.closed = threading.Event()
        self.threads: list[str] = []
        self.closed_in = ""
        self.made = 0

    def numbers(self) -> Iterator[int]:
        try:
            for number in range(self.last):
                self.threads.append(threading.current_thread().name)
                if number >= self.held_from:
                    self.waiting.set()
                    assert self.gate.wait(PATIENCE_S)
                if number >= self.fails_at:
                    raise ValueError(f"number {number}")
                self.made += 1
                yield number
        finally:
            self.closed_in = threading.current_thread().name
            self.closed.set()


@pytest.fixture
async def executor() -> AsyncIterator[ThreadPoolExecutor]:
    """One thread: if it stays blocked, the test does not end. No exception may go unseen."""
    unseen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as one_thread:
        yield one_thread
        async with asyncio.timeout(PATIENCE_S):
            assert await asyncio.get_running_loop().run_in_executor(one_thread, int) == 0
    assert unseen == []


async def reached(event: threading.Event) -> None:
    """Wait for the engine without blocking the loop, in a thread that is not its own."""
    assert await asyncio.to_thread(event.wait, PATIENCE_S)


def reader(executor: ThreadPoolExecutor, engine: Engine, taken: list[int]) -> Callable[[], Any]:
    async def read() -> None:
        async with aclosing(stream_from_thread(executor, engine.numbers)) as numbers:  # type: ignore[type-var]
            async for number in numbers:
                taken.append(number)

    return read


async def test_every_item_comes_in_order_and_only_the_executor_works(executor: ThreadPoolExecutor) -> None:
    engine = Engine()

    assert [number async for number in stream_from_thread(executor, engine.numbers)] == [0, 1, 2, 3, 4]
    assert {name.split("_")[0] for name in engine.threads} == {"engine"}


async def test_a_stream_without_items_ends(executor: ThreadPoolExecutor) -> None:
    assert [number async for number in stream_from_thread(executor, Engine(last=0).numbers)] == []


async def test_none_is_an_item_like_others(executor: ThreadPoolExecutor) -> None:
    items = [item async for item in stream_from_thread(executor, lambda: iter([None, 0, None]))]

    assert items == [None, 0, None]


async def test_the_loop_goes_on_while_the_engine_works(executor: ThreadPoolExecutor) -> None:
    engine, taken = Engine(held_from=0), []  # type: ignore[var-annotated]
    reading = asyncio.create_task(reader(executor, engine, taken)())
    await reached(engine.waiting)

    assert not reading.done()
    engine.gate.set()
    await reading
    assert taken == [0, 1, 2, 3, 4]


async def test_nothing_is_made_ahead_of_the_reader(executor: ThreadPoolExecutor) -> None:
    engine = Engine()
    async with aclosing(stream_from_thread(executor, engine.numbers)) as numbers:  # type: ignore[type-var]
        await anext(numbers)
        await asyncio.get_running_loop().run_in_executor(executor, int)

        assert engine.made == 1


async def test_leaving_early_closes_the_generator_in_the_executor_before_the_reader_goes_on(
    executor: ThreadPoolExecutor,
) -> None:
    engine = Engine()
    async with aclosing(stream_from_thread(executor, engine.numbers)) as numbers:  # type: ignore[type-var]
        assert await anext(numbers) == 0

    assert engine.closed.is_set() and engine.closed_in.startswith("engine")
    assert engine.made == 1


async def test_cancelling_during_a_step_returns_at_once_and_closes_when_the_step_has_ended(
    executor: ThreadPoolExecutor,
) -> None:
    engine, taken = Engine(held_from=2), []  # type: ignore[var-annotated]
    reading = asyncio.create_task(reader(executor, engine, taken)())
    await reached(engine.waiting)
    reading.cancel()
    await asyncio.wait([reading])

    assert reading.cancelled() and taken == [0, 1]
    assert not engine.closed.is_set()
    engine.gate.set()
    await reached(engine.closed)
    assert engine.closed_in.startswith("engine") and engine.made == 3


async def test_an_engine_that_fails_after_it_was_left_disturbs_nobody(executor: ThreadPoolExecutor) -> None:
    engine, taken = Engine(held_from=1, fails_at=1), []  # type: ignore[var-annotated]
    reading = asyncio.create_task(reader(executor, engine, taken)())
    await reached(engine.waiting)
    reading.cancel()
    await asyncio.wait([reading])
    engine.gate.set()
    await reached(engine.closed)

    assert reading.cancelled() and taken == [0]


async def test_cancelling_while_it_waits_for_a_thread_closes_it_too(executor: ThreadPoolExecutor) -> None:
    hog, engine = Engine(held_from=0), Engine()
    others = [asyncio.create_task(reader(executor, one, [])()) for one in (hog, engine)]
    await reached(hog.waiting)
    others[1].cancel()
    await asyncio.wait([others[1]])
    hog.gate.set()
    await others[0]
    await reached(engine.closed)

    assert engine.made <= 1 and engine.closed_in.startswith("engine")


async def test_a_second_cancellation_does_not_leave_the_generator_open(executor: ThreadPoolExecutor) -> None:
    engine, hog = Engine(), Engine(held_from=0)
    took = asyncio.Event()

    async def read_one() -> None:
        async with aclosing(stream_from_thread(executor, engine.numbers)) as numbers:  # type: ignore[type-var]
            await anext(numbers)
            took.set()
            await asyncio.Event().wait()

    reading = asyncio.create_task(read_one())
    await took.wait()
    hogging = asyncio.create_task(reader(executor, hog, [])())
    await reached(hog.waiting)
    reading.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])
    assert not engine.closed.is_set()
    hog.gate.set()
    await hogging
    await reached(engine.closed)

    assert engine.closed_in.startswith("engine")


async def test_an_exception_of_the_generator_reaches_the_reader(executor: ThreadPoolExecutor) -> None:
    engine, taken = Engine(fails_at=2), []  # type: ignore[var-annotated]

    with pytest.raises(ValueError, match="number 2"):
        await reader(executor, engine, taken)()
    assert taken == [0, 1] and engine.closed.is_set()


async def test_an_engine_that_cannot_start_says_so(executor: ThreadPoolExecutor) -> None:
    def start() -> Iterator[int]:
        raise LookupError("no such voice")

    with pytest.raises(LookupError, match="no such voice"):
        [number async for number in stream_from_thread(executor, start)]


async def test_an_iterator_without_close_may_be_left(executor: ThreadPoolExecutor) -> None:
    async with aclosing(stream_from_thread(executor, lambda: iter(range(5)))) as numbers:  # type: ignore[type-var]
        assert await anext(numbers) == 0
