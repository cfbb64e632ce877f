"""RTP order: no delay on a clean line, a bounded wait after a gap, and nothing twice or backwards."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.media.packet_order import RESYNC_DISTANCE, Packet, PacketOrder, distance

FIRSTS = st.one_of(st.integers(0, 0xFFFF), st.integers(0xFFF0, 0xFFFF))


class Stream:
    """Packets pushed by their number in the stream; the sequence number of the first is `first`."""

    def __init__(self, first: int = 100, most_held: int = 3) -> None:
        self.order = PacketOrder(most_held)
        self.first = first
        self.out: list[int] = []

    def push(self, *numbers: int) -> list[int]:
        ready = [packet for number in numbers for packet in self.order.push(self.packet(number))]
        given = [int(packet.payload) for packet in ready]
        self.out += given
        return given

    def packet(self, number: int) -> Packet:
        return Packet((self.first + number) % 0x10000, number * 960 % 2**32, b"%d" % number)


@pytest.mark.parametrize("first", [0, 1000, 0xFFFE])
def test_in_order_each_packet_leaves_at_once(first: int) -> None:
    stream = Stream(first)

    for number in range(10):
        assert stream.push(number) == [number]
    assert (stream.order.lost, stream.order.late) == (0, 0)


@pytest.mark.parametrize("first", [50, 0xFFFD, 0xFFFE, 0xFFFF])
def test_packets_that_overtook_wait_for_the_missing_one(first: int) -> None:
    stream = Stream(first)

    assert stream.push(0, 2, 3) == [0]
    assert stream.push(1) == [1, 2, 3]
    assert (stream.order.lost, stream.order.late) == (0, 0)


@pytest.mark.parametrize("first", [50, 0xFFFC, 0xFFFD, 0xFFFE])
def test_a_missing_packet_is_given_up_when_too_many_wait(first: int) -> None:
    stream = Stream(first)

    assert stream.push(0, 2, 3, 4) == [0]
    assert stream.push(5) == [2, 3, 4, 5]
    assert stream.order.lost == 1
    assert stream.push(1, 6) == [6]
    assert stream.order.late == 1


def test_after_giving_up_one_gap_the_next_is_waited_for() -> None:
    stream = Stream()

    assert stream.push(0, 3, 4, 6) == [0]
    assert stream.push(7) == [3, 4]
    assert stream.order.lost == 2
    assert stream.push(5) == [5, 6, 7]
    assert stream.order.lost == 2


def test_a_packet_that_comes_twice_is_taken_once() -> None:
    stream = Stream()

    assert stream.push(0, 0, 2, 2, 1, 1, 2) == [0, 1, 2]
    assert stream.order.late == 4


def test_with_nothing_held_a_gap_is_not_waited_for() -> None:
    stream = Stream(most_held=0)

    assert stream.push(0, 2, 1, 3) == [0, 2, 3]
    assert (stream.order.lost, stream.order.late) == (1, 1)


@pytest.mark.parametrize("jump", [RESYNC_DISTANCE + 1, 30_000, -RESYNC_DISTANCE - 2, -20_000])
def test_a_far_jump_is_a_new_stream_and_no_loss(jump: int) -> None:
    stream = Stream(40_000)
    stream.push(0, 1)

    assert stream.push(2 + jump, 3 + jump) == [2 + jump, 3 + jump]
    assert (stream.order.lost, stream.order.late) == (0, 0)


def test_what_waited_in_the_old_stream_does_not_appear_in_the_new_one() -> None:
    stream = Stream()

    assert stream.push(0, 2, 3) == [0]
    assert stream.push(20_000, 20_002, 20_003) == [20_000]
    assert stream.push(20_001) == [20_001, 20_002, 20_003]


def test_a_burst_of_loss_short_of_a_jump_is_counted() -> None:
    stream = Stream()
    stream.push(0)

    assert stream.push(91, 92, 93, 94) == [91, 92, 93, 94]
    assert stream.order.lost == 90


@given(st.integers(0, 0xFFFF), st.integers(-0x8000, 0x7FFF))
def test_distance_is_the_signed_step_whatever_has_wrapped(earlier: int, step: int) -> None:
    assert distance((earlier + step) % 0x10000, earlier) == step


@given(FIRSTS, st.lists(st.integers(0, 3), max_size=120))
@settings(deadline=None)
def test_disorder_within_the_window_is_undone_without_loss(first: int, delays: list[int]) -> None:
    stream = Stream(first)
    stream.push(0)
    arrivals = sorted(range(1, len(delays) + 1), key=lambda number: (number + delays[number - 1], number))
    stream.push(*arrivals)

    assert stream.out == list(range(len(delays) + 1))
    assert (stream.order.lost, stream.order.late) == (0, 0)


FATES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=150)
"""Of each packet: copies that arrive (0 = lost), and how far later packets may overtake it."""


@given(FIRSTS, st.integers(0, 5), FATES)
@settings(deadline=None)
def test_whatever_is_lost_doubled_or_late_the_output_only_goes_forward_and_the_account_is_right(
    first: int, most_held: int, fates: list[tuple[int, int]]
) -> None:
    stream = Stream(first, most_held)
    arrivals = [
        (number + delay * copy, number) for number, (copies, delay) in enumerate(fates) for copy in range(copies)
    ]
    numbers = [number for _, number in sorted(arrivals)]
    stream.push(*numbers)

    assert all(later > earlier for earlier, later in zip(stream.out, stream.out[1:], strict=False))
    assert set(stream.out) <= set(numbers)
    assert 0 <= len(numbers) - len(stream.out) - stream.order.late <= most_held
    if stream.out:
        assert stream.order.lost == stream.out[-1] - stream.out[0] + 1 - len(stream.out)
