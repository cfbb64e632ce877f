"""`dukat bench media`: what a duplex call costs our media path, with stock aiortc measured beside it in the same run.

Each server is a process on core 0, its callers are one on core 1; loopback, full packet rate both ways, speech without
pauses (to us silence costs nothing: that is a figure of its own). CPU is taken from outside, by psutil. Delays are
measured by the sound: which part of the speech was heard when. Where cores cannot be chosen, `pinned` is false. When
the callers themselves were short of time (`client_saturated`) nothing is concluded; when our server had to wait for its
core (`machine_busy`), no missed target is: the other way round, what is reached in spite of that is reached.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deployments.contracts.errors import DukatError
from serve_app.cli.media_load import ROLES, Plan, measure

SWEEP_STEP = 10
MOST_SWEPT = 120

MOST_CPU_PERCENT = 2.0
MOST_DELAY_MS = 30.0
MOST_WAITED_PERCENT = 3.0
"""Of the time, that our server may wait for its core: else the machine is busy with something else."""
NOT_CONCLUDED = 2
"""Exit code."""

console = Console(highlight=False, soft_wrap=True)
_TABLE_WIDTH = 150
"""Where the output is no terminal."""


def media(
    calls: Annotated[int, typer.Option(min=1, help="Duplex calls at a time.")] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="Measured, for each server.")] = 10.0,
    sweep: Annotated[bool, typer.Option("--sweep", help="Find the most calls at full rate, in steps of 10.")] = False,
    only: Annotated[str, typer.Option(help="`dukat` or `stock`: one server alone.")] = "",
    seed: Annotated[int, typer.Option(help="Of the speech and the stream numbers.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One object as the last line.")] = False,
) -> None:
    """CPU, lag, delay and loss of many calls at once: ours, and stock aiortc."""
    roles = tuple(role for role in ROLES if only in ("", role))
    if not roles:
        raise typer.BadParameter("`dukat` or `stock`", param_hint="--only")
    try:
        with tempfile.TemporaryDirectory(prefix="dukat-bench-") as folder:
            plan = Plan(calls, seconds, seed)
            servers = {role: measure(role, plan, Path(folder)) for role in roles}
            swept = {role: _sweep(role, plan, Path(folder)) for role in roles} if sweep else None
    except DukatError as error:
        Console(stderr=True).print(f"not measured: {error}", style="red", highlight=False)
        raise typer.Exit(1) from None
    result = summary(servers)
    if swept is not None:
        result["most_calls_at_full_rate"] = swept
    print(json.dumps(result)) if as_json else _show(result)
    raise typer.Exit(exit_code(result))


def _sweep(role: str, plan: Plan, folder: Path) -> int:
    """The most calls that are all at full rate."""
    most = 0
    for calls in range(SWEEP_STEP, MOST_SWEPT + 1, SWEEP_STEP):
        figures = measure(role, Plan(calls, plan.seconds, plan.seed, plan.warm_up_s), folder)
        console.print(
            f"{role}: {calls} calls, {figures['calls_at_full_rate']} at full rate, "
            f"{figures['cpu_percent_per_call']} % of a core each"
            f"{', callers saturated' if figures['client_saturated'] else ''}"
        )
        if figures["calls_at_full_rate"] < calls:
            break
        most = calls
    return most


# ------------------------------------------------------------ judging


def summary(servers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The figures of the servers, how they compare, and which of our targets are missed."""
    result: dict[str, Any] = {
        "servers": servers,
        "client_saturated": any(figures["client_saturated"] for figures in servers.values()),
        "targets": {"cpu_percent_per_call": MOST_CPU_PERCENT, "delay_ms_p95": MOST_DELAY_MS},
    }
    ours, stock = (servers.get(role) for role in ROLES)
    if ours is not None:
        result |= {
            name: ours[name] for name in ("calls", "cpu_percent_per_call", "calls_at_full_rate", "loop_lag_ms_p99")
        }
        result["missed"] = missed(ours)
        result["machine_busy"] = (ours["server_waited_percent"] or 0.0) > MOST_WAITED_PERCENT
    if ours is not None and stock is not None and not result["client_saturated"]:
        result["stock_over_dukat"] = {
            name: round(stock[name] / ours[name], 2)
            for name in ("cpu_percent_per_call", "cpu_percent_per_call_silent", "delay_in_ms_p50", "delay_out_ms_p50")
            if stock[name] is not None and ours[name]
        }
    return result


def missed(ours: dict[str, Any]) -> list[str]:
    """Targets, by the name of the figure."""
    found = []
    if ours["cpu_percent_per_call"] > MOST_CPU_PERCENT:
        found.append("cpu_percent_per_call")
    if ours["calls_at_full_rate"] < ours["calls"]:
        found.append("calls_at_full_rate")
    for name in ("delay_in_ms_p95", "delay_out_ms_p95"):
        if ours[name] is None or ours[name] > MOST_DELAY_MS:
            found.append(name)
    return found


def exit_code(result: dict[str, Any]) -> int:
    """1: a target of ours is missed; 2: it cannot be told, for the callers were too slow or the core was shared."""
    if result["client_saturated"]:
        return NOT_CONCLUDED
    if not result.get("missed"):
        return 0
    return NOT_CONCLUDED if result["machine_busy"] else 1


def _show(result: dict[str, Any]) -> None:
    table = Table("", *result["servers"], "target", box=SIMPLE_HEAD)
    targets = {
        "cpu_percent_per_call": f"≤ {MOST_CPU_PERCENT:g}",
        "calls_at_full_rate": "all",
        "delay_in_ms_p95": f"≤ {MOST_DELAY_MS:g}",
        "delay_out_ms_p95": f"≤ {MOST_DELAY_MS:g}",
    }
    for name in next(iter(result["servers"].values())):
        table.add_row(name, *(str(figures[name]) for figures in result["servers"].values()), targets.get(name, ""))
    console.print(table, width=None if console.is_terminal else _TABLE_WIDTH, crop=False)
    for name, ratio in result.get("stock_over_dukat", {}).items():
        console.print(f"{name}: stock aiortc is {ratio:g} times ours")
    for role, calls in result.get("most_calls_at_full_rate", {}).items():
        console.print(f"{role}: {calls} calls at full rate")
    if result["client_saturated"]:
        console.print("not concluded: the callers were short of CPU or time", style="yellow")
    if result.get("machine_busy"):
        console.print("the machine is busy: our server had to wait for its core", style="yellow")
    if result.get("missed"):
        console.print(f"missed: {', '.join(result['missed'])}", style="red")
