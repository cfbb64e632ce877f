"""One caller's incoming stream: packets in, continuous 16 kHz audio out.

Gaps in the RTP clock (lost packets, a sender that pauses in silence) are filled with silence of their length, so that
samples heard stay a measure of time.
"""

from __future__ import annotations

from deployments.contracts.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, samples_in
from deployments.contracts.errors import BadAudio
from serve_app.media.opus import RTP_TICKS_PER_SAMPLE, OpusDecoder
from serve_app.media.packet_order import Packet, PacketOrder

MOST_FILLED_S = 2
"""A longer jump of the RTP clock is a restarted stream, not a gap."""
SHORTEST_PACKET_SAMPLES = SAMPLE_RATE_HZ * 25 // 10_000
"""Opus packets last 2.5 ms or a multiple of that (RFC 6716, section 2.1.4)."""


class Receiver:
    """Order, decoding and gap filling of one stream."""

    def __init__(self) -> None:
        self._order = PacketOrder()
        self._decoder = OpusDecoder()
        self._expected: int | None = None
        self.packets = 0
        self.undecodable = 0
        self.filled_samples = 0

    @property
    def lost(self) -> int:
        """Packets given up."""
        return self._order.lost

    @property
    def late(self) -> int:
        """Packets that came after their turn, or twice."""
        return self._order.late

    def push(self, packet: Packet) -> bytes:
        """Take a packet; return the audio that can now be heard (often 20 ms, b"" while a gap is waited for)."""
        self.packets += 1
        return b"".join(self._decode(ready) for ready in self._order.push(packet))

    def _decode(self, packet: Packet) -> bytes:
        gap = self._gap(packet.timestamp)
        if gap:
            self._expected = packet.timestamp
        try:
            pcm = self._decoder.decode(packet.payload)
        except BadAudio:
            self.undecodable += 1
            pcm = b""
        if samples_in(pcm):
            # Resampling holds back a few samples now and then; the RTP clock is what counts.
            length = round(samples_in(pcm) / SHORTEST_PACKET_SAMPLES) * SHORTEST_PACKET_SAMPLES
            self._expected = (packet.timestamp + length * RTP_TICKS_PER_SAMPLE) % 2**32
        self.filled_samples += gap
        return bytes(gap * SAMPLE_BYTES) + pcm

    def _gap(self, timestamp: int) -> int:
        """Samples missing before this packet."""
        if self._expected is None:
            return 0
        missing = (timestamp - self._expected) % 2**32 // RTP_TICKS_PER_SAMPLE
        return missing if missing <= MOST_FILLED_S * SAMPLE_RATE_HZ else 0
