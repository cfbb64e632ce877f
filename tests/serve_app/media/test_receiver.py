"""One stream: whatever the network does, the audio heard is as long as the RTP clock says."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ, samples_in
from serve_app.media.opus import RTP_TICKS_PER_FRAME, OpusEncoder
from serve_app.media.packet_order import Packet
from serve_app.media.receiver import MOST_FILLED_S, Receiver
from tests.fakes.foreign_opus import HELD_BACK_SAMPLES, foreign_payloads
from tests.fakes.tones import tone

GARBAGE = b"\xff\xff\xff"


@cache
def payloads(count: int = 150) -> list[bytes]:
    """A tone, 20 ms each."""
    encoder, pcm = OpusEncoder(), tone(count * 0.02).astype("<i2").tobytes()
    return [encoder.encode(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm), FRAME_BYTES)]


class Sender:
    """Packets of one stream by their number; clocks begin where the test says."""

    def __init__(self, sequence: int = 100, timestamp: int = 5_000, ticks: int = RTP_TICKS_PER_FRAME) -> None:
        self.sequence, self.timestamp, self.ticks = sequence, timestamp, ticks

    def packet(self, number: int, payload: bytes | None = None, later_ticks: int = 0) -> Packet:
        return Packet(
            (self.sequence + number) % 2**16,
            (self.timestamp + number * self.ticks + later_ticks) % 2**32,
            payloads()[number] if payload is None else payload,
        )


def heard(receiver: Receiver, *packets: Packet) -> bytes:
    return b"".join(receiver.push(packet) for packet in packets)


def loud_frames(pcm: bytes) -> list[bool]:
    samples = np.frombuffer(pcm, "<i2").astype(float)
    whole = samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
    return [bool(np.abs(frame[40:-40]).max() > 1000) for frame in whole]


@pytest.mark.parametrize(
    ("sequence", "timestamp"), [(0, 0), (65_530, 2**32 - 3 * RTP_TICKS_PER_FRAME), (40_000, 2**31 - 2000)]
)
def test_a_clean_line_is_heard_whole_across_the_wrap_of_its_clocks(sequence: int, timestamp: int) -> None:
    sender, receiver = Sender(sequence, timestamp), Receiver()
    pcm = heard(receiver, *(sender.packet(number) for number in range(50)))

    assert samples_in(pcm) == 50 * FRAME_SAMPLES - HELD_BACK_SAMPLES
    assert all(loud_frames(pcm)[1:])
    assert (receiver.packets, receiver.lost, receiver.late, receiver.filled_samples) == (50, 0, 0, 0)


def test_lost_packets_become_silence_of_their_length() -> None:
    sender, receiver = Sender(), Receiver()
    pcm = heard(receiver, *(sender.packet(number) for number in range(50) if number not in (10, 20, 21, 22)))

    assert samples_in(pcm) == pytest.approx(50 * FRAME_SAMPLES, abs=HELD_BACK_SAMPLES)
    assert [place for place, loud in enumerate(loud_frames(pcm)) if not loud and place > 0] == [10, 20, 21, 22]
    assert receiver.lost == 4 and receiver.filled_samples == 4 * FRAME_SAMPLES


def test_a_sender_that_pauses_in_silence_is_silent_for_as_long() -> None:
    sender, receiver = Sender(), Receiver()
    pause = 400 * 48
    pcm = heard(receiver, sender.packet(0), sender.packet(1), sender.packet(2, later_ticks=pause))

    assert samples_in(pcm) == pytest.approx(3 * FRAME_SAMPLES + 400 * 16, abs=HELD_BACK_SAMPLES)
    assert receiver.lost == 0 and receiver.filled_samples == 400 * 16


@pytest.mark.parametrize("jump_s", [MOST_FILLED_S + 0.1, 3600, -0.02, -5])
def test_a_clock_that_jumps_far_or_back_is_a_restart_not_a_gap(jump_s: float) -> None:
    sender, receiver = Sender(timestamp=2**20), Receiver()
    jump = round(jump_s * 48_000)
    pcm = heard(receiver, *(sender.packet(number, later_ticks=jump if number >= 5 else 0) for number in range(20)))

    assert samples_in(pcm) == pytest.approx(20 * FRAME_SAMPLES, abs=HELD_BACK_SAMPLES)
    assert receiver.filled_samples == 0


@pytest.mark.parametrize("payload", [GARBAGE, b""])
def test_a_packet_that_cannot_be_decoded_is_counted_and_its_time_is_silence(payload: bytes) -> None:
    sender, receiver = Sender(), Receiver()
    pcm = heard(receiver, *(sender.packet(number, payload if number in (4, 5, 9) else None) for number in range(20)))

    assert receiver.undecodable == 3
    assert samples_in(pcm) == pytest.approx(20 * FRAME_SAMPLES, abs=HELD_BACK_SAMPLES)
    assert [place for place, loud in enumerate(loud_frames(pcm)) if not loud and place > 0] == [4, 5, 9]


def test_a_gap_before_an_undecodable_packet_is_filled_once() -> None:
    sender, receiver = Sender(), Receiver()
    packets = [sender.packet(number, GARBAGE if number in (6, 7) else None) for number in range(20) if number != 5]
    pcm = heard(receiver, *packets)

    assert samples_in(pcm) == pytest.approx(20 * FRAME_SAMPLES, abs=HELD_BACK_SAMPLES)


@pytest.mark.parametrize("duration", ["2.5", "5", "10", "40", "60"])
def test_whatever_the_length_of_packets_no_gap_is_seen_where_there_is_none(duration: str) -> None:
    receiver, sender = Receiver(), Sender(ticks=round(float(duration) * 48))
    sent = foreign_payloads(duration, "mono")
    pcm = heard(receiver, *(sender.packet(number, payload) for number, payload in enumerate(sent)))

    assert receiver.filled_samples == 0
    assert samples_in(pcm) == pytest.approx(len(sent) * float(duration) * 16, abs=HELD_BACK_SAMPLES)


FATES = st.lists(
    st.tuples(
        st.sampled_from(["heard", "heard", "heard", "lost", "twice", "garbage"]), st.integers(0, 4), st.integers(0, 20)
    ),
    min_size=1,
    max_size=100,
)
"""Of each packet: its fate, by how many packets it is late, milliseconds the sender paused before it."""


@given(FATES, st.sampled_from([0, 65_500]), st.sampled_from([0, 2**32 - 20_000]))
@settings(deadline=None, max_examples=80)
def test_samples_heard_are_the_rtp_clock(fates: list[Any], sequence: int, timestamp: int) -> None:
    sender, receiver = Sender(sequence, timestamp), Receiver()
    paused_ticks, arrivals = 0, [(-1.0, sender.packet(0))]
    for number, (fate, late_by, pause_ms) in enumerate(fates, start=1):
        paused_ticks += pause_ms * 48
        packet = sender.packet(number, GARBAGE if fate == "garbage" else None, paused_ticks)
        arrivals += [(number + late_by, packet)] * {"lost": 0, "twice": 2}.get(fate, 1)
    # Five more in order push out what is still waited for.
    arrivals += [(1000 + more, sender.packet(len(fates) + more, None, paused_ticks)) for more in range(1, 6)]
    pcm = heard(receiver, *(packet for _, packet in sorted(arrivals, key=lambda arrival: arrival[0])))

    clock = (len(fates) + 6) * FRAME_SAMPLES + paused_ticks // 3
    assert samples_in(pcm) == pytest.approx(clock, abs=HELD_BACK_SAMPLES)


def test_random_bytes_as_packets_never_raise_and_are_bounded() -> None:
    dice, receiver = random.Random(20261121), Receiver()
    longest = 0
    for number in range(4000):
        sequence = dice.choice([number, number, number, dice.randrange(2**16)]) % 2**16
        timestamp = dice.choice([number * RTP_TICKS_PER_FRAME, dice.randrange(2**32)]) % 2**32
        payload = dice.choice([payloads()[number % 150], dice.randbytes(dice.randrange(80))])
        longest = max(longest, samples_in(receiver.push(Packet(sequence, timestamp, payload))))

    assert receiver.packets == 4000 and receiver.undecodable > 100
    # At most four packets leave at once, each with at most 2 s of silence and 120 ms of sound.
    assert longest <= 4 * (MOST_FILLED_S + 0.12) * SAMPLE_RATE_HZ
