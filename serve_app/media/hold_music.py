"""What is heard while a caller waits: a loop of ours, or a recording of the tenant's. 20 ms frames, 16 kHz mono s16le.

Ours is calculated at its first use (60 ms of CPU), the same each time, so there is no recording with a licence to keep:
sixteen seconds of a slow pentatonic tune, bell-like notes over soft chords. Everything lies between 170 and 1 800 Hz,
which a telephone carries. The loop is one array for all calls; a call keeps only its place. Both kinds play at
-25 dBFS, below a voice.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, to_samples
from deployments.contracts.errors import BadAudio

LEVEL_DBFS = -25.0
"""RMS over the loop; 0 dBFS is a full-scale square wave."""
SHORTEST_LOOP_S = 2.0
_SEAM_SAMPLES = to_samples(100)
_BEAT_S = 0.5
_BEATS = 32
_TUNE = (
    (0, 72), (2, 76), (3, 79), (5, 76), (8, 74), (10, 72), (11, 69), (13, 72),
    (16, 76), (18, 79), (19, 81), (21, 79), (24, 76), (26, 74), (28, 72), (30, 67),
)  # fmt: skip
"""(beat, MIDI note): C major pentatonic."""
_CHORDS = ((0, (55, 60, 64, 67)), (8, (53, 60, 65, 69)), (16, (57, 60, 64, 69)), (24, (55, 59, 62, 67)))
"""(beat, MIDI notes), each held for eight beats: C, F, A minor, G."""


class HoldMusic:
    """One call's place in a loop."""

    def __init__(self, loop: np.ndarray | None = None) -> None:
        """`loop`: (samples,) int16, from `loop_of`; None = our own."""
        self._loop = own_loop() if loop is None else loop
        self._at = 0

    def frame(self) -> bytes:
        """The next 20 ms."""
        end = self._at + FRAME_SAMPLES
        piece = self._loop[self._at : end]
        if end >= len(self._loop):
            piece = np.concatenate([piece, self._loop[: end - len(self._loop)]])
        self._at = end % len(self._loop)
        return piece.tobytes()


def loop_of(pcm: bytes) -> np.ndarray:
    """A loop of a recording (16 kHz mono s16le): its end led into its beginning, its level set. Raises `BadAudio`."""
    sound = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float64)
    if len(sound) < SHORTEST_LOOP_S * SAMPLE_RATE_HZ:
        raise BadAudio("hold_music_short", f"hold music must last {SHORTEST_LOOP_S:g} s", "media")
    if not sound.any():
        raise BadAudio("hold_music_silent", "the hold music is silent", "media")
    up = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, _SEAM_SAMPLES + 1) / (_SEAM_SAMPLES + 1))
    loop = sound[:-_SEAM_SAMPLES].copy()
    loop[:_SEAM_SAMPLES] = loop[:_SEAM_SAMPLES] * up + sound[-_SEAM_SAMPLES:] * (1 - up)
    return _at_level(loop)


@cache
def own_loop() -> np.ndarray:
    """(samples,) little-endian int16."""
    sound = np.zeros(round(_BEATS * _BEAT_S * SAMPLE_RATE_HZ))
    for beat, note in _TUNE:
        _add(sound, beat, _bell(note))
    for beat, notes in _CHORDS:
        for note in notes:
            _add(sound, beat, _pad(note))
    return _at_level(sound)


def _add(sound: np.ndarray, beat: int, note: np.ndarray) -> None:
    """What rings beyond the end rings on at the beginning: so the loop has no seam."""
    begin = round(beat * _BEAT_S * SAMPLE_RATE_HZ)
    sound[(begin + np.arange(len(note))) % len(sound)] += note


def _bell(note: int) -> np.ndarray:
    """A struck note: 15 ms to rise, 2.5 s to die away, the overtone faster."""
    times = np.arange(round(2.5 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = _sine(note, times) * np.exp(-2.0 * times) + 0.25 * _sine(note + 12, times) * np.exp(-4.0 * times)
    return tone * _edges(len(times), to_samples(15), to_samples(300))


def _pad(note: int) -> np.ndarray:
    """A held note that swells and fades into the next chord."""
    length = round(9 * _BEAT_S * SAMPLE_RATE_HZ)
    times = np.arange(length) / SAMPLE_RATE_HZ
    tone = _sine(note, times) + 0.3 * _sine(note + 12, times)
    return 0.16 * tone * (1 + 0.1 * np.sin(2 * np.pi * 0.8 * times)) * _edges(length, to_samples(600), to_samples(900))


def _sine(note: int, times: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * 440.0 * 2 ** ((note - 69) / 12) * times)


def _edges(length: int, rise: int, fall: int) -> np.ndarray:
    shape = np.ones(length)
    shape[:rise] = 0.5 - 0.5 * np.cos(np.pi * np.arange(rise) / rise)
    shape[-fall:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(1, fall + 1) / fall)
    return shape


def _at_level(sound: np.ndarray) -> np.ndarray:
    factor = 32768 * 10 ** (LEVEL_DBFS / 20) / np.sqrt(np.mean(sound**2))
    return np.clip(np.rint(sound * factor), -32768, 32767).astype("<i2")
