"""Opus as another sender may make it: at 48 kHz, mono or stereo, in packets of any length Opus knows."""

from __future__ import annotations

import av
import numpy as np

from tests.fakes.tones import tone

HELD_BACK_SAMPLES = 16
"""The decoder's resampler keeps so many back at 16 kHz; measured with av 18."""


def foreign_payloads(duration: str, layout: str) -> list[bytes]:
    """A second of a tone in packets of `duration` milliseconds ("2.5", "5" … "60"); `layout` is "mono" or "stereo"."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = 48_000, layout, "s16"
    codec.options = {"frame_duration": duration}
    channels, size = (2 if layout == "stereo" else 1), round(float(duration) * 48)
    sound = np.repeat(tone(1.0, rate_hz=48_000), channels)
    payloads = []
    for at in range(0, len(sound) - size * channels + 1, size * channels):
        frame = av.AudioFrame.from_ndarray(sound[at : at + size * channels].reshape(1, -1), "s16", layout)
        frame.sample_rate = 48_000
        payloads += [bytes(packet) for packet in codec.encode(frame)]
    return payloads
