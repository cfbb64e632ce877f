"""Which calls are open, and what is written for them in a dead host's name."""

from __future__ import annotations

from pathlib import Path

from analytics.open_calls import OpenCalls, load_open_calls, save_open_calls
from tests.analytics.lake_facts import NOON_MS, event


def test_only_calls_that_started_and_did_not_end_are_ended() -> None:
    open_calls = OpenCalls().after(
        1,
        [
            event(1, "call.started", "gone"),
            event(1, "call.started", "ended"),
            event(2, "turn.ledger", "gone"),
            event(7, "quality", "never started here"),
            event(2, "call.ended", "ended"),
            event(5, "turn.ledger", "gone", epoch=2),
        ],
    )

    (end,) = open_calls.host_lost("spool-a")
    assert (end.call, end.type, end.seq, end.epoch, end.at_ms) == ("gone", "call.ended", 6, 2, NOON_MS + 5)
    assert end.data == {"reason": "host_lost", "duration_s": 0.004, "turns": 2}


def test_the_same_spool_gives_the_same_events_and_another_spool_others() -> None:
    open_calls = OpenCalls().after(1, [event(1, "call.started")])

    assert open_calls.host_lost("spool-a") == open_calls.host_lost("spool-a")
    assert open_calls.host_lost("spool-a")[0].event_id != open_calls.host_lost("spool-b")[0].event_id


def test_a_segment_counted_twice_counts_once() -> None:
    once = OpenCalls().after(1, [event(1, "call.started"), event(2, "turn.ledger")])
    after_end = once.after(2, [event(3, "call.ended")])

    again = after_end.after(1, [event(1, "call.started"), event(2, "turn.ledger")])

    assert again.host_lost("spool-a") == []


def test_open_calls_outlive_the_process(tmp_path: Path) -> None:
    open_calls = OpenCalls().after(4, [event(1, "call.started")])
    save_open_calls(tmp_path, open_calls)

    assert load_open_calls(tmp_path) == open_calls
