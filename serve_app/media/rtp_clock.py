"""The sender's clock: how much audio is missing before a packet, by the RTP timestamps. Pure.

Sequence numbers tell that packets are lost; only timestamps tell how long a gap is, for a sender in DTX pauses without
leaving a number out. A timestamp that jumps back, or further than time has passed (two seconds are forgiven), does not
mean a gap: the clock was set anew. So however a hostile sender jumps, gaps never add up to more than the time that has
passed, and two seconds.
"""

from __future__ import annotations

from deployments.contracts.audio import SAMPLE_RATE_HZ

MOST_AHEAD_S = 2.0


class RtpClock:
    """Timestamps of `clock_hz` ↔ samples of 16 kHz, of packets in order."""

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self._expected: int | None = None
        """Timestamp at which the audio so far ends."""
        self._rest = 0
        """Ticks × 16 000 that did not make a whole sample yet."""
        self._arrived_s = 0.0
        self._left_s = MOST_AHEAD_S
        self.restarts = 0

    def gap(self, timestamp: int, arrived_s: float) -> int:
        """Samples missing before the packet with this timestamp."""
        if self._expected is None:
            self._arrived_s = arrived_s
            return 0
        elapsed_s = max(0.0, arrived_s - self._arrived_s)
        self._arrived_s += elapsed_s
        self._left_s = max(min(self._left_s + elapsed_s, MOST_AHEAD_S), elapsed_s)
        ticks = timestamp - self._expected & 0xFFFFFFFF
        if ticks == 0:
            return 0
        gap_s = ticks / self._clock_hz
        if gap_s > self._left_s:  # one set back looks like a jump of hours, too
            self.restarts += 1
            self._rest = 0
            return 0
        self._left_s -= gap_s
        samples, self._rest = divmod(ticks * SAMPLE_RATE_HZ + self._rest, self._clock_hz)
        return samples

    def heard(self, timestamp: int, samples: int) -> None:
        """The packet with this timestamp has lasted so long."""
        self._expected = timestamp + samples * self._clock_hz // SAMPLE_RATE_HZ & 0xFFFFFFFF
