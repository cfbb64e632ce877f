"""`dukat bench media` and `bench loss`, tiny: real processes, real calls; and what is concluded from figures."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from deployments.contracts.audio import FRAME_BYTES, SILENT_FRAME
from deployments.contracts.errors import StageFailed
from serve_app.cli import bench_loss, bench_media, loss_grid
from serve_app.cli.bench import app
from serve_app.cli.bench_loss import missed as missed_on_a_bad_line
from serve_app.cli.bench_media import exit_code, missed, summary
from serve_app.cli.bench_process import BenchProcess, Use
from serve_app.cli.loss_grid import FULL_GRID, ONE_LOSS, SMALL_GRID, Cell, measure_calls
from serve_app.cli.media_load import Plan, Window, measure
from serve_app.cli.media_recordings import speech
from serve_app.cli.media_servers import Agent

GOOD: dict[str, Any] = {
    "calls": 50,
    "cpu_percent_per_call": 1.2,
    "cpu_percent_per_call_silent": 0.6,
    "calls_at_full_rate": 50,
    "loop_lag_ms_p99": 3.0,
    "delay_in_ms_p50": 1.0,
    "delay_in_ms_p95": 9.0,
    "delay_out_ms_p50": 1.0,
    "delay_out_ms_p95": 9.0,
    "server_waited_percent": 0.1,
    "client_saturated": False,
}
CALM: dict[str, Any] = {"normal_after_s": 0.1, "lost": 1, "late": 0, "mos": 4.1}


@pytest.fixture(scope="module")
def pcm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "speech-1.pcm").write_bytes(speech(1))
    (folder / "speech.pcm").write_bytes(speech(1))
    yield folder


def test_two_calls_of_each_server_give_sane_figures(pcm: Path) -> None:
    plan = Plan(calls=2, seconds=3, warm_up_s=1)
    ours, stock = measure("dukat", plan, pcm), measure("stock", plan, pcm)

    for figures in (ours, stock):
        assert figures["calls"] == 2
        assert 0 < figures["cpu_percent_per_call"] < 50
        assert 25 < figures["frames_in_per_s"] < 75  # a busy machine stalls, and catches up
        assert 25 < figures["packets_out_per_s"] < 75
        assert figures["packets_lost_in"] == figures["packets_lost_out"] == 0
        assert figures["rss_mb"] > 20
        assert figures["threads"] >= 1
        assert 0 <= figures["delay_out_ms_p50"] < 1000
        assert figures["set_up_ms_p50"] > 1
    # aiortc holds 80 ms before it gives anything out; we nothing.
    assert stock["delay_in_ms_p50"] > 70
    assert -1 < ours["delay_in_ms_p50"] < stock["delay_in_ms_p50"]


def test_lines_that_lose_nothing_one_packet_and_a_tenth(pcm: Path) -> None:
    cells = {0: Cell(0.0, lose=(100,)), 1: Cell(0.0), 2: Cell(10.0)}
    ours = measure_calls("dukat", cells, 9.0, 1, True, pcm)
    stock = measure_calls("stock", {0: cells[0]}, 9.0, 1, True, pcm)
    one_lost, clean, lossy = ours[0], ours[1], ours[2]

    assert one_lost["lost"] == 1
    assert one_lost["concealed_frames"] + one_lost["fec_frames"] >= 1  # a machine held up conceals pauses of its own
    assert len(one_lost["delay_ms_by_second"]) >= 7
    assert clean["lost"] == 0
    assert 15 < lossy["lost"] < 80  # of 450
    assert lossy["fec_frames"] > 5
    assert lossy["snr_db"] < clean["snr_db"]
    assert lossy["mos"] < clean["mos"]
    # aiortc is 200 ms later for the rest of the call.
    assert stock[0]["delay_after_ms"] - stock[0]["delay_before_ms"] > 150
    assert stock[0]["normal_after_s"] is None
    assert stock[0]["snr_db"] < one_lost["snr_db"]
    assert one_lost["delay_after_ms"] < stock[0]["delay_after_ms"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"cpu_percent_per_call": 2.1}, ["cpu_percent_per_call"]),
        ({"calls_at_full_rate": 49}, ["calls_at_full_rate"]),
        ({"delay_in_ms_p95": 31.0}, ["delay_in_ms_p95"]),
        ({"delay_out_ms_p95": None}, ["delay_out_ms_p95"]),
    ],
)
def test_a_missed_target_is_named(change: dict[str, Any], expected: list[str]) -> None:
    assert missed(GOOD | change) == expected


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 0),
        ({"cpu_percent_per_call": 3.0}, 1),
        ({"cpu_percent_per_call": 3.0, "server_waited_percent": 20.0}, 2),
        ({"server_waited_percent": 20.0}, 0),
        ({"server_waited_percent": None, "calls_at_full_rate": 1}, 1),
        ({"client_saturated": True}, 2),
    ],
)
def test_exit_codes_tell_missed_from_unknown(change: dict[str, Any], code: int) -> None:
    assert exit_code(summary({"dukat": GOOD | change})) == code


def test_nothing_is_compared_when_the_callers_were_saturated() -> None:
    stock = GOOD | {"cpu_percent_per_call": 4.8}

    assert summary({"dukat": GOOD, "stock": stock})["stock_over_dukat"]["cpu_percent_per_call"] == 4.0
    assert "stock_over_dukat" not in summary({"dukat": GOOD, "stock": stock | {"client_saturated": True}})


def window(sent: int, frames: int, received: int, late_ms: float = 1.0, cpu_percent: float = 20.0) -> Window:
    """Ten seconds of one call."""
    zero = {"sent": 0, "received": 0, "lost": 0}
    return Window(
        begin_s=0,
        end_s=10,
        server_cpu_percent=30.0,
        client_cpu_percent=cpu_percent,
        server_waited_percent=0.0,
        server=(
            {"at_s": 0.0, "calls": {"0": {"frames": 0.0, "lost": 0}}},
            {"at_s": 10.0, "calls": {"0": {"frames": frames, "lost": 2}}, "lag_ms_p50": 1.0, "lag_ms_p99": 2.0},
        ),
        clients=(
            {"at_s": 0.0, "calls": {"0": zero}},
            {"at_s": 10.0, "calls": {"0": {"sent": sent, "received": received, "lost": 3}}, "late_ms_p99": late_ms},
        ),
    )


@pytest.mark.parametrize(
    ("frames", "received", "at_full_rate"), [(500, 500, 1), (480, 500, 0), (500, 480, 0), (490, 490, 1)]
)
def test_full_rate_is_asked_of_both_directions(frames: int, received: int, at_full_rate: int) -> None:
    figures = window(500, frames, received).figures()

    assert figures["calls_at_full_rate"] == at_full_rate
    assert (figures["packets_lost_in"], figures["packets_lost_out"]) == (2, 3)
    assert not figures["client_saturated"]


@pytest.mark.parametrize("slow", [window(480, 480, 500), window(500, 500, 500, 30), window(500, 500, 500, 1, 95)])
def test_callers_that_are_short_of_time_are_noticed(slow: Window) -> None:
    assert slow.figures()["client_saturated"]


@pytest.mark.parametrize(
    ("cell", "change", "count"),
    [
        (ONE_LOSS, {}, 0),
        (ONE_LOSS, {"normal_after_s": None}, 1),
        (ONE_LOSS, {"normal_after_s": 2.5}, 1),
        (ONE_LOSS, {"lost": 2}, 1),
        (ONE_LOSS, {"late": 1}, 1),
        (Cell(5), {"mos": 3.8}, 0),
        (Cell(5), {"mos": 3.7}, 1),
        (Cell(5), {"mos": None}, 1),
        (Cell(10), {"mos": 2.0}, 0),
    ],
)
def test_targets_of_a_bad_line(cell: Cell, change: dict[str, Any], count: int) -> None:
    assert len(missed_on_a_bad_line([cell], [{"dukat": CALM | change}])) == count


def test_the_grid_is_whole() -> None:
    assert len(set(FULL_GRID)) == 45
    assert {(cell.loss_percent, cell.bursty, cell.jitter_ms) for cell in FULL_GRID} == {
        (loss, bursty, jitter) for loss in (0, 1, 3, 5, 10) for bursty in (False, True) for jitter in (0, 30, 60)
    } - {(0, True, jitter) for jitter in (0, 30, 60)}
    assert set(SMALL_GRID) <= set(FULL_GRID)
    assert len({cell.name for cell in FULL_GRID}) == 45


def test_the_command_exits_by_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_media, "measure", lambda role, plan, folder: GOOD | {"calls": plan.calls})
    good = CliRunner().invoke(app, ["media", "--calls", "50", "--json"])
    bad = CliRunner().invoke(app, ["media", "--calls", "60", "--json"])
    table = CliRunner().invoke(app, ["media", "--calls", "60"])

    assert (good.exit_code, bad.exit_code, table.exit_code) == (0, 1, 1)
    assert json.loads(good.stdout.splitlines()[-1])["calls_at_full_rate"] == 50
    assert json.loads(bad.stdout.splitlines()[-1])["missed"] == ["calls_at_full_rate"]
    assert "missed: calls_at_full_rate" in table.stdout


def test_the_sweep_ends_at_the_first_size_that_is_too_great(monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(role: str, plan: Plan, folder: Path) -> dict[str, Any]:
        full = min(plan.calls, 30 if role == "dukat" else 10)
        return GOOD | {"calls": plan.calls, "calls_at_full_rate": full}

    monkeypatch.setattr(bench_media, "measure", figures)
    swept = CliRunner().invoke(app, ["media", "--calls", "10", "--sweep", "--json"])

    assert json.loads(swept.stdout.splitlines()[-1])["most_calls_at_full_rate"] == {"dukat": 30, "stock": 10}


def test_the_loss_command_exits_by_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def figures(role: str, cells: dict[int, Cell], *more: object) -> dict[int, dict[str, Any]]:
        delays = {"delay_before_ms": 1.0, "delay_after_ms": 1.0, "longest_gap_ms": 30.0}
        return {number: CALM | delays | {"lost": 1 if role == "dukat" else 9} for number in cells}

    monkeypatch.setattr(bench_loss, "measure_calls", figures)
    good = CliRunner().invoke(app, ["loss", "--one-loss", "--json"])
    monkeypatch.setitem(CALM, "normal_after_s", None)
    bad = CliRunner().invoke(app, ["loss", "--one-loss"])

    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert json.loads(good.stdout.splitlines()[-1])["lines"][0]["stock"]["lost"] == 9
    assert "delay not normal within 2 s" in bad.stdout


def test_the_agent_speaks_without_digital_silence_until_it_is_told_to_keep_silent() -> None:
    agent = Agent(speech(1))
    asked_s: list[float] = []
    source = agent.source(asked_s)
    spoken = [source() for _ in range(2000)]
    agent.speaks = False

    assert {len(frame) for frame in spoken} == {FRAME_BYTES}
    assert SILENT_FRAME not in spoken
    assert source() == SILENT_FRAME
    assert len(asked_s) == 2001
    assert np.all(np.diff(asked_s) >= 0)


def test_a_process_that_fails_is_an_error_and_leaves_nothing_behind() -> None:
    with (
        pytest.raises(StageFailed),
        BenchProcess("serve_app.cli.media_servers", "dukat", "/nowhere.pcm", "0"),
    ):
        pytest.fail("it has no speech")


@pytest.mark.skipif(sys.platform != "linux", reason="the run queue is read from /proc")
def test_waiting_for_the_core_is_measured() -> None:
    before, now = Use(1.0, 0.5, 0.1), Use(3.0, 1.5, 0.3)

    assert now.percent_since(before) == 50
    assert now.waited_percent_since(before) == pytest.approx(10)
    assert Use(3.0, 1.5).waited_percent_since(before) is None


def test_the_small_grid_has_what_is_asked_of_a_line() -> None:
    assert Cell(loss_grid.MEAN_BURST).delay_ms == loss_grid.LEAST_DELAY_MS
    assert Cell(bench_loss.AT_LOSS_PERCENT) in SMALL_GRID
