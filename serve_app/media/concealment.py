"""Sound in the place of a lost packet, for codecs that have none of their own: G.711 and L16.

The last pitch period is said again and again, for 10 ms at full level, then fading to silence at 60 ms. The idea is
that of ITU-T G.711 Appendix I; the method is a simpler one of ours, without Appendix I's 3.75 ms of delay: the first
repeated period is bent onto the last sample heard instead of being overlapped with audio held back. When speech is
back, it is blended in over 4 ms. Mono 16 kHz s16le in and out.

Measured 2026-11 on 2 shared cores: 0.2 to 0.6 µs for a frame that came; 60 to 100 µs for a gap of one frame, with the
blending after it.
"""

from __future__ import annotations

import numpy as np

from deployments.contracts.audio import SAMPLE_BYTES, to_samples

_SHORTEST_PERIOD = to_samples(2.5)
"""400 Hz; higher voices are repeated two periods at a time."""
_LONGEST_PERIOD = to_samples(15)
"""66 Hz."""
_COMPARED = to_samples(20)
_HISTORY_BYTES = (_COMPARED + _LONGEST_PERIOD) * SAMPLE_BYTES
_VOICED = 0.5
"""Correlation below which there is no pitch; then the longest period is repeated, a shorter one would hum."""
_FULL = to_samples(10)
_GONE = to_samples(60)
_BEND = to_samples(2)
_BLEND = to_samples(4)


class Concealment:
    """What was heard lately of one stream, and the gap it is in."""

    def __init__(self) -> None:
        self._history = bytes(_HISTORY_BYTES)
        self._period = np.zeros(0, np.float32)
        self._bend = 0.0
        self._into_gap = 0
        """Samples concealed since the last packet; 0 outside a gap."""

    def heard(self, pcm: bytes) -> bytes:
        """Take the audio of a packet that came; the first after a gap is blended in."""
        if self._into_gap and pcm:
            pcm = self._blended(pcm)
            self._into_gap = 0
        self._history = (self._history + pcm)[-_HISTORY_BYTES:]
        return pcm

    def conceal(self, samples: int) -> bytes:
        """That many samples for audio that did not come."""
        if samples <= 0:
            return b""
        if not self._into_gap:
            self._enter_gap()
        silent = self._into_gap >= _GONE
        pcm = bytes(samples * SAMPLE_BYTES) if silent else _to_pcm(self._repeated(samples))
        self._into_gap += samples
        self._history = (self._history + pcm)[-_HISTORY_BYTES:]
        return pcm

    def _enter_gap(self) -> None:
        history = np.frombuffer(self._history, "<i2").astype(np.float32)
        lag = _pitch(history)
        period = history[-lag:].copy()
        # Its end is led to what came before its beginning, so that one round follows the other without a step.
        lead = min(lag // 4, len(history) - lag)
        up = np.arange(1, lead + 1, dtype=np.float32) / lead
        period[-lead:] += (history[-lag - lead : -lag] - period[-lead:]) * up
        self._period = period
        self._bend = float(history[-1] - history[-lag - 1])

    def _repeated(self, samples: int) -> np.ndarray:
        at = np.arange(self._into_gap, self._into_gap + min(samples, max(0, _GONE - self._into_gap)))
        sound = np.zeros(samples, np.float32)
        sound[: len(at)] = self._period[at % len(self._period)] + self._bend * np.clip(1 - at / _BEND, 0, 1)
        sound[: len(at)] *= np.clip((_GONE - at) / (_GONE - _FULL), 0, 1)
        return sound

    def _blended(self, pcm: bytes) -> bytes:
        sound = np.frombuffer(pcm, "<i2").astype(np.float32)
        length = min(_BLEND, len(sound))
        up = np.arange(1, length + 1, dtype=np.float32) / (length + 1)
        sound[:length] = sound[:length] * up + self._repeated(length) * (1 - up)
        return _to_pcm(sound)


def _pitch(history: np.ndarray) -> int:
    """Samples of the pitch period at the end of `history`: (samples,) float32."""
    recent = history[-_COMPARED:]
    searched = history[: len(history) - _SHORTEST_PERIOD]  # windows that end 2.5 ms … 15 ms before the end
    likeness = np.correlate(searched, recent, "valid")
    squares = np.concatenate([[0.0], np.cumsum(searched.astype(np.float64) ** 2)])
    energy = np.sqrt((squares[_COMPARED:] - squares[:-_COMPARED]) * np.dot(recent, recent)) + 1.0
    scores = likeness / energy
    best = int(np.argmax(scores))
    if scores[best] < _VOICED:
        return _LONGEST_PERIOD
    return _LONGEST_PERIOD - best


def _to_pcm(sound: np.ndarray) -> bytes:
    return np.clip(np.rint(sound), -32768, 32767).astype("<i2").tobytes()
