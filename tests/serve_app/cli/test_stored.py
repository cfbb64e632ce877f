"""`dukat calls` and `dukat show`: whole in 80 columns, and what callers say steers no terminal."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from analytics.calls import CallSummary, CallTurn, StoredCall
from serve_app.cli import stored

EVIL = "\x1b]0;pwned\x07[red]\u202e\n"
SHOWN = r"\x1b]0;pwned\x07[red]\u202e\n"
CALL = CallSummary(
    call="0123456789abcdef0123456789abcdef",
    tenant="demo",
    tenant_name="Demo",
    profile="embedded",
    channel="webrtc",
    engines={},
    started_at_ms=1_795_250_400_000,
    ended_at_ms=1_795_252_200_000,
    end_reason="connection_lost",
    duration_s=1799.94,
    turns=10_000,
)


def printed(*calls: CallSummary, width: int = 80) -> list[str]:
    out = io.StringIO()
    stored.print_calls(list(calls), Console(file=out, width=width, soft_wrap=True))
    return out.getvalue().splitlines()


def test_a_call_is_one_whole_line_of_80_columns() -> None:
    lines = printed(CALL)

    assert lines[-1].split() == [CALL.call, "11-21", "08:40", "1799.9", "10000", "connection_lost", "demo"]
    assert all(len(line) <= 80 for line in lines)


def test_a_long_tenant_goes_on_below_and_leaves_the_rest_whole() -> None:
    lines = printed(dataclasses.replace(CALL, tenant="a-tenant-" + 20 * "x"))

    row = next(line for line in lines if CALL.call in line)
    assert "11-21 08:40" in row and "1799.9 10000 connection_lost" in row
    assert all(len(line) <= 80 for line in lines)
    assert "".join(line[74:].strip() for line in lines[2:]) == "a-tenant-" + 20 * "x"


def test_a_call_under_way_has_no_end() -> None:
    lines = printed(dataclasses.replace(CALL, ended_at_ms=None, end_reason=None, duration_s=None, turns=None))

    assert lines[-1].split() == [CALL.call, "11-21", "08:40", "demo"]


def test_no_calls_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored.calls(tmp_path)
    assert capsys.readouterr().out == f"no calls in {tmp_path / 'lake'} yet\n"

    stored.calls(tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"calls": []}


EVIL_CALL = StoredCall(
    dataclasses.replace(CALL, call=EVIL, tenant=EVIL, end_reason=EVIL),
    (CallTurn(1, EVIL, "en", EVIL, EVIL, True, (), {}),),
)


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("command", [lambda **more: stored.show("c", **more), stored.calls])
def test_what_was_said_does_not_steer_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: Callable[..., None],
    as_json: bool,
) -> None:
    monkeypatch.setattr(stored, "read_call", lambda *_: EVIL_CALL)
    monkeypatch.setattr(stored, "list_calls", lambda *_: [EVIL_CALL.summary])

    command(state_dir=tmp_path, as_json=as_json)
    out = capsys.readouterr().out

    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    if as_json:
        assert json.loads(out) and "\\u202e" in out
    else:
        assert SHOWN in out


def test_a_shown_call_has_what_was_said_and_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    turns = (CallTurn(1, "when do you open", "en", "At eight. Or so.", "At eight.", False, (), {}),)

    stored.print_stored(StoredCall(CALL, turns), tmp_path, Console(width=200))
    lines = capsys.readouterr().out.splitlines()

    assert lines[2:] == [
        f"  call {CALL.call}, 10000 turns, 1799.9 s, connection_lost",
        "  1  caller  when do you open",
        "  1  heard   At eight.",
    ]
