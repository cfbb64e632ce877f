"""The sound of an open line: faint noise, so that a pause is not taken for a broken call. 20 ms frames, 16 kHz s16le.

Shaped like a quiet room: level to 500 Hz, then falling by 6 dB an octave. Calculated once, from a fixed seed, as a loop
of four seconds whose end meets its beginning; each call begins at a place of its own. Between -65 and -60 dBFS it is
heard by an ear at the receiver and stays far below what a voice detector or a recogniser takes for speech.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from deployments.contracts.errors import BadSettings

QUIETEST_DBFS, LOUDEST_DBFS = -65.0, -60.0
_LOOP_FRAMES = 200
_CORNER_HZ = 500.0
_SEED = 1


class ComfortNoise:
    """One call's noise."""

    def __init__(self, level_dbfs: float = -62.0, begin_frame: int = 0) -> None:
        if not QUIETEST_DBFS <= level_dbfs <= LOUDEST_DBFS:
            raise BadSettings("comfort_noise_level", f"must lie in {QUIETEST_DBFS:g} … {LOUDEST_DBFS:g} dBFS", "media")
        self._loop = _loop(level_dbfs)
        self._at = begin_frame % _LOOP_FRAMES

    def frame(self) -> bytes:
        """The next 20 ms."""
        frame = self._loop[self._at]
        self._at = (self._at + 1) % _LOOP_FRAMES
        return frame


@cache
def _loop(level_dbfs: float) -> tuple[bytes, ...]:
    """Shaped in the spectrum of the whole loop, which makes it periodic: there is no seam to hide."""
    samples = _LOOP_FRAMES * FRAME_SAMPLES
    white = np.fft.rfft(np.random.default_rng(_SEED).standard_normal(samples))
    frequencies_hz = np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ)
    white *= 1 / np.sqrt(1 + (frequencies_hz / _CORNER_HZ) ** 2)
    white[frequencies_hz < 50] = 0  # no hum, no offset
    noise = np.fft.irfft(white, samples)
    noise *= 32768 * 10 ** (level_dbfs / 20) / np.sqrt(np.mean(noise**2))
    pcm = np.rint(noise).astype("<i2").tobytes()
    return tuple(pcm[at : at + 2 * FRAME_SAMPLES] for at in range(0, len(pcm), 2 * FRAME_SAMPLES))
