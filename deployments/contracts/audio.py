"""Audio as the platform carries it: mono, 16 kHz, signed 16-bit little-endian PCM.

Time is counted in samples. A door converts whatever arrives to this form once; playout leaves in 20 ms frames.
"""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE_HZ = 16_000
SAMPLE_BYTES = 2
FRAME_MS = 20
FRAME_SAMPLES = SAMPLE_RATE_HZ * FRAME_MS // 1000
FRAME_BYTES = FRAME_SAMPLES * SAMPLE_BYTES
SILENT_FRAME = bytes(FRAME_BYTES)


@dataclass(frozen=True, slots=True)
class HeardAudio:
    """A piece of what the caller said, in order and without gaps (a door fills lost audio)."""

    pcm: bytes
    """Signed 16-bit little-endian, mono, 16 kHz; any whole number of samples."""
    arrived_s: float
    """Monotonic clock, seconds, when the packet that ended this piece reached the process."""


def samples_in(pcm: bytes) -> int:
    """Number of samples in `pcm`."""
    return len(pcm) // SAMPLE_BYTES


def to_samples(milliseconds: float) -> int:
    """Samples in that many milliseconds."""
    return round(milliseconds * SAMPLE_RATE_HZ / 1000)


def to_ms(samples: int) -> float:
    """Milliseconds that many samples last."""
    return samples * 1000 / SAMPLE_RATE_HZ
