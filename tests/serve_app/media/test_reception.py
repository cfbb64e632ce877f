"""What is counted of a stream: loss, jitter and times as RFC 3550 has them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.media.reception import MOST_DROPOUT, ReceptionStatistics
from serve_app.media.rtcp import ReportBlock, ntp_time, round_trip_s


def fed(*numbers: int, first: int = 65_530) -> ReceptionStatistics:
    """Packets by their number in the stream, all punctual."""
    statistics = ReceptionStatistics(8_000)
    for number in numbers:
        statistics.packet((first + number) % 0x10000, number * 160 % 2**32, number * 0.02)
    return statistics


def test_loss_is_what_was_sent_less_what_came_over_the_wrap() -> None:
    statistics = fed(0, 1, 2, 5, 6, 7, 8, 9)

    assert (statistics.expected, statistics.received, statistics.lost) == (10, 8, 2)
    report = statistics.report(1, 1.0)
    assert (report.fraction_lost, report.cumulative_lost) == (2 * 256 // 10, 2)
    assert report.highest_sequence == 65_530 + 9


def test_the_fraction_is_of_the_interval_and_the_total_of_the_call() -> None:
    statistics = fed(0, 1, 2, 4, first=0)
    statistics.report(1, 1.0)
    for number in (5, 6, 7, 8):
        statistics.packet(number, number * 160, number * 0.02)

    report = statistics.report(1, 2.0)
    assert (report.fraction_lost, report.cumulative_lost) == (0, 1)
    empty = statistics.report(1, 3.0)
    assert (empty.fraction_lost, empty.cumulative_lost) == (0, 1)


def test_late_packets_are_received_and_doubles_make_up_for_losses() -> None:
    assert fed(0, 2, 3, 1).lost == 0
    doubled = fed(0, 1, 1, 1, 2)

    assert doubled.lost == -2
    assert doubled.report(1, 0.0).fraction_lost == 0
    assert doubled.report(1, 0.0).cumulative_lost == -2


def test_jitter_follows_the_formula_of_the_standard() -> None:
    """Travel times that alternate by 10 ms (80 ticks): J moves a sixteenth of the way to 80 with each packet."""
    statistics = ReceptionStatistics(8_000)
    expected = 0.0
    for number in range(50):
        statistics.packet(number, number * 160, 100.0 + number * 0.02 + (number % 2) * 0.01)
        if number:
            expected += (80 - expected) / 16

    assert statistics.report(1, 0.0).jitter == pytest.approx(expected, abs=1.5)
    assert statistics.jitter_ms == pytest.approx(expected / 8, rel=0.02)


def test_jitter_survives_the_wrap_of_the_timestamp_and_leaves_events_out() -> None:
    statistics = ReceptionStatistics(8_000)
    for number in range(20):
        statistics.packet(number, (2**32 - 800 + number * 160) % 2**32, number * 0.02)
        statistics.packet(20 + number, None, number * 0.02 + 5)

    assert statistics.jitter_ms < 0.1


def test_the_other_end_can_compute_the_round_trip_from_our_report() -> None:
    statistics = fed(0)
    sent = ntp_time(1_700_000_000.0)
    assert statistics.report(1, 0.0).last_sender_report == 0
    statistics.sender_report(sent, arrived_s=50.03)  # 30 ms on the way

    report = statistics.report(1, now_s=52.03)
    back = ntp_time(1_700_000_002.06)  # 30 ms on the way back
    assert round_trip_s(report, back) == pytest.approx(0.06, abs=0.0002)


def test_a_sender_that_began_anew_is_believed_at_its_second_packet() -> None:
    statistics = fed(0, 1, 2, first=100)
    statistics.packet(40_000, 5, 0.1)
    assert (statistics.expected, statistics.received) == (3, 3)
    statistics.packet(40_001, 165, 0.12)

    assert (statistics.expected, statistics.received, statistics.lost) == (1, 1, 0)


def test_a_lone_liar_changes_nothing() -> None:
    statistics = fed(0, 1, 2, first=100)
    for sequence in (40_000, 103, 40_001, 104, 50_000, 105, 40_002, 106):
        statistics.packet(sequence, 0, 0.1)

    assert (statistics.expected, statistics.received, statistics.lost) == (7, 7, 0)


def test_nothing_came() -> None:
    assert ReceptionStatistics(8_000).report(9, 1.0) == ReportBlock(9, 0, 0, 0, 0)


@given(st.integers(0, 0xFFFF), st.lists(st.booleans(), min_size=1, max_size=200), st.integers(0, 1000))
@settings(deadline=None)
def test_losses_are_counted_wherever_they_fall(first: int, came: list[bool], seed: int) -> None:
    numbers = [0, *(number for number, here in enumerate(came, 1) if here), len(came) + 1]
    order = sorted(numbers, key=lambda number: number + random.Random(seed * 1000 + number).uniform(0, 3))
    order.remove(0)
    statistics = fed(0, *order, first=first)

    assert statistics.lost == len(came) - sum(came)


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1), st.floats(0, 1e9)), max_size=60))
@settings(deadline=None, max_examples=300)
def test_whatever_comes_the_report_fits_its_fields(packets: list[tuple[int, int, float]]) -> None:
    statistics = ReceptionStatistics(48_000)
    for sequence, timestamp, arrived_s in packets:
        statistics.packet(sequence, timestamp, arrived_s)
    statistics.sender_report(2**64 - 1, 0.0)

    report = statistics.report(1, 1e9)
    assert 0 <= report.fraction_lost <= 255
    assert 0 <= report.jitter < 2**32 and 0 <= report.since_last_sender_report < 2**32
    assert abs(report.cumulative_lost) <= MOST_DROPOUT * len(packets) + 1
