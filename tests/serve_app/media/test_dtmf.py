"""Keys: each press is told exactly once, whatever the line does to its packets."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.errors import BadInput
from serve_app.media.dtmf import KEYS, LOST_END_S, KeyPress, KeyReceiver, press_packets


class Line:
    """A receiver and the clock of its packets."""

    def __init__(self, clock_hz: int = 8_000) -> None:
        self.receiver = KeyReceiver(clock_hz)
        self.pressed: list[KeyPress] = []
        self.now_s = 100.0

    def block(self, timestamp: int, event: int, duration: int, end: bool = False, volume: int = 10) -> None:
        self.payload(timestamp, struct.pack("!BBH", event, (0x80 if end else 0) | volume, duration))

    def payload(self, timestamp: int, payload: bytes) -> None:
        self.now_s += 0.02
        self.pressed += self.receiver.packet(timestamp, payload, self.now_s)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.pressed += self.receiver.quiet(self.now_s)

    @property
    def keys(self) -> str:
        return "".join(press.key for press in self.pressed)


def test_a_press_is_told_once_at_its_first_end() -> None:
    line = Line()
    for duration in (160, 320, 480):
        line.block(1000, 5, duration)
    assert line.pressed == []
    for _ in range(3):
        line.block(1000, 5, 640, end=True)
    line.wait(1.0)

    assert line.pressed == [KeyPress("5", 80.0, -10, True)]


@pytest.mark.parametrize("event", range(16))
def test_every_key_has_its_number(event: int) -> None:
    line = Line()
    line.block(1, event, 800, end=True)

    assert line.keys == "0123456789*#ABCD"[event]


def test_a_press_whose_ends_are_lost_is_told_after_150_ms() -> None:
    line = Line()
    line.block(1000, 11, 160)
    line.block(1000, 11, 320)
    line.wait(LOST_END_S - 0.01)
    assert line.pressed == []
    line.wait(0.011)

    assert line.pressed == [KeyPress("#", 40.0, -10, False)]


def test_what_comes_after_it_was_concluded_is_not_another_press() -> None:
    line = Line()
    line.block(1000, 1, 160)
    line.wait(0.2)
    line.block(1000, 1, 3200)
    line.block(1000, 1, 3360, end=True)
    line.wait(0.2)

    assert line.keys == "1"


def test_another_press_concludes_the_one_before_it() -> None:
    line = Line()
    line.block(1000, 1, 160)
    line.block(50_000, 2, 160)

    assert [(press.key, press.ended) for press in line.pressed] == [("1", False)]


def test_the_same_key_twice_is_two_presses_even_when_the_first_end_is_lost() -> None:
    line = Line()
    line.block(1000, 7, 160)
    line.block(2000, 7, 160)
    line.block(1000, 7, 320, end=True)  # late, of the first
    line.block(2000, 7, 320, end=True)

    assert [(press.key, press.duration_ms, press.ended) for press in line.pressed] == [
        ("7", 20.0, False),
        ("7", 40.0, True),
    ]


def test_a_sender_that_keeps_its_timestamp_still_presses_two_keys() -> None:
    line = Line()
    line.block(1000, 1, 160, end=True)
    line.block(1000, 2, 160, end=True)
    line.block(2000, 3, 160)
    line.block(2000, 4, 160, end=True)

    assert line.keys == "1234"


def test_a_late_shorter_update_does_not_shorten_the_press() -> None:
    line = Line()
    line.block(1000, 1, 480)
    line.block(1000, 1, 320)
    line.block(1000, 1, 160, end=True)

    assert line.pressed[0].duration_ms == 60.0


def test_a_press_over_eight_seconds_comes_in_segments_and_is_one() -> None:
    line = Line()
    start = 2**32 - 1000  # the timestamp wraps within the press
    line.block(start, 3, 0xFFFF)
    line.block((start + 0xFFFF) % 2**32, 3, 160)
    line.block((start + 0xFFFF) % 2**32, 3, 800, end=True)
    line.block(start, 3, 0xFFFF)
    line.wait(1)

    assert line.pressed == [KeyPress("3", (0xFFFF + 800) / 8, -10, True)]


def test_several_presses_in_one_packet() -> None:
    line = Line()
    payload = struct.pack("!BBHBBHBBH", 1, 0x80 | 6, 400, 2, 0x80 | 7, 480, 2, 0x80 | 8, 560)
    line.payload(1000, payload)
    line.payload(1000, payload)

    assert [(press.key, press.duration_ms, press.volume_dbm0) for press in line.pressed] == [
        ("1", 50.0, -6),
        ("2", 60.0, -7),
        ("2", 70.0, -8),
    ]


def test_the_clock_of_the_stream_gives_the_duration() -> None:
    line = Line(48_000)
    line.block(1, 1, 4800, end=True)

    assert line.pressed[0].duration_ms == 100.0


def test_other_events_are_no_keys() -> None:
    line = Line()
    for event in (16, 32, 255):
        line.block(1000, event, 160, end=True)
    line.wait(1)

    assert line.pressed == []


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01\x80\x00", bytes(5), bytes(36)], ids=len)
def test_what_is_no_event_is_counted_and_ignored(payload: bytes) -> None:
    line = Line()
    line.payload(1000, payload)
    line.wait(1)

    assert line.pressed == []
    assert line.receiver.unreadable == 1


@given(st.lists(st.sampled_from(KEYS), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.integers(0, 10**6))
@settings(deadline=None, max_examples=200)
def test_typed_keys_arrive_each_once_over_a_line_that_loses_doubles_and_delays(
    keys: list[str], start: int, seed: int
) -> None:
    dice = random.Random(seed)
    arrivals: list[tuple[float, int, bytes]] = []
    for number, key in enumerate(keys):
        packets = press_packets(key, dice.choice((40, 100, 220)))
        kept = [packet for packet in packets if dice.random() > 0.3] or [dice.choice(packets)]
        for packet in kept:
            for _ in range(dice.choice((1, 1, 2))):
                at_s = number * 0.5 + packet.at_ms / 1000 + dice.uniform(0, 0.045)
                arrivals.append((at_s, (start + number * 4000) % 2**32, packet.payload))
    receiver, pressed = KeyReceiver(), []
    for at_s, timestamp, payload in sorted(arrivals):
        pressed += receiver.packet(timestamp, payload, at_s)
    pressed += receiver.quiet(1e6)

    assert [press.key for press in pressed] == keys


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=40)), max_size=50))
@settings(deadline=None, max_examples=1000)
def test_any_payload_is_keys_or_nothing(packets: list[tuple[int, bytes]]) -> None:
    receiver, pressed = KeyReceiver(), []
    for number, (timestamp, payload) in enumerate(packets):
        pressed += receiver.packet(timestamp, payload, number * 0.02)

    assert all(press.key in KEYS and press.duration_ms >= 0 and -63 <= press.volume_dbm0 <= 0 for press in pressed)


def test_a_press_to_be_sent() -> None:
    packets = press_packets("#", 100, 8_000, -8)

    assert [packet.at_ms for packet in packets] == [20, 40, 60, 80, 100, 120, 140]
    assert [packet.marker for packet in packets] == [True] + [False] * 6
    assert [packet.payload.hex() for packet in packets] == [
        "0b0800a0", "0b080140", "0b0801e0", "0b080280", "0b880320", "0b880320", "0b880320",
    ]  # fmt: skip
    assert press_packets("1", 8_000, 48_000)[-1].payload == b"\x01\x8a\xff\xff"


@pytest.mark.parametrize(
    ("key", "duration_ms", "volume", "code"),
    [
        ("", 100, -10, "dtmf_key"), ("12", 100, -10, "dtmf_key"), ("x", 100, -10, "dtmf_key"),
        ("1", 39, -10, "dtmf_duration"), ("1", 8001, -10, "dtmf_duration"), ("1", 100, 1, "dtmf_volume"),
        ("1", 100, -64, "dtmf_volume"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused(key: str, duration_ms: int, volume: int, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        press_packets(key, duration_ms, volume_dbm0=volume)
    assert refused.value.code == code
