"""The lines of `dukat bench loss`, and what is measured of a server's calls over them.

Both servers get the same packets with the same fates. What a session heard is compared with what was sent by the sound,
so alike for both servers; counters of ours come beside it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deployments.contracts.audio import FRAME_SAMPLES
from deployments.contracts.errors import StageTimeout
from serve_app.caller.light_peer import FRAME_S
from serve_app.caller.likeness import LATEST_S, Delays, delays, difference, timed
from serve_app.cli.bench_process import BenchProcess
from serve_app.cli.media_load import CLIENT_CORE, SERVER_CORE
from serve_app.cli.media_recordings import recorded
from serve_app.media.quality import CODECS, mos_of, r_factor

MEAN_BURST = 3.0
"""Packets lost in a row on a bursty line."""
LEAST_DELAY_MS = 30.0
DRAIN_S = 1.0
"""For what is under way when the callers fall silent."""
END_S = 3.0
"""Of a call, for the delay at its end."""
ONE_LOSS_AT = 250
"""Number of the packet that is lost; 5 s after the first."""
NORMAL_MS = 10.0
"""Delay so near to that before the loss is normal again."""
NORMAL_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the grid."""

    loss_percent: float
    bursty: bool = False
    jitter_ms: float = 0.0
    in_order: bool = False
    lose: tuple[int, ...] = ()

    @property
    def delay_ms(self) -> float:
        """Mean of the line: so great that jitter seldom meets 0."""
        return 0.0 if self.lose else LEAST_DELAY_MS + 2.5 * self.jitter_ms

    @property
    def name(self) -> str:
        if self.lose:
            return "one packet lost"
        how = "" if not self.loss_percent else " bursty" if self.bursty else " random"
        order = "" if not self.jitter_ms else " in order" if self.in_order else " overtaking"
        return f"{self.loss_percent:g} %{how}, {self.jitter_ms:g} ms{order}"

    def line(self, seed: int, both_ways: bool) -> dict[str, Any]:
        """For the callers' process."""
        return {
            "loss": self.loss_percent / 100,
            "mean_burst": MEAN_BURST if self.bursty else 1.0,
            "delay_ms": self.delay_ms,
            "jitter_ms": self.jitter_ms,
            "in_order": self.in_order,
            "lose": self.lose,
            "seed": seed,
            "both_ways": both_ways,
        }


ONE_LOSS = Cell(0.0, lose=(ONE_LOSS_AT,))
SMALL_GRID = (
    Cell(0),
    Cell(0, jitter_ms=30),
    Cell(1),
    Cell(3),
    Cell(5),
    Cell(5, bursty=True),
    Cell(5, jitter_ms=30),
    Cell(5, jitter_ms=30, in_order=True),
    Cell(5, bursty=True, jitter_ms=60),
    Cell(10),
    Cell(10, bursty=True),
)
FULL_GRID = tuple(
    Cell(loss, bursty, jitter_ms, in_order)
    for loss in (0.0, 1.0, 3.0, 5.0, 10.0)
    for bursty in ((False, True) if loss else (False,))
    for jitter_ms in (0.0, 30.0, 60.0)
    for in_order in ((False, True) if jitter_ms else (False,))
)


def measure_calls(
    role: str, cells: dict[int, Cell], seconds: float, seed: int, both_ways: bool, folder: Path
) -> dict[int, dict[str, Any]]:
    pcm = folder / "speech.pcm"
    with (
        BenchProcess("serve_app.cli.media_servers", role, str(pcm), str(SERVER_CORE)) as server,
        BenchProcess("serve_app.cli.media_clients", str(pcm), str(CLIENT_CORE)) as clients,
    ):
        wishes = [
            {"call": number, "keep": True, "loss_percent": cell.loss_percent, "line": cell.line(seed, both_ways)}
            for number, cell in cells.items()
        ]
        up = clients.ask("call", port=server.ask("listen")["port"], calls=wishes)["set_up_ms"]
        if len(up) < len(cells):
            raise StageTimeout(
                "not_connected", f"{len(cells) - len(up)} of {len(cells)} calls did not come up", "bench"
            )
        server.ask("begin")
        clients.ask("talk")
        time.sleep(seconds)
        clients.ask("hush")
        counted = server.ask("end"), clients.ask("end")  # before silence is filled in for the caller who has stopped
        time.sleep(DRAIN_S)
        for process in (server, clients):
            process.ask("write", folder=str(folder))
        clients.ask("close")
        server.ask("close")
    return {
        number: _figures(
            role, cell, counted[0]["calls"][str(number)], counted[1]["calls"][str(number)]["sent"], number, folder
        )
        for number, cell in cells.items()
    }


