"""One server of `dukat bench media` under load: processes started, windows of time, figures.

CPU is taken from outside, by psutil; rates from the callers and from the session behind each line; delays from the
sound of a few calls (`caller/likeness.py`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deployments.contracts.errors import StageFailed
from serve_app.caller.likeness import delays
from serve_app.cli.bench_process import BenchProcess, Use
from serve_app.cli.media_recordings import recorded, speech

ROLES = ("dukat", "stock")
SERVER_CORE, CLIENT_CORE = 0, 1
FULL_RATE = 49.0
"""Packets or frames a second, each way."""
WARM_UP_S = 3.0
SETTLE_S = 1.5
"""After the agent has gone silent."""
KEPT_CALLS = 4
"""Whose sound is kept, for the delays."""
SATURATED_CPU_PERCENT = 90.0
SATURATED_LATE_MS = 20.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured of each server."""

    calls: int
    seconds: float
    seed: int = 1
    warm_up_s: float = WARM_UP_S


def measure(role: str, plan: Plan, folder: Path) -> dict[str, Any]:
    """One server with its callers."""
    for old in folder.glob("*.npz"):
        old.unlink()
    pcm = folder / f"speech-{plan.seed}.pcm"
    if not pcm.exists():
        pcm.write_bytes(speech(plan.seed))
    with (
        BenchProcess("serve_app.cli.media_servers", role, str(pcm), str(SERVER_CORE)) as server,
        BenchProcess("serve_app.cli.media_clients", str(pcm), str(CLIENT_CORE)) as clients,
    ):
        wishes = [
            {"call": number, "keep": number < KEPT_CALLS, "loss_percent": 0.0, "line": None}
            for number in range(plan.calls)
        ]
        set_up = clients.ask("call", port=server.ask("listen")["port"], calls=wishes)
        connected = len(set_up["set_up_ms"])
        if not connected:
            raise StageFailed("not_connected", f"none of {plan.calls} calls came up", "bench")
        clients.ask("talk")
        time.sleep(plan.warm_up_s)
        speaking = _window(server, clients, plan.seconds)
        memory = {"rss_mb": round(server.rss_mb(), 1), "threads": server.threads()}
        server.ask("agent", speaks=False)
        time.sleep(SETTLE_S)
        silent = _window(server, clients, plan.seconds / 2)
        server.ask("write", folder=str(folder))
        clients.ask("write", folder=str(folder))
        clients.ask("close")
        server.ask("close")
        pinned = server.pinned and clients.pinned
    return {
        "calls": plan.calls,
        "calls_not_connected": plan.calls - connected,
        "cpu_percent_per_call": round(speaking.server_cpu_percent / plan.calls, 2),
        "cpu_percent_per_call_silent": round(silent.server_cpu_percent / plan.calls, 2),
        **speaking.figures(),
        **memory,
        **_delays(folder, pcm, min(plan.calls, KEPT_CALLS), speaking),
        "set_up_ms_p50": rounded(np.percentile(set_up["set_up_ms"], 50)),
        "set_up_ms_p95": rounded(np.percentile(set_up["set_up_ms"], 95)),
        "pinned": pinned,
    }


@dataclass(frozen=True, slots=True)
class Window:
    """What was noted at the begin and the end of a stretch of time."""

    begin_s: float
    end_s: float
    server_cpu_percent: float
    client_cpu_percent: float
    server_waited_percent: float | None
    server: tuple[dict[str, Any], dict[str, Any]]
    clients: tuple[dict[str, Any], dict[str, Any]]

    def rates(self) -> list[tuple[float, float, float]]:
        """For each call, a second: packets sent by the caller, frames of them at the session, packets at the caller."""
        server_s, client_s = (side[1]["at_s"] - side[0]["at_s"] for side in (self.server, self.clients))
        rates = []
        for number, now in self.clients[1]["calls"].items():
            before = self.clients[0]["calls"][number]
            frames = self.server[1]["calls"][number]["frames"] - self.server[0]["calls"][number]["frames"]
            sent, received = now["sent"] - before["sent"], now["received"] - before["received"]
            rates.append((sent / client_s, frames / server_s, received / client_s))
        return rates

    def _grown(self, side: tuple[dict[str, Any], dict[str, Any]], what: str) -> int:
        return sum(now[what] - side[0]["calls"][number][what] for number, now in side[1]["calls"].items())

    def figures(self) -> dict[str, Any]:
        """For the report."""
        sent, heard, received = (np.array(column) for column in zip(*self.rates(), strict=True))
        late_ms = self.clients[1]["late_ms_p99"]
        return {
            "calls_at_full_rate": int(((heard >= FULL_RATE) & (received >= FULL_RATE)).sum()),
            "frames_in_per_s": rounded(heard.mean()),
            "packets_out_per_s": rounded(received.mean()),
            "packets_lost_in": self._grown(self.server, "lost"),
            "packets_lost_out": self._grown(self.clients, "lost"),
            "loop_lag_ms_p50": rounded(self.server[1]["lag_ms_p50"]),
            "loop_lag_ms_p99": rounded(self.server[1]["lag_ms_p99"]),
            "server_waited_percent": None
            if self.server_waited_percent is None
            else rounded(self.server_waited_percent),
            "client_cpu_percent": rounded(self.client_cpu_percent),
            "client_late_ms_p99": rounded(late_ms),
            "client_packets_per_s": rounded(sent.mean()),
            "client_saturated": bool(
                self.client_cpu_percent > SATURATED_CPU_PERCENT or late_ms > SATURATED_LATE_MS or sent.min() < FULL_RATE
            ),
        }


def _both(server: BenchProcess, clients: BenchProcess, do: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """At the same time."""
    server.tell(do)
    clients.tell(do)
    return server.answer(), clients.answer()


def _window(server: BenchProcess, clients: BenchProcess, seconds: float) -> Window:
    begun = _both(server, clients, "begin")
    uses: tuple[Use, Use] = server.use(), clients.use()
    time.sleep(seconds)
    now = server.use(), clients.use()
    ended = _both(server, clients, "end")
    return Window(
        begin_s=uses[0].at_s,
        end_s=now[0].at_s,
        server_cpu_percent=now[0].percent_since(uses[0]),
        client_cpu_percent=now[1].percent_since(uses[1]),
        server_waited_percent=now[0].waited_percent_since(uses[0]),
        server=(begun[0], ended[0]),
        clients=(begun[1], ended[1]),
    )


def _delays(folder: Path, pcm: Path, calls: int, window: Window) -> dict[str, float | None]:
    """In: packet sent by the caller → its sound at the session. Out: frame asked for → its packet at the caller."""
    ways: dict[str, list[float]] = {"in": [], "out": []}
    for number in range(calls):
        if not (folder / f"client-{number}.npz").exists():
            continue  # it did not come up
        way_in, way_out = recorded(folder, number, pcm.read_bytes())
        for name, way in (("in", way_in), ("out", way_out)):
            ways[name] += list(delays(way.sent, way.heard, window.begin_s, window.end_s).ms)
    return {
        f"delay_{name}_ms_p{percent}": rounded(np.percentile(ms, percent)) if ms else None
        for name, ms in ways.items()
        for percent in (50, 95)
    }


def rounded(value: Any) -> float:
    """To what is worth reading."""
    return round(float(value), 2)
