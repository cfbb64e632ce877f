"""What a receiver counts of one stream, by RFC 3550, appendices A.1 (sequence), A.3 (loss) and A.8 (jitter).

Fed with every packet as it arrives, before any buffer: late packets count as received here (loss after the buffer is
`quality.py`'s business). A jump of the sequence that no loss explains is believed at its second packet: a sender that
began anew. Pure; times are seconds of any monotonic clock, handed in.
"""

from __future__ import annotations

from serve_app.media.rtcp import ReportBlock, middle

MOST_DROPOUT = 3_000
"""Packets; a minute. What jumps further ahead is a new stream or a lie."""
MOST_MISORDER = 100
_ROUND = 0x10000
_EVERY_32 = 2**32


class ReceptionStatistics:
    """One stream."""

    def __init__(self, clock_hz: int) -> None:
        self._clock_hz = clock_hz
        self.received = 0
        """Since the stream began; duplicates included, as the RFC wants it."""
        self._first: int | None = None
        self._highest = 0
        """Unwrapped: counts on beyond 16 bits."""
        self._believed_next: int | None = None
        self._transit: int | None = None
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._sender_report: tuple[int, float] | None = None

    @property
    def jitter_ms(self) -> float:
        """Smoothed difference of travel times, of A.8."""
        return self._jitter * 1000 / self._clock_hz

    @property
    def expected(self) -> int:
        """Packets that were sent since the first one that came."""
        return 0 if self._first is None else self._highest - self._first + 1

    @property
    def lost(self) -> int:
        """Expected, less received; negative when packets came twice."""
        return self.expected - self.received

    def packet(self, sequence: int, timestamp: int | None, arrived_s: float) -> None:
        """Count a packet. `timestamp` None: it has no time of its own (RFC 4733 events), jitter leaves it out."""
        if not self._counted(sequence):
            return
        self.received += 1
        if timestamp is None:
            return
        transit = int(arrived_s * self._clock_hz) - timestamp
        if self._transit is not None:
            change = (transit - self._transit + _EVERY_32 // 2) % _EVERY_32 - _EVERY_32 // 2
            self._jitter += (abs(change) - self._jitter) / 16
        self._transit = transit

    def sender_report(self, ntp: int, arrived_s: float) -> None:
        """The sender's report came; it can compute the round trip from our next one."""
        self._sender_report = middle(ntp), arrived_s

    def report(self, ssrc: int, now_s: float) -> ReportBlock:
        """The next report on the stream; what it says of the interval is counted from the one before."""
        expected = self.expected - self._expected_before
        lost = expected - (self.received - self._received_before)
        fraction = min(255, (lost << 8) // expected) if expected > 0 and lost > 0 else 0
        self._expected_before, self._received_before = self.expected, self.received
        last, since = 0, 0
        if self._sender_report is not None:
            last, arrived_s = self._sender_report
            since = min(max(0, round((now_s - arrived_s) * 65536)), _EVERY_32 - 1)
        jitter = min(int(self._jitter), _EVERY_32 - 1)
        return ReportBlock(ssrc, fraction, self.lost, self._highest % _EVERY_32, jitter, last, since)

    def _counted(self, sequence: int) -> bool:
        if self._first is None:
            self._begin(sequence)
            return True
        ahead = (sequence - self._highest) % _ROUND
        if ahead < MOST_DROPOUT:
            self._highest += ahead
        elif ahead <= _ROUND - MOST_MISORDER:
            if sequence != self._believed_next:
                self._believed_next = (sequence + 1) % _ROUND
                return False
            self._begin(sequence)
        self._believed_next = None
        return True

    def _begin(self, sequence: int) -> None:
        self._first = self._highest = sequence
        self.received = self._expected_before = self._received_before = 0
        self._transit = None
