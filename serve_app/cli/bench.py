"""`dukat bench …`: measurements of the platform, printed with the floor beside them."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from deployments.contracts.errors import DukatError
from serve_app.caller.report import CallReport, TurnReport
from serve_app.caller.scripted import place_call
from serve_app.caller.speech import prepare
from serve_app.caller.wav import read_wav
from serve_app.cli.bench_loss import loss
from serve_app.cli.bench_media import media
from serve_app.cli.bench_recognition import recognition
from serve_app.cli.up import FIRST_QUESTION, wait_ready
from serve_app.local_cluster import LocalCluster, LocalSettings
from serve_app.local_environment import free_ports

app = typer.Typer(no_args_is_help=True, help=__doc__)
console = Console(highlight=False, soft_wrap=True)

TURNS_A_CALL = 10
WARM_UP_TURNS = 2


@app.callback()
def _group() -> None:
    """Measurements."""


app.command("recognition")(recognition)
app.command("media")(media)
app.command("loss")(loss)


@app.command("turn")
def turn(
    turns: Annotated[int, typer.Option(min=1, help="Turns to measure.")] = 20,
    profile: Annotated[
        str, typer.Option(help="`emulated`: engines of known delay; `embedded`: the laptop's own.")
    ] = "emulated",
    wav: Annotated[Path, typer.Option(help="What is asked each time.")] = FIRST_QUESTION,
    as_json: Annotated[bool, typer.Option("--json", help="One object as the last line.")] = False,
) -> None:
    """One call at a time, question after question: what the platform adds to its engines."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="dukat-bench-") as folder:
        settings = LocalSettings(Path(folder), port=port, profile=profile)
        try:
            question = read_wav(wav)
            with LocalCluster(settings, console.print if not as_json else lambda line: None):
                wait_ready(settings.url)
                measured = asyncio.run(_ask(settings.url, question, turns))
        except DukatError as error:
            console.print(f"not measured: {error}", style="red")
            raise typer.Exit(1) from None
    result = summary(measured, profile)
    print(json.dumps(result)) if as_json else console.print_json(data=result)
    raise typer.Exit(0 if result["turns"] >= turns else 1)


async def _ask(url: str, question: bytes, turns: int) -> list[TurnReport]:
    speech = prepare(question)
    measured: list[TurnReport] = []
    await place_call(url, "demo", [speech] * WARM_UP_TURNS, host_addresses=("127.0.0.1",))
    while len(measured) < turns:
        count = min(TURNS_A_CALL, turns - len(measured))
        report: CallReport = await place_call(url, "demo", [speech] * count, host_addresses=("127.0.0.1",))
        done = [done for done in report.turns if done.ledger is not None and done.ear_ms is not None]
        measured += done
        if len(done) < count:
            break
    return measured


def summary(measured: list[TurnReport], profile: str) -> dict[str, Any]:
    """Percentiles over the turns; `floor_ms` is the median of what the engines and the end-of-turn wait took."""
    ledgers = [turn.ledger for turn in measured if turn.ledger is not None]
    over = [ledger["over_floor_ms"] for ledger in ledgers if ledger.get("over_floor_ms") is not None]
    ear = [turn.ear_ms for turn in measured if turn.ear_ms is not None]
    floor = [ledger["floor_ms"] for ledger in ledgers]
    return {
        "profile": profile,
        "turns": len(over),
        "over_floor_ms_p50": _percentile(over, 50),
        "over_floor_ms_p95": _percentile(over, 95),
        "ear_ms_p50": _percentile(ear, 50),
        "ear_ms_p95": _percentile(ear, 95),
        "floor_ms": _percentile(floor, 50),
        "over_floor_by_stage_ms_p50": _by_stage(ledgers),
    }


def _by_stage(ledgers: list[dict[str, Any]]) -> dict[str, float | None]:
    """Where the time over the floor goes: each stage's share without its engine, median over the turns."""
    shares: dict[str, list[float]] = {name: [] for name in ("hearing", "asr", "retrieval", "llm", "tts", "playout")}
    for ledger in ledgers:
        stages = ledger["stages"]
        if not all(stages.get(name) for name in ("end_of_turn", "asr", "retrieval", "llm", "clause", "tts", "playout")):
            continue  # a turn that was answered with a standard line
        shares["hearing"].append(stages["end_of_turn"]["ended_ms"] - ledger["wait_ms"])
        for name in ("asr", "retrieval", "tts"):
            stage = stages[name]
            shares[name].append(stage["first_ms"] - stage["began_ms"] - stage["engine_ms"])
        llm = stages["llm"]
        shares["llm"].append(stages["clause"]["first_ms"] - llm["began_ms"] - llm["engine_ms"])
        shares["playout"].append(stages["playout"]["first_ms"] - stages["tts"]["first_ms"])
    return {name: _percentile(values, 50) for name, values in shares.items()}


def _percentile(values: list[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 1) if values else None
