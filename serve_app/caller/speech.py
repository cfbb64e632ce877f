"""Something the caller will say: samples in, ready Opus packets out, with the places where the voice begins and ends.

Encoded once and sent by any number of callers, so that a load test measures the server and not our encoder.
Samples are mono s16le at 16 kHz; a packet is 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import av
import numpy as np

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ, SILENT_FRAME, samples_in
from deployments.contracts.errors import BadAudio

VOICED_DBFS = -45.0
"""A 20 ms frame whose mean power is above this is voice."""
BIT_RATE_BPS = 32_000
TAIL_FRAMES = 5
"""Silence encoded behind the voice: Opus looks 6.5 ms ahead, so the last sound ends in the packet after its own."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What will be said."""

    pcm: bytes
    """Mono s16le, 16 kHz, whole 20 ms frames, without the silent tail."""
    packets: tuple[bytes, ...]
    """Opus, 20 ms each: one a frame of `pcm`, then `TAIL_FRAMES` of silence."""
    first_voiced: int
    """Index of the first packet with voice in it."""
    last_voiced: int

    @property
    def duration_s(self) -> float:
        """Length of `pcm`."""
        return samples_in(self.pcm) / SAMPLE_RATE_HZ


def prepare(pcm: bytes) -> Speech:
    """Encode samples; 9 ms of CPU a second. Raises `BadAudio` (`wav_silent`) when there is no voice in them."""
    # Padded in front, so that the last sample ends a packet.
    pcm = bytes(-len(pcm) % FRAME_BYTES) + pcm
    voiced = voiced_frames(pcm)
    if not voiced.size:
        raise BadAudio("wav_silent", f"no 20 ms of the audio is louder than {VOICED_DBFS:g} dBFS", "caller")
    packets = _encode(pcm + SILENT_FRAME * TAIL_FRAMES)
    return Speech(pcm, packets, int(voiced[0]), int(voiced[-1]))


def voiced_frames(pcm: bytes) -> np.ndarray:
    """Indexes of the 20 ms frames louder than `VOICED_DBFS`."""
    frames = np.frombuffer(pcm, np.int16).astype(np.float64).reshape(-1, FRAME_SAMPLES)
    power = np.mean((frames / 32768) ** 2, axis=1)
    return np.nonzero(power > 10 ** (VOICED_DBFS / 10))[0]


@cache
def silent_packet() -> bytes:
    """A packet of digital silence, as the encoder makes it once it has settled."""
    return _encode(SILENT_FRAME * 10)[-1]


def _encode(pcm: bytes) -> tuple[bytes, ...]:
    # Opus takes 16 kHz input as it is; RTP time runs at 48 kHz all the same (RFC 7587 §4.1).
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate = SAMPLE_RATE_HZ
    encoder.layout = "mono"
    encoder.format = "s16"
    encoder.bit_rate = BIT_RATE_BPS
    encoder.options = {"application": "voip", "frame_duration": "20"}
    packets: list[bytes] = []
    for at in range(0, len(pcm), FRAME_BYTES):
        samples = np.frombuffer(pcm, np.int16, FRAME_SAMPLES, at).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    # The encoder may hold the last packet back; what it adds beyond our frames is padding.
    packets += [bytes(packet) for packet in encoder.encode(None)]
    return tuple(packets[: len(pcm) // FRAME_BYTES])
