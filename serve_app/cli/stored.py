"""`dukat calls` and `dukat show`: calls as the lakehouse has them."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics.calls import CallSummary, StoredCall, list_calls, read_call
from deployments.contracts.errors import NotFound, StageTimeout
from serve_app.caller.plain import json_line, plain
from serve_app.cli.ingest_show import result_console

StateDir = Annotated[Path, typer.Option(help="The state folder of `dukat up`.")]


def calls(
    state_dir: StateDir = Path(".dukat"), limit: int = 20, as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """The newest calls in the lakehouse."""
    found = list_calls(state_dir / "lake", limit)
    if as_json:
        print(json_line({"calls": [dataclasses.asdict(call) for call in found]}))
    elif found:
        print_calls(found, result_console())
    else:
        result_console().print(Text(plain(f"no calls in {state_dir / 'lake'} yet")))


def show(
    call: str, state_dir: StateDir = Path(".dukat"), as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """One call from the lakehouse: what was said, heard and cited."""
    stored = read_call(state_dir / "lake", call)
    if as_json:
        print(json_line(dataclasses.asdict(stored)))
    else:
        print_stored(stored, state_dir, result_console())


def print_calls(found: list[CallSummary], out: Console) -> None:
    """Calls for people. Whole in 80 columns, and the call's id in one piece, so that it can be given to `show`."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("call", no_wrap=True)
    table.add_column("began (UTC)", no_wrap=True)
    table.add_column("s", no_wrap=True, justify="right")
    table.add_column("turns", no_wrap=True, justify="right")
    table.add_column("ended", no_wrap=True)
    table.add_column("tenant", overflow="fold", min_width=6)
    for call in found:
        began = datetime.fromtimestamp(call.started_at_ms / 1000, UTC).strftime("%m-%d %H:%M")
        seconds = "" if call.duration_s is None else f"{call.duration_s:.1f}"
        cells = (call.call, began, seconds, call.turns, call.end_reason, call.tenant)
        table.add_row(*(Text(plain(cell)) for cell in cells))
    out.print(table)


def wait_for_call(state_dir: Path, call: str, timeout_s: float) -> StoredCall:
    """Wait until the call's end is in the table. Raises `StageTimeout`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            stored = read_call(state_dir / "lake", call)
            if stored.summary.end_reason is not None:
                return stored
        except NotFound:
            pass  # not committed yet
        time.sleep(0.2)
    raise StageTimeout("call_not_in_lake", f"call {call} did not reach {state_dir / 'lake'}", "lake")


def print_stored(stored: StoredCall, state_dir: Path, out: Console) -> None:
    """A stored call for people."""
    summary = stored.summary
    seconds = "" if summary.duration_s is None else f", {summary.duration_s:.1f} s"
    turns = "still under way" if summary.turns is None else f"{summary.turns} turns"
    lines = [
        f"In the lakehouse ({state_dir / 'lake' / 'call_events'}):",
        f"  call {summary.call}, {turns}{seconds}{', ' if summary.end_reason else ''}{summary.end_reason or ''}",
    ]
    for turn in stored.turns:
        for speaker, text in (("caller", turn.caller), ("heard ", turn.heard)):
            if text:
                lines.append(f"  {turn.turn}  {speaker}  {text}")
    out.print()
    for line in lines:
        out.print(Text(plain(line)))