def _figures(role: str, cell: Cell, counters: dict[str, Any], sent: int, number: int, folder: Path) -> dict[str, Any]:
    way, _ = recorded(folder, number, (folder / "speech.pcm").read_bytes())
    late = delays(way.sent, way.heard)
    late = Delays(late.at_s, late.ms - cell.delay_ms)
    # What was sent last may still be in a buffer, and is nobody's loss.
    settled = len(way.sent.at_s) - round(LATEST_S / FRAME_S)
    differs = difference(timed(way.sent.sound[: settled * FRAME_SAMPLES], way.sent.at_s[:settled]), way.heard)
    begin_s, end_s = float(way.sent.at_s[0]), float(way.sent.at_s[-1])
    silences_ms = np.diff(way.heard.at_s[way.heard.at_s <= end_s]) * 1000
    figures: dict[str, Any] = {
        "sent_packets": sent,
        "heard_frames": round(counters["frames"]),
        "snr_db": rounded(differs.snr_db),
        "speech_frames": differs.frames,
        "unheard_frames": differs.unheard,
        "delay_ms_p50": rounded(late.percentile(50)),
        "delay_ms_p95": rounded(late.percentile(95)),
        "delay_ms_end": rounded(late.between(end_s - END_S, end_s).percentile(50)),
        "delay_ms_by_second": _by_second(late, begin_s, end_s),
        "longest_gap_ms": rounded(float(silences_ms.max()) if len(silences_ms) else None),
    }
    if role == "dukat":
        for name in ("lost", "late", "reordered", "concealed_frames", "fec_frames", "silence_frames", "inserted_ms"):
            figures[name] = rounded(counters[name])
        figures["mos"] = rounded(float(np.mean(counters["mos"])) if counters["mos"] else None)
        figures["mos_least"] = rounded(min(counters["mos"], default=None))
    else:
        under_way = (cell.delay_ms + (figures["delay_ms_end"] or 0.0)) / 1000 / FRAME_S
        gone = max(0.0, sent - under_way - counters["frames"])
        figures["lost"] = round(gone)
        gone_percent = 100 * gone / sent if sent else 0.0
        codec = CODECS["opus"]
        one_way_ms = cell.delay_ms + codec.delay_ms + max(0.0, late.percentile(50) or 0.0)
        figures["mos"] = rounded(mos_of(r_factor(one_way_ms, gone_percent, codec)))
    if cell.lose:
        figures |= _after_one_loss(way.sent.at_s, late, begin_s, end_s, cell.lose[0])
    return figures


def _by_second(late: Delays, begin_s: float, end_s: float) -> list[float | None]:
    """Median of each second of the call."""
    return [
        rounded(late.between(begin_s + second, begin_s + second + 1).percentile(50))
        for second in range(int(end_s - begin_s))
    ]


def _after_one_loss(sent_s: np.ndarray, late: Delays, begin_s: float, end_s: float, lost: int) -> dict[str, Any]:
    """Delay before and after, and when it was the same again (None: never)."""
    lost_s = float(sent_s[lost])
    before_ms = late.between(begin_s, lost_s - 0.2).percentile(50)
    after = late.between(lost_s, end_s)
    normal: float | None = None
    if before_ms is not None and len(after.ms):
        slow = after.at_s[after.ms > before_ms + NORMAL_MS]
        settled = after.ms[-1] <= before_ms + NORMAL_MS
        normal = (float(slow[-1]) - lost_s if len(slow) else 0.0) if settled else None
    return {
        "delay_before_ms": rounded(before_ms),
        "delay_after_ms": rounded(late.between(lost_s + NORMAL_WITHIN_S, end_s).percentile(50)),
        "normal_after_s": rounded(normal),
    }


def rounded(value: float | None) -> float | None:
    """To what is worth reading."""
    return None if value is None else round(float(value), 2)
