"""The E-model's figures, what becomes of counters in an interval, and an alarm that does not flutter."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.media.browser_stats import BrowserStats
from serve_app.media.quality import (
    CODECS,
    CodecImpairment,
    LegCounters,
    QualityAlarm,
    burst_ratio,
    leg_quality,
    mos_of,
    r_factor,
)

G711 = CODECS["pcmu"]
WITHOUT_CONCEALMENT = CodecImpairment(0.0, 4.3, 0.0)
START = LegCounters(10.0, 500, 5, 5, 6, 1600, 1600, 5.0, 40.0, 80.0)


@pytest.mark.parametrize(
    ("one_way_ms", "loss_percent", "codec", "mos"),
    [
        (150, 0, G711, 4.33), (300, 0, G711, 3.71), (100, 1, G711, 4.26), (100, 3, G711, 4.05), (100, 5, G711, 3.82),
        (100, 10, G711, 3.29), (100, 1, WITHOUT_CONCEALMENT, 3.73), (100, 3, WITHOUT_CONCEALMENT, 2.67),
        (100, 5, WITHOUT_CONCEALMENT, 2.05), (100, 10, WITHOUT_CONCEALMENT, 1.39),
    ],
)  # fmt: skip
def test_known_values_of_the_reduced_model(
    one_way_ms: float, loss_percent: float, codec: CodecImpairment, mos: float
) -> None:
    assert round(mos_of(r_factor(one_way_ms, loss_percent, codec)), 2) == mos


def test_the_ends_of_the_scale() -> None:
    assert r_factor(0, 0, G711) == 93.2
    assert (mos_of(-20), mos_of(0), mos_of(100), mos_of(120)) == (1.0, 1.0, 4.5, 4.5)
    assert min(mos_of(r / 10) for r in range(1000)) == 1.0


def test_bursts_are_worse_than_the_same_loss_spread_out() -> None:
    assert r_factor(100, 5, G711, 2.0) < r_factor(100, 5, G711, 1.0) - 1


@pytest.mark.parametrize(
    ("missed", "bursts", "sent", "ratio"),
    [(0, 0, 100, 1.0), (5, 5, 100, 1.0), (10, 5, 100, 1.8), (50, 1, 100, 8.0), (100, 1, 100, 1.0), (5, 0, 100, 1.0)],
)
def test_the_burst_ratio_is_that_to_random_loss(missed: int, bursts: int, sent: int, ratio: float) -> None:
    assert burst_ratio(missed, bursts, sent) == pytest.approx(ratio)


def test_an_interval_is_the_difference_of_two_moments() -> None:
    now = LegCounters(12.0, 594, 9, 7, 12, 1600 + 640, 1600 + 1280, 7.0, 60.0, 100.0)

    quality = leg_quality(START, now, "pcmu")

    assert quality.interval_ms == 2000
    assert quality.loss_percent == 2.0
    assert (quality.concealed_ms, quality.fec_ms) == (40.0, 80.0)
    assert (quality.jitter_ms, quality.buffer_ms, quality.rtt_ms) == (7.0, 60.0, 100.0)
    assert quality.r == pytest.approx(r_factor(50 + 60 + 22, 2 + 0.25 * 4, G711))
    assert quality.r is not None and quality.mos == mos_of(quality.r)


def test_bursts_of_the_interval_count() -> None:
    spread = leg_quality(START, LegCounters(12.0, 590, 5, 15, 16), "pcmu")
    at_once = leg_quality(START, LegCounters(12.0, 590, 5, 15, 7), "pcmu")

    assert spread.loss_percent == at_once.loss_percent == 10.0
    assert spread.mos is not None and at_once.mos is not None and at_once.mos < spread.mos - 0.2


def test_what_fec_restored_is_heard_but_not_unhurt() -> None:
    clean = leg_quality(START, LegCounters(12.0, 600, 5, 5, 6), "opus").mos
    restored = leg_quality(START, LegCounters(12.0, 595, 10, 5, 11), "opus").mos
    lost = leg_quality(START, LegCounters(12.0, 595, 5, 10, 11), "opus").mos

    assert clean is not None and restored is not None and lost is not None
    assert clean > restored > lost
    assert restored > 3.8 > lost


def test_opus_is_taken_for_no_better_than_g711() -> None:
    for loss_percent in (0, 1, 5, 20):
        assert r_factor(100, loss_percent, CODECS["opus"]) < r_factor(100, loss_percent, G711)


def test_an_interval_without_packets_is_unknown() -> None:
    quality = leg_quality(START, LegCounters(12.0, 500, 5, 5, 6, 1600, 1600), "opus")

    assert (quality.loss_percent, quality.r, quality.mos) == (None, None, None)


def test_the_browser_knows_the_round_trip_when_we_do_not() -> None:
    browser = BrowserStats(rtt_ms=400.0)
    unknown = leg_quality(LegCounters(0.0), LegCounters(2.0, 100), "pcmu")
    told = leg_quality(LegCounters(0.0), LegCounters(2.0, 100), "pcmu", browser)

    assert (unknown.rtt_ms, told.rtt_ms) == (None, 400.0)
    assert told.r is not None and unknown.r is not None and told.r < unknown.r - 4
    assert leg_quality(LegCounters(0.0), LegCounters(2.0, 100, rtt_ms=30.0), "pcmu", browser).rtt_ms == 30.0


def test_a_call_is_as_good_as_its_worse_direction() -> None:
    now = LegCounters(12.0, 600, 5, 5, 6)
    alone = leg_quality(START, now, "pcmu")
    good = leg_quality(START, now, "pcmu", BrowserStats(loss_percent=0.0))
    bad = leg_quality(START, now, "pcmu", BrowserStats(loss_percent=10.0, jitter_buffer_ms=100.0))

    assert alone.r == good.r
    assert bad.r == pytest.approx(r_factor(22 + 100, 10, G711))
    assert bad.loss_percent == 0.0


def test_the_event_is_json_and_short() -> None:
    now = LegCounters(12.0, 597, 5, 8, 6, 1600, 1600, 7.123456)
    public = leg_quality(START, now, "opus", BrowserStats(rtt_ms=80.123)).public()

    assert json.loads(json.dumps(public)) == public
    assert (public["codec"], public["jitter_ms"], public["browser"]["rtt_ms"]) == ("opus", 7.12, 80.12)
    assert leg_quality(START, now, "opus").public()["browser"] is None


def alarms(*scores: float | None) -> str:
    alarm = QualityAlarm()
    return "".join(("R" if alarm.raised else "c") if alarm.interval(score) else "." for score in scores)


@pytest.mark.parametrize(
    ("scores", "changes"),
    [
        ((4.2, 3.7, 4.2, 3.7, 4.2), "....."),
        ((4.2, 3.7, 3.79), "..R"),
        ((3.7, None, 3.7), "..R"),
        ((3.8, 3.8, 3.8), "..."),
        ((3.0, 3.0, 3.85, 3.85, 3.85), ".R..."),
        ((3.0, 3.0, 3.9, 3.85, 3.9, 3.9), ".R...c"),
        ((3.0, 3.0, 3.0, 4.0, 4.0, 3.0, 3.0), ".R..c.R"),
        ((3.0, 3.0, None, None, None), ".R..."),
    ],
)
def test_the_alarm_takes_two_intervals_and_a_margin(scores: tuple[float | None, ...], changes: str) -> None:
    assert alarms(*scores) == changes


@given(
    st.integers(0, 10**6),
    st.integers(0, 10**4),
    st.integers(0, 10**4),
    st.integers(0, 10**4),
    st.sampled_from([*CODECS]),
)
def test_whatever_was_counted_the_score_is_on_the_scale(
    received: int, recovered: int, lost: int, bursts: int, codec: str
) -> None:
    quality = leg_quality(LegCounters(0.0), LegCounters(2.0, received, recovered, lost, bursts), codec)

    assert quality.mos is None or 1.0 <= quality.mos <= 4.5
    assert quality.loss_percent is None or 0.0 <= quality.loss_percent <= 100.0
