"""`dukat bench loss`: what a bad line does to the caller's speech, with stock aiortc measured beside it.

Each call goes through a relay of its own that loses, delays and jumbles packets by a seed (`caller/impaired.py`); ICE
can take no other way. Both servers get the same packets with the same fates. What the session heard is compared with
what was sent: by the sound (`caller/likeness.py`), so the same for both; and by our counters, where there are any.

Delay is what the server adds: the line's own mean delay is taken off. MOS of ours is what the call itself would report;
that of stock aiortc is the same estimate from its loss (packets without a frame at the session) and its delay.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deployments.contracts.errors import DukatError
from serve_app.cli.loss_grid import FULL_GRID, NORMAL_WITHIN_S, ONE_LOSS, SMALL_GRID, Cell, measure_calls
from serve_app.cli.media_load import ROLES
from serve_app.cli.media_recordings import speech

LEAST_MOS = 3.8
AT_LOSS_PERCENT = 5.0

console = Console(highlight=False, soft_wrap=True)
_TABLE_WIDTH = 150
"""Where the output is no terminal."""


def loss(
    full: Annotated[bool, typer.Option("--full", help="All 45 lines of the grid.")] = False,
    one_loss: Annotated[bool, typer.Option("--one-loss", help="Only: one packet lost on a clean line.")] = False,
    seconds: Annotated[float, typer.Option(min=8, help="Of speech a call.")] = 25.0,
    parallel: Annotated[int, typer.Option(min=1, max=12, help="Calls at a time.")] = 6,
    one_way: Annotated[bool, typer.Option("--one-way", help="Spoil only what the caller sends.")] = False,
    seed: Annotated[int, typer.Option(help="Of the speech and the losses.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One object as the last line.")] = False,
) -> None:
    """A sweep of loss and jitter: what is concealed, how late the sound is, how much it differs; ours and stock."""
    cells = (ONE_LOSS,) if one_loss else (ONE_LOSS, *(FULL_GRID if full else SMALL_GRID))
    try:
        result = run(cells, seconds, parallel, seed, both_ways=not one_way)
    except DukatError as error:
        Console(stderr=True).print(f"not measured: {error}", style="red", highlight=False)
        raise typer.Exit(1) from None
    print(json.dumps(result)) if as_json else _show(result)
    raise typer.Exit(1 if result["missed"] else 0)


def run(cells: Sequence[Cell], seconds: float, parallel: int, seed: int, *, both_ways: bool) -> dict[str, Any]:
    """Every line, both servers."""
    lines: list[dict[str, Any]] = [{"line": cell.name} for cell in cells]
    with tempfile.TemporaryDirectory(prefix="dukat-bench-") as name:
        folder = Path(name)
        (folder / "speech.pcm").write_bytes(speech(seed))
        for role in ROLES:
            for first in range(0, len(cells), parallel):
                wanted = dict(list(enumerate(cells))[first : first + parallel])
                for number, figures in measure_calls(role, wanted, seconds, seed, both_ways, folder).items():
                    lines[number][role] = figures
    return {
        "seconds": seconds,
        "seed": seed,
        "both_ways": both_ways,
        "lines": lines,
        "targets": {"mos_at_5_percent": LEAST_MOS, "normal_within_s": NORMAL_WITHIN_S, "lost_beyond_one": 0},
        "missed": missed(cells, lines),
    }


# ------------------------------------------------------------ judging


def missed(cells: Sequence[Cell], lines: Sequence[dict[str, Any]]) -> list[str]:
    """Targets of ours."""
    found = []
    for cell, line in zip(cells, lines, strict=True):
        ours = line["dukat"]
        if cell.lose:
            if ours["normal_after_s"] is None or ours["normal_after_s"] > NORMAL_WITHIN_S:
                found.append(f"{cell.name}: delay not normal within {NORMAL_WITHIN_S:g} s")
            if ours["lost"] + ours["late"] > len(cell.lose):
                found.append(f"{cell.name}: more than it is lost")
        elif cell == Cell(AT_LOSS_PERCENT) and (ours["mos"] is None or ours["mos"] < LEAST_MOS):
            found.append(f"{cell.name}: MOS below {LEAST_MOS:g}")
    return found


def _show(result: dict[str, Any]) -> None:
    columns = {
        "lost": "lost",
        "late": "late",
        "concealed_frames": "concealed",
        "fec_frames": "FEC",
        "unheard_frames": "unheard",
        "snr_db": "SNR dB",
        "delay_ms_p50": "delay p50",
        "delay_ms_p95": "p95",
        "delay_ms_end": "at end",
        "longest_gap_ms": "gap ms",
        "mos": "MOS",
    }
    table = Table("line", "server", *columns.values(), box=SIMPLE_HEAD)
    for line in result["lines"]:
        for role in ROLES:
            cells = ("" if line[role].get(name) is None else f"{line[role][name]:g}" for name in columns)
            table.add_row(line["line"] if role == ROLES[0] else "", role, *cells)
    console.print(table, width=None if console.is_terminal else _TABLE_WIDTH, crop=False)
    for line in result["lines"]:
        for role in ROLES:
            if "normal_after_s" in line[role]:
                ours = line[role]
                console.print(
                    f"one packet lost, {role}: delay {ours['delay_before_ms']} ms before, {ours['delay_after_ms']} ms "
                    f"after, normal again after {ours['normal_after_s']} s; "
                    f"longest silence {ours['longest_gap_ms']} ms"
                )
    targets = f"MOS ≥ {LEAST_MOS:g} at 5 %; after one loss nothing else lost, delay normal in {NORMAL_WITHIN_S:g} s"
    console.print(f"targets: {targets}")
    if result["missed"]:
        console.print(f"missed: {'; '.join(result['missed'])}", style="red")
