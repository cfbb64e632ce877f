"""A call report as text and as JSON."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from serve_app.caller.report import CallReport, Failure, TurnReport
from serve_app.caller.show import as_dict, print_report

TURN = TurnReport(
    turn=1,
    question_s=1.5,
    transcript="ما هي الرسوم؟",
    answer_text="Ten dirhams [a month].",
    sources=({"document": "tariffs.ar", "title": "التعرفة", "source": "tariffs.ar.md"},),
    heard_text="Ten dirhams [a month].",
    heard_complete=True,
    ear_ms=812.34,
    spoken_over=False,
    ledger={
        "turn": 1,
        "stages": {
            "asr": {"began_ms": 320.0, "first_ms": 410.4, "ended_ms": 411.0, "engine_ms": 88.8},
            "tts": {"began_ms": 500.0, "first_ms": None, "ended_ms": None, "engine_ms": None},
        },
        "over_floor_ms": 61.6,
    },
)
REPORT = CallReport(
    connected=True,
    call="c-1",
    location="http://127.0.0.1:8000/v1/calls/t",
    setup_ms=41.26,
    greeting_text="Hello.",
    turns=(TURN,),
    barge_in_ms=233.3,
    failure=None,
    end_reason="hung_up",
    packets_received=500,
    packets_lost=2,
    send_delay_max_ms=3.21,
    recording=bytes(64_000),
    events=({"type": "call.state", "state": "greeting"},),
)


def printed(report: CallReport, terminal: bool = False) -> str:
    out = io.StringIO()
    print_report(report, Console(file=out, force_terminal=terminal, width=100))
    return out.getvalue()


def test_the_conversation_its_sources_and_its_figures_are_printed() -> None:
    text = printed(REPORT)

    assert "agent: \u2068Hello.\u2069" in text
    assert "caller: \u2068ما هي الرسوم؟\u2069" in text
    assert "Ten dirhams [a month]." in text
    assert "source: \u2068التعرفة\u2069 \u2068tariffs.ar.md\u2069" in text
    assert "over the floor: 62 ms" in text
    assert "812 ms" in text
    assert "barge-in to silence: 233 ms" in text
    assert "500 packets received, 2 lost" in text


def test_the_ledger_has_one_row_a_stage_and_a_dash_for_what_is_not_known() -> None:
    rows = {line.split()[0]: line.split()[1:] for line in printed(REPORT).splitlines() if line.strip()}

    assert rows["asr"] == ["320", "410", "411", "89"]
    assert rows["tts"] == ["500", "-", "-", "-"]


def test_without_a_terminal_there_are_no_escape_codes_and_with_one_there_are() -> None:
    assert "\x1b" not in printed(REPORT)
    assert "\x1b[" in printed(REPORT, terminal=True)


def test_foreign_text_cannot_steer_the_terminal_or_turn_the_line_round() -> None:
    text = "a\x1b[2Jb\x07\u202ec\u2069d\r\n[bold]e"
    evil = dataclasses.replace(REPORT, greeting_text=text, end_reason=text, failure=Failure(text, text))

    out = printed(evil)

    shown = r"a\x1b[2Jb\x07\u202ec\u2069d\r\n[bold]e"
    assert f"agent: \u2068{shown}\u2069" in out
    assert f"ended: {shown}" in out and f"failed: {shown}: {shown}" in out
    assert "\x1b" not in out and "\u202e" not in out


def test_a_failed_turn_says_what_is_known() -> None:
    turn = dataclasses.replace(TURN, transcript="", heard_text="Ten", heard_complete=False, ear_ms=None, ledger=None)
    report = dataclasses.replace(REPORT, turns=(turn,), failure=Failure("answer_missing", "no end of the answer"))
    text = printed(report)

    assert "caller: (nothing)" in text
    assert "heard of it: \u2068Ten\u2069" in text
    assert "no ledger" in text
    assert "at the ear" not in text
    assert "failed: answer_missing: no end of the answer" in text


@pytest.mark.parametrize("stages", [None, [], {"asr": None}, {"asr": {"began_ms": "soon", "first_ms": True}}])
def test_a_ledger_of_another_form_does_not_break_the_report(stages: object) -> None:
    turn = dataclasses.replace(TURN, ledger={"stages": stages, "over_floor_ms": "much"})

    assert "over the floor" not in printed(dataclasses.replace(REPORT, turns=(turn,)))


def test_the_dict_form_is_json_with_units_and_without_the_recording() -> None:
    found = json.loads(json.dumps(as_dict(REPORT)))

    assert (found["setup_ms"], found["barge_in_ms"], found["recording_s"]) == (41.3, 233.3, 1.0)
    turn = found["turns"][0]
    assert (turn["ear_ms"], turn["over_floor_ms"], turn["question_s"]) == (812.3, 61.6, 1.5)
    assert turn["ledger"]["stages"]["asr"]["engine_ms"] == 88.8
    assert turn["sources"][0]["source"] == "tariffs.ar.md"
    assert found["failure"] is None
    assert found["events"] == [{"type": "call.state", "state": "greeting"}]
