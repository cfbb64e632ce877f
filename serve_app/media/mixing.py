"""Sound put together without clicks: gains that glide, one source passing into another, several at once. Pure.

Frames are 20 ms, mono 16 kHz s16le, in and out. Levels are in dB; a change of level follows half a cosine, which has
no corner for the ear to find. Measured 2026-11 on 2 shared cores, per frame: a glide 12 µs, a held gain 5 µs, a gain of
one or nought 0.1 µs, two frames mixed 10 to 15 µs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deployments.contracts.audio import FRAME_SAMPLES, SILENT_FRAME, to_samples

DUCK_DB = -15.0
DUCK_MS = 30.0
RESTORE_MS = 60.0
"""Down at once, back gently: what interrupts must be heard, what returns must not startle."""
_KNEE = 0.8 * 32767
_ROOM = 32767 - _KNEE


class Gain:
    """The level of one source. It moves only within `apply`, so a glide lasts as long as the audio it is heard in."""

    def __init__(self, level_db: float = 0.0) -> None:
        self._from = self._to = _factor(level_db)
        self._length = 1
        self._done = 1

    def glide(self, to_db: float, over_ms: float) -> None:
        """Begin to move from where the gain stands now; `to_db` may be -inf."""
        self._from, self._to = self._now(), _factor(to_db)
        self._length, self._done = max(1, to_samples(over_ms)), 0

    def duck(self) -> None:
        """Make room for somebody else's voice."""
        self.glide(DUCK_DB, DUCK_MS)

    def restore(self) -> None:
        """Back to full level."""
        self.glide(0.0, RESTORE_MS)

    @property
    def silent(self) -> bool:
        """Nothing more will be heard: the source need not be asked."""
        return self._done >= self._length and self._to == 0.0

    def apply(self, frame: bytes) -> bytes:
        """The next 20 ms at this level."""
        if self._done >= self._length:
            if self._to == 1.0:
                return frame
            if self._to == 0.0:
                return SILENT_FRAME
            return _to_frame(_floats(frame) * np.float32(self._to))
        at = np.minimum(np.arange(self._done + 1, self._done + FRAME_SAMPLES + 1) / self._length, 1.0)
        gains = self._from + (self._to - self._from) * _half_cosine(at)
        self._done += FRAME_SAMPLES
        return _to_frame(_floats(frame) * gains)

    def _now(self) -> float:
        at = min(self._done / self._length, 1.0)
        return self._from + (self._to - self._from) * (0.5 - 0.5 * math.cos(math.pi * at))


def crossfade(leaving: bytes, coming: bytes) -> bytes:
    """One frame in which one source passes into the other. Gains add up to one, so it is never too loud."""
    return _to_frame(_floats(leaving) + (_floats(coming) - _floats(leaving)) * _RISE)


def mix(frames: Sequence[bytes]) -> bytes:
    """All at once. Up to -2 dBFS the plain sum; above, bent towards full scale, which it never passes."""
    if len(frames) < 2:
        return frames[0] if frames else SILENT_FRAME
    total = np.sum([_floats(frame) for frame in frames], axis=0)
    size = np.abs(total)
    if size.max() > _KNEE:
        bent = _KNEE + _ROOM * np.tanh((size - _KNEE) / _ROOM)
        total = np.where(size > _KNEE, np.copysign(bent, total), total)
    return _to_frame(total)


def _half_cosine(at: np.ndarray) -> np.ndarray:
    """0 → 1 for 0 → 1, level at both ends."""
    return 0.5 - 0.5 * np.cos(np.pi * at)


_RISE = _half_cosine(np.arange(1, FRAME_SAMPLES + 1) / (FRAME_SAMPLES + 1)).astype(np.float32)


def _factor(level_db: float) -> float:
    return 10 ** (level_db / 20)


def _floats(frame: bytes) -> np.ndarray:
    return np.frombuffer(frame, "<i2").astype(np.float32)


def _to_frame(samples: np.ndarray) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
