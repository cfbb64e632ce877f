"""`dukat calls` and `dukat show`: calls as the lakehouse has them."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analytics.calls import StoredCall, list_calls, read_call
from deployments.contracts.errors import NotFound, StageTimeout

console = Console(highlight=False, soft_wrap=True)

StateDir = Annotated[Path, typer.Option(help="The state folder of `dukat up`.")]


def calls(
    state_dir: StateDir = Path(".dukat"), limit: int = 20, as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """The newest calls in the lakehouse."""
    found = list_calls(state_dir / "lake", limit)
    if as_json:
        print(json.dumps({"calls": [dataclasses.asdict(call) for call in found]}, ensure_ascii=False))
        return
    table = Table(box=SIMPLE_HEAD)
    table.add_column("call", no_wrap=True)  # whole, so that it can be given to `show`
    for column in ("tenant", "began (UTC)", "seconds", "turns", "ended"):
        table.add_column(column)
    for call in found:
        began = datetime.fromtimestamp(call.started_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(call.call, call.tenant, began, _text(call.duration_s), _text(call.turns), _text(call.end_reason))
    console.print(table)


def show(
    call: str, state_dir: StateDir = Path(".dukat"), as_json: Annotated[bool, typer.Option("--json")] = False
) -> None:
    """One call from the lakehouse: what was said, heard and cited."""
    stored = read_call(state_dir / "lake", call)
    if as_json:
        print(json.dumps(dataclasses.asdict(stored), ensure_ascii=False, default=str))
    else:
        print_stored(stored, state_dir, console)


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
    out.print(f"\nIn the lakehouse ({state_dir / 'lake' / 'call_events'}):")
    out.print(f"  call {summary.call}, {summary.turns} turns, {_text(summary.duration_s)} s, {summary.end_reason}")
    for turn in stored.turns:
        for speaker, text in (("caller", turn.caller), ("heard ", turn.heard)):
            if text:
                out.print(Text(f"  {turn.turn}  {speaker}  {text}"))


def _text(value: object) -> str:
    return "" if value is None else str(value)
