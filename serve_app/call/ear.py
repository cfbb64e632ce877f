"""What the caller said, by sample: cut into VAD windows, kept for pre-roll and recognition, with its time of arrival.

However the line cuts its audio into pieces, the windows are the same.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from deployments.contracts.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, HeardAudio
from deployments.contracts.speech import VAD_WINDOW_SAMPLES

WINDOW_BYTES = VAD_WINDOW_SAMPLES * SAMPLE_BYTES


class Ear:
    """The newest `keep_s` seconds of one call's audio."""

    def __init__(self, keep_s: float = 35.0) -> None:
        self._keep = int(keep_s * SAMPLE_RATE_HZ)
        self._pcm = bytearray()
        self._first = 0
        """Sample number of `_pcm[0]`."""
        self._windowed = 0
        """Samples already given out as windows."""
        self._arrivals: deque[tuple[int, float]] = deque()
        """(sample after the piece, monotonic clock)."""

    @property
    def heard(self) -> int:
        """Samples heard so far."""
        return self._first + len(self._pcm) // SAMPLE_BYTES

    @property
    def waiting_windows(self) -> int:
        """Complete windows not yet given out."""
        return (self.heard - self._windowed) // VAD_WINDOW_SAMPLES

    def add(self, audio: HeardAudio) -> None:
        """Take the next piece."""
        self._pcm += audio.pcm
        self._arrivals.append((self.heard, audio.arrived_s))
        surplus = self.heard - self._first - self._keep
        # Trimmed a second at a time: moving half a minute of audio on each frame would cost more than the call.
        if surplus > SAMPLE_RATE_HZ:
            del self._pcm[: surplus * SAMPLE_BYTES]
            self._first += surplus
            while self._arrivals and self._arrivals[0][0] < self._first:
                self._arrivals.popleft()

    def windows(self, most: int) -> bytes:
        """Give out up to `most` complete windows, in order; silence for what has been forgotten already."""
        count = min(most, self.waiting_windows)
        pcm = self.between(self._windowed, self._windowed + count * VAD_WINDOW_SAMPLES)
        self._windowed += count * VAD_WINDOW_SAMPLES
        return pcm.rjust(count * WINDOW_BYTES, b"\0")

    def between(self, start: int, end: int) -> bytes:
        """Audio from sample `start` to sample `end`, as far as it is still kept."""
        start = max(start, self._first)
        end = min(end, self.heard)
        if end <= start:
            return b""
        return bytes(self._pcm[(start - self._first) * SAMPLE_BYTES : (end - self._first) * SAMPLE_BYTES])

    def arrived(self, sample: int) -> float:
        """Monotonic clock when the packet that carried the sample before `sample` arrived."""
        for end, arrived_s in self._arrivals:
            if end >= sample:
                return arrived_s
        return self._arrivals[-1][1] if self._arrivals else 0.0


def level_dbfs(pcm: bytes) -> float:
    """Root-mean-square loudness relative to full scale; -120 for silence."""
    if not pcm:
        return -120.0
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32) / 32768
    mean_square = float(np.mean(samples * samples))
    return max(-120.0, 10 * float(np.log10(mean_square + 1e-12)))
