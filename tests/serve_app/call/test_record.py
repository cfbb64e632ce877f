"""The facts of a call: numbered without gaps, stored or counted, and shown to everybody who watches, to the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from deployments.contracts.errors import StageFailed
from serve_app.call.record import KEPT_EVENTS, WATCHER_EVENTS, CallRecord
from tests.fakes.fake_call import FakeSink


class Recorded:
    """A record, its sink and what was shown to the caller's client."""

    def __init__(self) -> None:
        self.sink = FakeSink()
        self.shown: list[dict[str, Any]] = []
        self.record = CallRecord("c1", "demo", 7, self.sink, self.shown.append)

    def states(self, count: int) -> None:
        for number in range(count):
            self.record.emit("call.state", {"state": f"s{number}"})


def drained(queue: asyncio.Queue[dict[str, Any] | None]) -> list[dict[str, Any] | None]:
    return [queue.get_nowait() for _ in range(queue.qsize())]


def test_stored_events_count_from_one_and_interims_are_shown_but_neither_counted_nor_stored() -> None:
    recorded = Recorded()
    recorded.states(1)
    recorded.record.emit("transcript.interim", {"text": "wha"})
    recorded.record.emit("transcript.final", {"text": "what"})

    assert [(event.type, event.seq) for event in recorded.sink.events] == [("call.state", 1), ("transcript.final", 2)]
    assert [(event["type"], event["seq"]) for event in recorded.shown] == [
        ("call.state", 1),
        ("transcript.interim", 0),
        ("transcript.final", 2),
    ]
    assert recorded.record.events == [recorded.shown[0], recorded.shown[2]]
    assert {(event.call, event.tenant, event.epoch) for event in recorded.sink.events} == {("c1", "demo", 7)}


def test_an_event_the_sink_refused_is_counted_and_still_shown() -> None:
    recorded = Recorded()
    recorded.sink.fails = StageFailed("spool_full", "disk full", "spool")
    recorded.states(2)

    assert recorded.record.unstored == 2
    assert [event["seq"] for event in recorded.shown] == [1, 2]


def test_a_mistake_of_the_sinks_is_not_hidden() -> None:
    recorded = Recorded()
    recorded.sink.fails = ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError):
        recorded.states(1)


async def test_a_watcher_gets_what_was_and_what_comes_and_the_end() -> None:
    recorded = Recorded()
    recorded.states(2)
    queue = recorded.record.watch()
    recorded.record.emit("transcript.interim", {"text": "wha"})
    recorded.record.close()

    assert drained(queue) == [*recorded.shown, None]


async def test_a_watcher_of_a_call_that_is_over_is_told_so_too() -> None:
    recorded = Recorded()
    recorded.states(WATCHER_EVENTS + 50)
    recorded.record.close()
    seen = drained(recorded.record.watch())

    assert seen[-1] is None
    assert seen[:-1] == recorded.shown[-(WATCHER_EVENTS - 1) :]


async def test_a_slow_watcher_loses_the_oldest_but_never_the_end() -> None:
    recorded = Recorded()
    slow, quick = recorded.record.watch(), recorded.record.watch()
    taken = []
    for _ in range(3):
        recorded.states(WATCHER_EVENTS // 2)
        taken += drained(quick)
    recorded.record.close()
    seen = drained(slow)

    assert taken == recorded.shown
    assert seen == [*recorded.shown[-(WATCHER_EVENTS - 1) :], None]


async def test_a_watcher_that_left_is_sent_nothing() -> None:
    recorded = Recorded()
    queue = recorded.record.watch()
    recorded.record.unwatch(queue)
    recorded.record.unwatch(queue)
    recorded.states(3)
    recorded.record.close()

    assert queue.empty()


def test_what_is_kept_for_late_watchers_is_bounded_while_storing_goes_on() -> None:
    recorded = Recorded()
    recorded.states(KEPT_EVENTS + 10)

    assert len(recorded.record.events) == KEPT_EVENTS
    assert recorded.sink.events[-1].seq == KEPT_EVENTS + 10
