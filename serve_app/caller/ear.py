"""What the caller hears: RTP packets in, times of sound and a recording out.

There is no jitter buffer: a packet counts at the moment it arrives, so delays measured here contain none of our own.
Times are seconds of the monotonic clock; a `Tape` counts samples at 16 kHz from its own zero.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections import deque

import av
import numpy as np

from deployments.contracts.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, samples_in, to_samples

log = logging.getLogger(__name__)

SOUND_PEAK = 500
"""int16; a packet with a sample beyond this is sound (-36 dBFS), quieter ones are silence or codec noise."""
SILENCE_S = 0.25
"""So long without sound is silence; shorter holes are pauses between words."""
RTP_TICKS_PER_SAMPLE = 3
"""RTP time of Opus always runs at 48 kHz."""
FOLLOWS_ON_SAMPLES = to_samples(5)
"""A packet this near to the end of what is recorded continues it: the resampler holds up to 2 ms back."""
CLOCKS_APART_SAMPLES = to_samples(200)
"""RTP time and arrival further apart than this: the sender paused or jumped, take arrival as the truth again."""
REMEMBERED_SOUNDS = 100_000
"""Packets of sound whose arrival is kept, about half an hour of talk."""


class Tape:
    """One channel of a recording on a clock of its own; what is never placed is silence. Stops at `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self._limit_samples = int(limit_s * SAMPLE_RATE_HZ)
        self._pcm = bytearray()

    @property
    def end(self) -> int:
        """Samples recorded."""
        return len(self._pcm) // SAMPLE_BYTES

    def place(self, at_sample: int, pcm: bytes, slack: int) -> bool:
        """Put audio at a place, or at the end when within `slack` samples of it. False when it lies before the end."""
        if abs(at_sample - self.end) <= slack:
            at_sample = self.end
        elif at_sample < self.end:
            return False
        if at_sample + samples_in(pcm) <= self._limit_samples:
            self._pcm += bytes((at_sample - self.end) * SAMPLE_BYTES) + pcm
        return True

    def samples(self, length: int) -> np.ndarray:
        """(length,) int16, silence behind the end."""
        whole = np.zeros(length, np.int16)
        recorded = np.frombuffer(bytes(self._pcm), np.int16)[:length]
        whole[: recorded.size] = recorded
        return whole


def stereo(left: Tape, right: Tape) -> bytes:
    """Two channels of the same clock, interleaved s16le."""
    length = max(left.end, right.end)
    return np.stack([left.samples(length), right.samples(length)], axis=1).tobytes()


class Ear:
    """Decodes what arrives. `hear` never raises: an exception would end the DTLS transport that carries the call."""

    def __init__(self, zero_s: float, tape: Tape) -> None:
        self._zero_s = zero_s
        self._tape = tape
        self._decoder = av.CodecContext.create("libopus", "r")
        self._decoder.sample_rate = 48_000
        self._decoder.layout = "mono"
        self._decoder.format = "s16"
        self._resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE_HZ)
        self._anchor: tuple[int, int] | None = None
        self._first_sequence: int | None = None
        self._last_sequence = 0
        self._sounds: deque[float] = deque(maxlen=REMEMBERED_SOUNDS)
        self.received = 0
        self.unreadable = 0
        self.too_late = 0
        self.last_arrival_s: float | None = None

    @property
    def lost(self) -> int:
        """Packets that the numbering says were sent and that never came."""
        if self._first_sequence is None:
            return 0
        return max(0, self._last_sequence - self._first_sequence + 1 - self.received)

    @property
    def last_sound_s(self) -> float | None:
        """When the last packet of sound arrived."""
        return self._sounds[-1] if self._sounds else None

    def hear(self, sequence: int, timestamp: int, payload: bytes, arrival_s: float) -> bool:
        """Take one packet; True when it is sound."""
        self.received += 1
        self.last_arrival_s = arrival_s
        self._count(sequence)
        try:
            return bool(payload) and self._decode(timestamp, payload, arrival_s)
        except Exception:
            self.unreadable += 1
            log.warning("caller.packet_unreadable", exc_info=True, extra={"bytes": len(payload)})
            return False

    def first_sound_after(self, moment_s: float) -> float | None:
        """Arrival of the first packet of sound later than `moment_s`."""
        at = bisect_right(self._sounds, moment_s)
        return self._sounds[at] if at < len(self._sounds) else None

    def sound_between(self, from_s: float, to_s: float) -> bool:
        """Whether any packet of sound arrived in [from, to)."""
        return bisect_left(self._sounds, from_s) < bisect_left(self._sounds, to_s)

    def fell_silent_s(self, after_s: float) -> float | None:
        """Arrival of the last packet of sound before the first silence that begins after `after_s`.

        None when it had been silent already.
        """
        last: float | None = None
        for sound_s in list(self._sounds)[bisect_right(self._sounds, after_s) :]:
            if sound_s - (after_s if last is None else last) >= SILENCE_S:
                break
            last = sound_s
        return last

    def _count(self, sequence: int) -> None:
        if self._first_sequence is None:
            self._first_sequence = self._last_sequence = sequence
        ahead = (sequence - self._last_sequence + 0x8000) % 0x10000 - 0x8000
        self._last_sequence = max(self._last_sequence, self._last_sequence + ahead)

    def _decode(self, timestamp: int, payload: bytes, arrival_s: float) -> bool:
        pcm = b""
        for decoded in self._decoder.decode(av.Packet(payload)):
            decoded.pts = None
            pcm += b"".join(piece.to_ndarray().tobytes() for piece in self._resampler.resample(decoded))
        if not self._tape.place(self._position(timestamp, arrival_s), pcm, FOLLOWS_ON_SAMPLES):
            self.too_late += 1
        samples = np.frombuffer(pcm, np.int16)
        # Widened first: the absolute value of -32768 does not fit int16.
        if not samples.size or int(np.abs(samples.astype(np.int32)).max()) <= SOUND_PEAK:
            return False
        self._sounds.append(arrival_s)
        return True

    def _position(self, timestamp: int, arrival_s: float) -> int:
        """Where on the tape a packet belongs: by RTP time, which has no network jitter, as long as arrival agrees."""
        arrived = int((arrival_s - self._zero_s) * SAMPLE_RATE_HZ)
        if self._anchor is not None:
            ticks = (timestamp - self._anchor[0] + (1 << 31)) % (1 << 32) - (1 << 31)
            expected = self._anchor[1] + ticks // RTP_TICKS_PER_SAMPLE
            if abs(expected - arrived) <= CLOCKS_APART_SAMPLES:
                return expected
        self._anchor = (timestamp, arrived)
        return arrived
