"""Order: at once while nothing is missing, patient for a gap, and bounded whatever is sent."""

from __future__ import annotations

import random
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.media.jitter import MOST_WAITING_BYTES, RESYNC_DISTANCE, Due, JitterBuffer, Packet
from serve_app.media.punctuality import LATENESS_WINDOW_S, RecentPeak

TICKS = 960


def packet(number: int, first: int = 0, first_tick: int = 0, ssrc: int = 0, payload: bytes | None = None) -> Packet:
    """The packet with this number of a stream of 20 ms; its payload says its number."""
    timestamp = (first_tick + number * TICKS) % 2**32
    return Packet((first + number) % 2**16, timestamp, b"%d" % number if payload is None else payload, ssrc=ssrc)


def numbers(due: list[Due]) -> list[int]:
    return [int(each.packet.payload) for each in due]


class Line:
    """Packets by number and time into one buffer."""

    def __init__(self, first: int = 0, first_tick: int = 0, **options: Any) -> None:
        self.buffer = JitterBuffer(48_000, **options)
        self.first, self.first_tick = first, first_tick
        self.due: list[Due] = []

    def push(self, number: int, at_ms: float, ssrc: int = 0) -> list[int]:
        due = self.buffer.push(packet(number, self.first, self.first_tick, ssrc), at_ms / 1000)
        self.due += due
        return numbers(due)

    def take(self, at_ms: float) -> list[int]:
        due = self.buffer.take(at_ms / 1000)
        self.due += due
        return numbers(due)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Lost, late, duplicate, reordered."""
        return self.buffer.lost, self.buffer.late, self.buffer.duplicate, self.buffer.reordered


@pytest.mark.parametrize("first", [0, 65_530, 32_760])
@pytest.mark.parametrize("first_tick", [0, 2**32 - 3 * TICKS])
def test_in_order_every_packet_leaves_at_once_across_the_wrap_of_its_clocks(first: int, first_tick: int) -> None:
    line = Line(first, first_tick)
    left = [line.push(number, number * 20) for number in range(20)]

    assert left == [[number] for number in range(20)]
    assert line.counts == (0, 0, 0, 0)
    assert (line.buffer.received, line.buffer.delay_ms, line.buffer.next_deadline_s) == (20, 0, None)


def test_an_irregular_line_that_keeps_the_order_delays_nothing() -> None:
    line, dice = Line(), random.Random(3)
    at_ms = 0.0
    for number in range(200):
        at_ms = max(at_ms, number * 20 + dice.uniform(0, 150))
        assert line.push(number, at_ms) == [number]

    assert line.counts == (0, 0, 0, 0) and line.buffer.jitter_ms > 5


def test_one_lost_packet_makes_the_next_wait_for_20_ms_and_no_other() -> None:
    line = Line()
    delays = []
    for number in range(30):
        if number != 10:
            line.push(number, number * 20)
            delays.append(line.buffer.delay_ms if line.buffer.waiting == 0 else None)

    assert delays == [0] * 10 + [None, pytest.approx(20)] + [0] * 17
    assert numbers(line.due) == [number for number in range(30) if number != 10]
    assert [due.lost for due in line.due] == [0] * 10 + [1] + [0] * 18
    assert line.counts == (1, 0, 0, 0)


def test_what_is_missing_is_given_up_at_the_deadline_without_another_packet() -> None:
    line = Line()
    line.push(0, 0)
    assert line.push(3, 60) == []
    deadline_s = line.buffer.next_deadline_s

    assert deadline_s == pytest.approx(0.080)
    assert line.take(75) == []
    assert line.take(80) == [3]
    assert line.buffer.lost == 2 and line.buffer.next_deadline_s is None


@pytest.mark.parametrize("first", [0, 65_533])
def test_overtaken_packets_are_put_back_in_order(first: int) -> None:
    line = Line(first)
    left = [line.push(number, at) for number, at in ((0, 0), (1, 20), (4, 40), (3, 42), (2, 45), (5, 60))]

    assert left == [[0], [1], [], [], [2, 3, 4], [5]]
    assert line.counts == (0, 0, 0, 2)


def test_a_late_packet_is_dropped_and_teaches_patience_until_it_is_forgotten() -> None:
    line = Line()
    for number, at in ((0, 0), (2, 40), (3, 60), (4, 80), (1, 120)):
        line.push(number, at)

    assert numbers(line.due) == [0, 2, 3, 4]
    assert line.counts == (1, 1, 0, 0)
    assert line.buffer.patience_ms == pytest.approx(85)  # 80 ms after packet 2 overtook it, and a margin
    assert [line.push(*each) for each in ((6, 130), (7, 150), (8, 170), (5, 200))] == [[], [], [], [5, 6, 7, 8]]
    line.take(200 + LATENESS_WINDOW_S * 1000 + 1)
    assert line.buffer.patience_ms < 40


def test_patience_never_leaves_its_bounds() -> None:
    line = Line()
    assert line.buffer.patience_ms == 20
    for number in range(0, 2000, 10):
        line.push(number + 9, number * 20)
        line.push(number, number * 20 + 190)
        line.push(number + 1, number * 20 + 900)
        assert 20 <= line.buffer.patience_ms <= 200


def test_a_packet_later_than_any_patience_teaches_nothing() -> None:
    line = Line()
    for number in (0, *range(2, 30)):
        line.push(number, number * 20)
    line.push(1, 600)

    assert line.counts == (1, 1, 0, 0) and line.buffer.patience_ms == pytest.approx(20, abs=5)


def test_jitter_is_that_of_rfc_3550() -> None:
    line, jitter, late_before = Line(), 0.0, 0.0
    for number, late in enumerate([0, 8, 0, 16, 4, 4]):
        line.push(number, number * 20 + late)
        jitter += (abs(late - late_before) - jitter) / 16 if number else 0.0
        late_before = late

    assert line.buffer.jitter_ms == pytest.approx(jitter) and jitter > 1


def test_stalls_are_remembered_for_ten_seconds() -> None:
    line = Line()
    for number, at in ((0, 0), (1, 20), (2, 130), (3, 131)):
        line.push(number, at)

    assert line.buffer.stall_s == pytest.approx(0.09)
    line.take(10_200)
    assert line.buffer.stall_s == 0


def test_duplicates_are_counted_apart_from_late_packets() -> None:
    line = Line()
    for number, at in ((0, 0), (0, 1), (2, 40), (2, 41), (3, 61), (1, 70), (1, 71)):
        line.push(number, at)

    assert numbers(line.due) == [0, 2, 3]
    assert line.counts == (1, 1, 3, 0)


def test_a_burst_with_a_gap_does_not_wait_behind_half_a_second_of_audio() -> None:
    line = Line()
    line.push(0, 0)
    left = [line.push(number, 600) for number in range(2, 30)]

    assert left[23] == [] and left[24] == list(range(2, 27))
    assert line.buffer.lost == 1


def test_another_ssrc_is_a_new_stream_after_what_still_waits() -> None:
    line = Line()
    line.push(0, 0)
    line.push(2, 40)
    assert line.push(5_000, 50, ssrc=9) == []
    assert line.push(5_001, 70, ssrc=9) == [2, 5_000, 5_001]
    assert line.push(5_002, 90, ssrc=9) == [5_002]
    assert (line.buffer.resyncs, line.buffer.lost) == (1, 1)


@pytest.mark.parametrize("jump", [RESYNC_DISTANCE + 2, 30_000, 40_000, 65_000])
def test_a_far_jump_is_a_new_stream_when_a_second_packet_confirms_it(jump: int) -> None:
    line = Line()
    for number in range(10):
        line.push(number, number * 20)
    left = [line.push(jump + number, 200 + number * 20) for number in (10, 11, 12)]

    assert left == [[], [jump + 10, jump + 11], [jump + 12]]
    assert line.buffer.resyncs == 1 and line.buffer.lost == 0


def test_a_new_stream_may_begin_out_of_order() -> None:
    line = Line()
    line.push(0, 0)

    assert [line.push(number, 20) for number in (3_001, 3_000, 3_002)] == [[], [3_000, 3_001], [3_002]]


def test_a_stray_packet_is_dropped_and_the_stream_goes_on() -> None:
    line = Line()
    left = [line.push(number, at) for number, at in ((0, 0), (9_000, 5), (1, 20), (20_000, 25), (2, 40), (3, 60))]

    assert left == [[0], [], [1], [], [2], [3]]
    assert (line.buffer.refused, line.buffer.resyncs, line.buffer.lost) == (2, 0, 0)


def test_the_stream_goes_on_after_an_outage_and_what_was_lost_is_counted() -> None:
    line = Line()
    line.push(0, 0)

    assert line.push(250, 5_000) == [250]
    assert line.push(251, 5_020) == [251]
    assert (line.buffer.lost, line.buffer.resyncs) == (249, 0)
    assert line.due[1].lost == 249


def test_an_outage_flushes_what_waited() -> None:
    line = Line()
    for number, at in ((0, 0), (2, 40), (300, 6_000)):
        line.push(number, at)

    assert numbers(line.due) == [0, 2, 300] and [due.lost for due in line.due] == [0, 1, 297]


def test_a_packet_without_audio_takes_its_turn() -> None:
    buffer = JitterBuffer(48_000)
    due = buffer.push(packet(0), 0.0) + buffer.push(packet(1, payload=b""), 0.02) + buffer.push(packet(2), 0.04)

    assert [each.packet.sequence for each in due] == [0, 1, 2] and buffer.lost == 0


@given(st.permutations(range(1, 9)), st.sampled_from([0, 65_533]))
@settings(deadline=None)
def test_any_order_within_patience_is_put_right(order: list[int], first: int) -> None:
    """The first packet stays first: nothing can be known of what came before it."""
    line = Line(first)
    line.push(0, 0)
    for place, number in enumerate(order):
        line.push(number, 20 + place)

    assert numbers(line.due) == list(range(9))
    assert line.counts[:3] == (0, 0, 0)


FATES = st.lists(st.tuples(st.floats(0, 400), st.integers(0, 2)), min_size=1, max_size=80)
"""Of each packet: milliseconds of delay, how often it arrives."""


@given(FATES, st.sampled_from([0, 65_500]), st.integers(0, 30))
@settings(deadline=None, max_examples=150)
def test_whatever_the_line_does_packets_come_out_once_in_order_and_all_are_accounted_for(
    fates: list[tuple[float, int]], first: int, tick_ms: int
) -> None:
    line = Line(first)
    arrivals = [(-1.0, 0)]
    for number, (late_ms, copies) in enumerate(fates, start=1):
        arrivals += [(number * 20 + late_ms, number)] * copies
    arrivals.append((len(fates) * 20 + 500, len(fates) + 1))
    for at_ms, number in sorted(arrivals):
        line.push(number, at_ms)
        line.take(at_ms + tick_ms)
    line.take(1e6)

    left = numbers(line.due)
    assert left == sorted(set(left)) and left[0] == 0 and left[-1] == len(fates) + 1
    assert len(left) + line.buffer.lost == len(fates) + 2
    assert sum(due.lost for due in line.due) == line.buffer.lost
    assert len(left) + line.buffer.late + line.buffer.duplicate == line.buffer.received
    assert line.buffer.waiting == 0


def test_memory_is_bounded_whatever_is_sent() -> None:
    dice, buffer = random.Random(11), JitterBuffer(48_000)
    sequence, most_waiting, at_s = 0, 0, 0.0
    for number in range(30_000):
        sequence = (sequence + dice.choice([1, 1, 2, 3, 40, 99, -5, 1 if number % 50 else 12_345])) % 2**16
        timestamp = dice.choice([number * TICKS % 2**32, dice.randrange(2**32)])
        at_s += dice.choice([0.0, 0.0, 0.0001])
        buffer.push(Packet(sequence, timestamp, bytes(dice.choice([3, 60, 60_000])), ssrc=number // 5_000), at_s)
        most_waiting = max(most_waiting, sum(len(each.payload) for each, _ in buffer._waiting.values()))
        assert buffer.waiting <= RESYNC_DISTANCE and buffer._waiting_bytes >= 0

    assert 1_000 < most_waiting <= MOST_WAITING_BYTES
    # Everything that can grow: the misses remembered and the peaks.
    assert len(buffer._missed) <= 256
    assert sys.getsizeof(buffer._punctuality._lateness._falling) < 10_000


def test_few_misses_are_remembered_however_many_there_are() -> None:
    line = Line()
    for step in range(500):
        line.push(step * 90, step * 1800)

    assert line.buffer.lost == 499 * 89 and line.buffer.resyncs == 0
    assert len(line.buffer._missed) <= 256


def test_time_that_goes_back_changes_nothing() -> None:
    line = Line()
    line.push(0, 1000)
    line.push(2, 1040)

    assert line.take(0) == [] and line.push(3, 0) == [] and line.take(1060) == [2, 3]


def test_the_recent_peak_forgets_the_great_before_the_new() -> None:
    peak = RecentPeak(3.0)
    for now_s, value in ((0.0, 9.0), (1.0, 2.0), (2.0, 5.0)):
        peak.add(now_s, value)

    assert [peak.at(now_s) for now_s in (2.0, 3.5, 5.5)] == [9.0, 5.0, 0.0]
