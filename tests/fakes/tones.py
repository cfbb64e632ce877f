"""A voice that is a tone: samples of it, and a WebRTC track that speaks with it in ready Opus packets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import av
import numpy as np
from aiortc.mediastreams import MediaStreamTrack


def tone(duration_s: float, frequency_hz: float = 440.0, rate_hz: int = 16_000, peak: int = 8000) -> np.ndarray:
    """(samples,) int16."""
    times = np.arange(round(duration_s * rate_hz)) / rate_hz
    return np.round(peak * np.sin(2 * np.pi * frequency_hz * times)).astype(np.int16)


@cache
def voice() -> tuple[bytes, tuple[bytes, ...]]:
    """Opus: a packet of silence, and the two hundred packets of a tone that begins after it."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    encoded: list[bytes] = []
    for loud in [0] * 10 + [1] * 201:
        frame = av.AudioFrame.from_ndarray(tone(0.02, 500.0, 48_000).reshape(1, -1) * loud, "s16", "mono")
        frame.sample_rate = 48_000
        encoded += [bytes(packet) for packet in encoder.encode(frame)]
    return encoded[9], tuple(encoded[10:210])


class Mouth(MediaStreamTrack):
    """Silence, or as many 20 ms frames of a tone as are wanted."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._frames = 0
        self._left = 0
        self._said = 0
        self._started = time.monotonic()
        self._on_done: Callable[[], None] | None = None
        self.first_sound_s: float | None = None
        self.last_sound_s: float | None = None
        self.frozen = False

    @property
    def sounding(self) -> bool:
        return self._left > 0

    def sound(self, duration_s: float, on_done: Callable[[], None]) -> None:
        self._left, self._said = round(duration_s / 0.02), 0
        self._on_done, self.first_sound_s = on_done, None

    def hush(self) -> None:
        self._left, self._on_done = 0, None

    async def recv(self) -> av.Packet:
        await asyncio.sleep(max(0.0, self._started + self._frames * 0.02 - time.monotonic()))
        if self.frozen:
            await asyncio.Event().wait()
        silence, sound = voice()
        packet = av.Packet(sound[self._said % len(sound)] if self.sounding else silence)
        packet.pts, packet.time_base = self._frames * 960, Fraction(1, 48_000)
        self._frames += 1
        if self.sounding:
            self._say_one()
        return packet

    def _say_one(self) -> None:
        self._left -= 1
        self._said += 1
        self.last_sound_s = time.monotonic()
        self.first_sound_s = self.first_sound_s or self.last_sound_s
        if self._left == 0 and self._on_done is not None:
            done, self._on_done = self._on_done, None
            done()
