"""The account of a turn: what it cost, what it would have cost with the engines alone, and the form others read."""

from __future__ import annotations

import json

import pytest

from serve_app.call.ledger import STAGES, TurnLedger


def a_spoken_turn() -> TurnLedger:
    """Last sound at 10 s, 320 ms waited, engines 20 + 30 + 100 + 50 ms, first packet 640 ms after the last sound."""
    ledger = TurnLedger(turn=3, reply=4, speech_end_s=10.0, wait_ms=320.0)
    ledger.began("asr", 10.33)
    ledger.first("asr", 10.36, engine_ms=20.0)
    ledger.ended("asr", 10.36)
    ledger.began("retrieval", 10.36)
    ledger.ended("retrieval", 10.40, engine_ms=30.0)
    ledger.began("llm", 10.40)
    ledger.first("llm", 10.45, engine_ms=100.0)
    ledger.first("tts", 10.6, engine_ms=50.0)
    ledger.first("playout", 10.64)
    return ledger


def test_over_floor_is_the_response_less_the_wait_and_the_engines() -> None:
    ledger = a_spoken_turn()

    assert ledger.engines_ms == pytest.approx(200)
    assert ledger.floor_ms == pytest.approx(520)
    assert ledger.response_ms == pytest.approx(640)
    assert ledger.over_floor_ms == pytest.approx(120)


def test_only_the_first_first_counts() -> None:
    ledger = a_spoken_turn()
    ledger.first("llm", 99.0, engine_ms=7000.0)
    ledger.first("playout", 99.0)

    assert ledger.stage("llm").first_s == 10.45
    assert ledger.engines_ms == pytest.approx(200)
    assert ledger.response_ms == pytest.approx(640)


def test_the_engine_time_of_the_first_result_is_not_replaced_at_the_end() -> None:
    ledger = a_spoken_turn()
    ledger.ended("llm", 12.0, engine_ms=1500.0)

    assert ledger.stage("llm").engine_ms == 100.0
    assert ledger.stage("retrieval").engine_ms == 30.0


def test_what_never_sounded_has_no_response_time() -> None:
    ledger = TurnLedger(1, 1, speech_end_s=5.0, wait_ms=640.0)
    ledger.began("asr", 5.7)

    assert ledger.response_ms is None and ledger.over_floor_ms is None
    assert ledger.floor_ms == 640.0


def test_a_typed_turn_has_no_response_time_and_counts_from_its_own_beginning() -> None:
    ledger = TurnLedger(1, 1, speech_end_s=None)
    ledger.began("retrieval", 100.25)
    ledger.began("llm", 100.5)
    ledger.first("playout", 101.0)
    public = ledger.public()

    assert public["spoken"] is False
    assert public["response_ms"] is None and public["over_floor_ms"] is None
    assert public["stages"]["retrieval"]["began_ms"] == 0.0
    assert public["stages"]["playout"]["first_ms"] == 750.0


def test_the_public_form_is_json_in_milliseconds_after_the_last_sound() -> None:
    public = json.loads(json.dumps(a_spoken_turn().public()))

    assert public["stages"]["asr"] == {"began_ms": 330.0, "first_ms": 360.0, "ended_ms": 360.0, "engine_ms": 20.0}
    assert public["stages"]["tts"] == {"began_ms": None, "first_ms": 600.0, "ended_ms": None, "engine_ms": 50.0}
    assert {name: value for name, value in public.items() if name != "stages"} == {
        "turn": 3,
        "reply": 4,
        "spoken": True,
        "wait_ms": 320.0,
        "engines_ms": 200.0,
        "floor_ms": 520.0,
        "response_ms": 640.0,
        "over_floor_ms": 120.0,
    }


def test_stages_appear_in_the_order_of_the_journey_and_only_those_that_happened() -> None:
    ledger = TurnLedger(1, 1, None)
    for name in ("playout", "llm", "asr"):
        ledger.began(name, 1.0)

    assert list(ledger.public()["stages"]) == ["asr", "llm", "playout"]
    assert list(TurnLedger(1, 1, None).public()["stages"]) == []


def test_a_stage_that_does_not_exist_is_a_mistake() -> None:
    ledger = TurnLedger(1, 1, None)

    with pytest.raises(KeyError, match="speling"):
        ledger.began("speling", 1.0)
    assert "speling" not in STAGES
