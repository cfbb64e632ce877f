"""RTCP of one plain RTP leg: what we report of their packets, and what their reports say of ours (RFC 3550, section 6).

Pure; times are seconds of the monotonic clock. NTP times run by that clock too, from the wall clock's time at the
start: a wall clock that is set must not make a round trip of an hour.
"""

from __future__ import annotations

from serve_app.media.reception import ReceptionStatistics
from serve_app.media.rtcp import Compound, SenderInfo, build_report, ntp_time, round_trip_s
from serve_app.media.rtp import RtpPacket, RtpStream

MOST_SENDERS = 8
"""SSRCs whose reception is counted; a caller has one, and another after each change of its equipment."""


class Reports:
    """One leg's."""

    def __init__(self, stream: RtpStream, clock_hz: int, name: bytes, unix_minus_clock_s: float) -> None:
        self.rtt_ms: float | None = None
        self.lost_percent: float | None = None
        """Of our packets, as their latest report says."""
        self.ssrc: int | None = None
        """Of their latest packet."""
        self._stream = stream
        self._clock_hz = clock_hz
        self._name = name
        self._unix_minus_clock_s = unix_minus_clock_s
        self._senders: dict[int, ReceptionStatistics] = {}
        self._heard_since: set[int] = set()
        """SSRCs that sent since our last report."""
        self._sent_before = 0
        """Packets, at our last report."""
        self._timestamp, self._timestamp_s = stream.timestamp, 0.0

    def received(self, packet: RtpPacket, now_s: float, *, event: bool) -> None:
        """Count a packet. An event's timestamp is that of its beginning and says nothing of its journey."""
        if packet.ssrc not in self._senders:
            if len(self._senders) == MOST_SENDERS:
                del self._senders[next(iter(self._senders))]
            self._senders[packet.ssrc] = ReceptionStatistics(self._clock_hz)
        self._senders[packet.ssrc].packet(packet.sequence, None if event else packet.timestamp, now_s)
        self._heard_since.add(packet.ssrc)
        self.ssrc = packet.ssrc

    def sent(self, timestamp: int, now_s: float) -> None:
        """An audio packet of ours leaves."""
        self._timestamp, self._timestamp_s = timestamp, now_s

    def timestamp(self, now_s: float) -> int:
        """This moment on our RTP clock."""
        passed_s = now_s - self._timestamp_s if self._timestamp_s else 0.0
        return (self._timestamp + round(passed_s * self._clock_hz)) % 2**32

    def build(self, now_s: float, *, bye: bool = False) -> bytes:
        """Our report: a sender's, if we sent anything since the last."""
        sender = None
        if self._stream.packets != self._sent_before:
            self._sent_before = self._stream.packets
            ntp, stream = self._ntp(now_s), self._stream
            sender = SenderInfo(ntp, self.timestamp(now_s), stream.packets, stream.octets)
        blocks = [
            statistics.report(ssrc, now_s) for ssrc, statistics in self._senders.items() if ssrc in self._heard_since
        ]
        self._heard_since.clear()
        return build_report(self._stream.ssrc, self._name, blocks, sender, bye)

    def take(self, compound: Compound, now_s: float) -> None:
        """Their reports have come."""
        for report in compound.reports:
            if report.sender is not None and report.ssrc in self._senders:
                self._senders[report.ssrc].sender_report(report.sender.ntp, now_s)
            for block in report.blocks:
                if block.ssrc == self._stream.ssrc:
                    self.lost_percent = 100 * block.fraction_lost / 256
                    rtt_s = round_trip_s(block, self._ntp(now_s))
                    self.rtt_ms = self.rtt_ms if rtt_s is None else rtt_s * 1000

    def _ntp(self, now_s: float) -> int:
        return ntp_time(now_s + self._unix_minus_clock_s)
