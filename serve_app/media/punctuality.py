"""How punctual a sender's packets are, and so how long to wait for one that is missing. Pure; seconds of any clock.

Patience is the greater of the jitter of RFC 3550 and the longest *lateness* of the last 3 s: how long after it was
first overtaken a packet still came. So it grows with the first packet that comes too late, and shrinks 3 s after a
burst. Lateness is measured against the packets that overtook it, not against the clock: on a line that delays but
keeps the order (most of them) a missing packet is lost, and to wait for it longer would only add delay.
"""

from __future__ import annotations

from collections import deque

LATENESS_WINDOW_S = 3.0
STALL_WINDOW_S = 10.0
"""A burst is forgotten after that long."""
_MARGIN_S = 0.005
_SHORTEST_STALL_S = 0.02
_LONGEST_JITTER_S = 0.5
"""Greater changes of transit time are pauses and restarts, and say nothing about jitter."""


class RecentPeak:
    """The greatest value of the last seconds."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._falling: deque[tuple[float, float]] = deque(maxlen=256)
        """(when, value): what is no greater than a later value is gone, so the first is the greatest."""

    def add(self, now_s: float, value: float) -> None:
        """Note a value; times do not go back."""
        while self._falling and self._falling[-1][1] <= value:
            self._falling.pop()
        self._falling.append((now_s, value))

    def at(self, now_s: float) -> float:
        """The greatest that is not too old, or 0."""
        while self._falling and self._falling[0][0] < now_s - self._window_s:
            self._falling.popleft()
        return self._falling[0][1] if self._falling else 0.0


class Punctuality:
    """Arrivals of one sender's packets; `clock_hz` is that of their timestamps."""

    def __init__(self, clock_hz: int, least_patience_s: float, most_patience_s: float) -> None:
        self._clock_hz = clock_hz
        self._least_patience_s, self._most_patience_s = least_patience_s, most_patience_s
        self._lateness = RecentPeak(LATENESS_WINDOW_S)
        self._stalls = RecentPeak(STALL_WINDOW_S)
        self._latest: tuple[int, float] | None = None
        self.jitter_s = 0.0
        """Interarrival jitter of RFC 3550 section 6.4.1."""

    def note(self, timestamp: int, arrival_s: float) -> None:
        """A packet has come."""
        latest, self._latest = self._latest, (timestamp, arrival_s)
        if latest is None:
            return
        ticks = (timestamp - latest[0] + 0x80000000 & 0xFFFFFFFF) - 0x80000000
        change_s = arrival_s - latest[1] - ticks / self._clock_hz
        if -_LONGEST_JITTER_S < change_s < _LONGEST_JITTER_S:
            self.jitter_s += (abs(change_s) - self.jitter_s) / 16
            if change_s > _SHORTEST_STALL_S:
                self._stalls.add(arrival_s, change_s)

    def note_overtaken(self, overtaken_s: float, arrival_s: float) -> None:
        """A packet has come that had been missed since `overtaken_s`, in time or not."""
        # Later than the most we would ever wait, it is no reason to wait longer.
        if arrival_s - overtaken_s <= self._most_patience_s:
            self._lateness.add(arrival_s, arrival_s - overtaken_s)

    def restart(self) -> None:
        """The next packet is the first of another stream: it has no transit time to compare with."""
        self._latest = None

    def patience_s(self, now_s: float) -> float:
        """How long a missing packet is worth waiting for."""
        lateness_s = self._lateness.at(now_s)
        wanted_s = max(self.jitter_s, lateness_s + _MARGIN_S if lateness_s else 0.0)
        return min(max(wanted_s, self._least_patience_s), self._most_patience_s)

    def stall_s(self, now_s: float) -> float:
        """The longest in the last 10 s by which a packet came too late after the one before it; 0 up to 20 ms."""
        return self._stalls.at(now_s)
