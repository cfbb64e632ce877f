"""Calls read back from the lakehouse as the command line shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analytics.calls import Source, list_calls, read_call
from analytics.commit import commit_segment
from analytics.tables import call_events_path
from deployments.contracts.call_events import CallEvent
from deployments.contracts.errors import NotFound
from tests.analytics.lake_facts import NOON_MS, event

DAY_MS = 86_400_000
STARTED = {"tenant_name": "Demo", "profile": "embedded", "channel": "webrtc", "engines": {"asr": {"engine": "x"}}}
SOURCES = [{"document": "hours.en", "title": "Hours", "source": "hours.md"}]


def whole_call(call: str = "c1", at_ms: int = NOON_MS) -> list[CallEvent]:
    said: list[tuple[str, dict[str, Any]]] = [
        ("call.started", STARTED),
        ("agent.text", {"turn": 0, "reply": 1, "text": "Hello.", "sources": []}),
        ("agent.heard", {"turn": 0, "reply": 1, "text": "Hello.", "complete": True}),
        ("transcript.final", {"turn": 1, "text": "When do you", "language": "en", "confidence": 0.9}),
        ("transcript.final", {"turn": 1, "text": "open?", "language": "en", "confidence": 0.8}),
        ("agent.text", {"turn": 1, "reply": 2, "text": "At nine in the morning.", "sources": SOURCES}),
        ("agent.heard", {"turn": 1, "reply": 2, "text": "At nine", "complete": False}),
        ("turn.ledger", {"turn": 1, "stages": {"asr": {"ms": 80}}, "over_floor_ms": 410}),
        ("call.ended", {"reason": "caller", "duration_s": 12.5, "turns": 1}),
    ]
    return [event(seq, kind, call, data, at_ms=at_ms + seq * 1000) for seq, (kind, data) in enumerate(said, start=1)]


def put(lake: Path, *segments: list[CallEvent]) -> None:
    for number, part in enumerate(segments, start=1):
        commit_segment(call_events_path(lake), "spool-a", number, part)


def test_a_call_reads_back_turn_by_turn(tmp_path: Path) -> None:
    put(tmp_path, list(reversed(whole_call())), whole_call("c2"))

    call = read_call(tmp_path, "c1")

    assert (call.summary.tenant, call.summary.tenant_name, call.summary.profile) == ("demo", "Demo", "embedded")
    assert (call.summary.started_at_ms, call.summary.ended_at_ms) == (NOON_MS + 1000, NOON_MS + 9000)
    assert (call.summary.end_reason, call.summary.duration_s, call.summary.turns) == ("caller", 12.5, 1)
    greeting, first = call.turns
    assert (greeting.turn, greeting.caller, greeting.heard, greeting.complete) == (0, "", "Hello.", True)
    assert (first.caller, first.language) == ("When do you open?", "en")
    assert (first.agent, first.heard, first.complete) == ("At nine in the morning.", "At nine", False)
    assert first.sources == (Source("hours.en", "Hours", "hours.md"),)
    assert first.ledger["over_floor_ms"] == 410


def test_a_call_over_midnight_is_whole(tmp_path: Path) -> None:
    midnight_ms = NOON_MS - NOON_MS % DAY_MS
    put(tmp_path, whole_call(at_ms=midnight_ms - 4500))

    call = read_call(tmp_path, "c1")

    assert [turn.turn for turn in call.turns] == [0, 1]
    assert call.summary.end_reason == "caller"
    assert list_calls(tmp_path, 1) == [call.summary]


def test_the_newest_calls_come_first_and_no_more_than_asked(tmp_path: Path) -> None:
    put(
        tmp_path, whole_call("old", NOON_MS - 2 * DAY_MS), whole_call("new", NOON_MS), whole_call("mid", NOON_MS - 5000)
    )

    assert [summary.call for summary in list_calls(tmp_path, 2)] == ["new", "mid"]
    assert [summary.call for summary in list_calls(tmp_path, 10)] == ["new", "mid", "old"]


def test_a_call_that_goes_on_has_no_end(tmp_path: Path) -> None:
    put(tmp_path, whole_call()[:5])

    (summary,) = list_calls(tmp_path, 5)

    assert (summary.ended_at_ms, summary.end_reason, summary.duration_s, summary.turns) == (None, None, None, None)
    assert read_call(tmp_path, "c1").turns[1].complete is None


def test_a_call_taken_over_by_another_host_ends_where_that_host_ended_it(tmp_path: Path) -> None:
    first_host = [*whole_call()[:4], event(5, "call.ended", data={"reason": "host_lost", "duration_s": 4, "turns": 0})]
    second_host = [
        event(5, "call.started", data=STARTED, epoch=2),
        event(6, "call.ended", data={"reason": "caller", "duration_s": 30, "turns": 2}, epoch=2),
    ]
    put(tmp_path, first_host, second_host[:1])
    between = read_call(tmp_path, "c1").summary
    put(tmp_path, first_host, second_host[:1], second_host[1:])

    (summary,) = list_calls(tmp_path, 5)

    assert between.end_reason is None
    assert summary.end_reason == "caller"
    assert summary == read_call(tmp_path, "c1").summary


def test_without_a_table_there_are_no_calls(tmp_path: Path) -> None:
    assert list_calls(tmp_path / "none", 5) == []
    with pytest.raises(NotFound, match="call_not_in_lake"):
        read_call(tmp_path / "none", "c1")


def test_an_unknown_call_is_not_found(tmp_path: Path) -> None:
    put(tmp_path, whole_call())

    with pytest.raises(NotFound, match="call_not_in_lake"):
        read_call(tmp_path, "c9")
