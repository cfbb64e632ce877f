"""A call report for people (text, with or without a terminal) and for programs (one object, units in the key names).

What the server and the caller said is foreign text, and may be Arabic: what could steer a terminal is shown by its
code (`plain`), and each piece is wrapped in Unicode's first-strong isolates (UAX #9), so that it cannot disorder the
line around it. It never stands in a table, whose columns a right-to-left terminal would turn round.
"""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deployments.contracts.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ
from serve_app.caller.plain import plain
from serve_app.caller.report import CallReport, TurnReport

_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
STAGE_TIMES = ("began_ms", "first_ms", "ended_ms", "engine_ms")


def print_report(report: CallReport, console: Console) -> None:
    """The conversation, then each turn's ledger, then the figures of the call."""
    _say(console, "agent", report.greeting_text)
    for turn in report.turns:
        _say(console, "caller", turn.transcript)
        _say(console, "agent", turn.answer_text)
        if turn.answer_text and not turn.heard_complete:
            console.print(Text("        heard of it: ").append(_quoted(turn.heard_text)))
        for source in turn.sources:
            name = source.get("title") or source.get("document") or ""
            console.print(
                Text("        source: ").append(_quoted(name)).append(" ").append(_quoted(source.get("source")))
            )
        _print_figures(turn, console)
    if report.barge_in_ms is not None:
        console.print(f"barge-in to silence: {report.barge_in_ms:.0f} ms")
    lost = f"{report.packets_received} packets received, {report.packets_lost} lost"
    console.print(Text(f"connected in {report.setup_ms:.0f} ms; {lost}; ended: {plain(report.end_reason)}"))
    if report.failure is not None:
        console.print(Text(f"failed: {plain(report.failure.code)}: {plain(report.failure.detail)}", "bold red"))


def as_dict(report: CallReport) -> dict[str, Any]:
    """The report as JSON-serialisable data: everything but the recording, of which the length is given."""
    return {
        "connected": report.connected,
        "call": report.call,
        "location": report.location,
        "setup_ms": _rounded(report.setup_ms),
        "greeting": report.greeting_text,
        "turns": [_turn_as_dict(turn) for turn in report.turns],
        "barge_in_ms": _rounded(report.barge_in_ms),
        "failure": None if report.failure is None else {"code": report.failure.code, "detail": report.failure.detail},
        "end_reason": report.end_reason,
        "packets_received": report.packets_received,
        "packets_lost": report.packets_lost,
        "send_delay_max_ms": _rounded(report.send_delay_max_ms),
        "recording_s": round(len(report.recording) / (2 * SAMPLE_BYTES * SAMPLE_RATE_HZ), 2),
        "events": list(report.events),
    }


def _turn_as_dict(turn: TurnReport) -> dict[str, Any]:
    return {
        "turn": turn.turn,
        "question_s": round(turn.question_s, 2),
        "transcript": turn.transcript,
        "answer": turn.answer_text,
        "sources": list(turn.sources),
        "heard": turn.heard_text,
        "heard_complete": turn.heard_complete,
        "ear_ms": _rounded(turn.ear_ms),
        "over_floor_ms": _rounded(_number((turn.ledger or {}).get("over_floor_ms"))),
        "spoken_over": turn.spoken_over,
        "ledger": turn.ledger,
    }


def _quoted(text: Any) -> str:
    return f"{_ISOLATE}{plain(text)}{_END_ISOLATE}" if text else ""


def _say(console: Console, who: str, text: str) -> None:
    # As `Text`: brackets in what was said are no markup.
    console.print(Text(f"{who:>6}: ", "bold").append(_quoted(text) or "(nothing)", "default"))


def _print_figures(turn: TurnReport, console: Console) -> None:
    ledger = turn.ledger or {}
    stages = ledger.get("stages")
    if isinstance(stages, dict) and stages:
        table = Table(
            "stage", box=SIMPLE_HEAD, title=f"turn {turn.turn}: ms after the end of speech", title_justify="left"
        )
        for column in ("began", "first result", "ended", "engine ms"):
            table.add_column(column, justify="right", no_wrap=True)
        for name, times in stages.items():
            given = times if isinstance(times, dict) else {}
            table.add_row(Text(plain(name)), *(_cell(given.get(key)) for key in STAGE_TIMES))
        console.print(table)
    else:
        console.print("        no ledger for this turn")
    over_floor_ms = _number(ledger.get("over_floor_ms"))
    if over_floor_ms is not None:
        console.print(f"        over the floor: {over_floor_ms:.0f} ms", highlight=False)
    if turn.ear_ms is not None:
        over = " (the agent spoke while the caller did)" if turn.spoken_over else ""
        console.print(f"        end of speech to first sound at the ear: {turn.ear_ms:.0f} ms{over}", highlight=False)


def _cell(value: Any) -> str:
    number = _number(value)
    return "-" if number is None else f"{number:.0f}"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
