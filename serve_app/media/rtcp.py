"""RTCP: the reports both ends send about a stream (RFC 3550, section 6). Pure: bytes in, bytes out.

Whatever bytes come, `parse_rtcp` returns what it understood or None and raises nothing. Packets of other types inside a
compound (feedback, XR, APP) are stepped over. Fractions are 1/256, jitter is in ticks of the stream's RTP clock, NTP
times count 1/2³² s since 1900, their middle 32 bits 1/65536 s.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

SENDER_REPORT, RECEIVER_REPORT, SDES, BYE = 200, 201, 202, 203
MOST_PACKETS = 32
"""Of one compound that are read; ordinary ones hold two or three."""
_CNAME = 1
_NTP_MINUS_UNIX_S = 2_208_988_800
_LONGEST_RTT_S = 60.0
_SENDER = struct.Struct("!QIII")
_BLOCK = struct.Struct("!IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver says about one stream it gets."""

    ssrc: int
    """The stream reported on."""
    fraction_lost: int
    """Since the last report, 0..255 of 256."""
    cumulative_lost: int
    """24 bits, signed: duplicates count against it."""
    highest_sequence: int
    """32 bits: rounds of the 16-bit counter, and the counter."""
    jitter: int
    """Ticks."""
    last_sender_report: int = 0
    """Middle of that report's NTP time; 0 = none was received."""
    since_last_sender_report: int = 0
    """1/65536 s."""


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What a sender says of itself."""

    ntp: int
    """64 bits, when the report was sent."""
    timestamp: int
    """The same moment on the RTP clock."""
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Report:
    """A sender report, or a receiver report where `sender` is None."""

    ssrc: int
    """Who reports."""
    blocks: tuple[ReportBlock, ...] = ()
    sender: SenderInfo | None = None


@dataclass(frozen=True, slots=True)
class Compound:
    """One datagram of RTCP."""

    reports: tuple[Report, ...] = ()
    names: tuple[tuple[int, bytes], ...] = ()
    """SSRC and canonical name, as sent."""
    byes: tuple[int, ...] = ()
    """Streams that end."""


def parse_rtcp(datagram: bytes) -> Compound | None:
    """What the datagram says; None when it is not RTCP or anything in it does not fit its length."""
    reports: list[Report] = []
    names: list[tuple[int, bytes]] = []
    byes: list[int] = []
    at = packets = 0
    while at < len(datagram):
        packets += 1
        if len(datagram) - at < 4 or packets > MOST_PACKETS:
            return None
        first, kind, words = struct.unpack_from("!BBH", datagram, at)
        end = at + 4 + 4 * words
        if first >> 6 != 2 or not 192 <= kind <= 223 or end > len(datagram):
            return None
        body = _unpadded(datagram[at + 4 : end], first)
        if body is None:
            return None
        at, count = end, first & 0x1F
        if kind in (SENDER_REPORT, RECEIVER_REPORT):
            report = _report(body, count, kind == SENDER_REPORT)
            if report is None:
                return None
            reports.append(report)
        elif kind == SDES:
            found = _names(body, count)
            if found is None:
                return None
            names += found
        elif kind == BYE:
            if len(body) < 4 * count:
                return None
            byes += struct.unpack_from(f"!{count}I", body)
    return Compound(tuple(reports), tuple(names), tuple(byes)) if packets else None


def build_report(
    ssrc: int, name: bytes, blocks: Sequence[ReportBlock] = (), sender: SenderInfo | None = None, bye: bool = False
) -> bytes:
    """A compound: a sender report (a receiver report without `sender`), our canonical name, and the farewell."""
    body = struct.pack("!I", ssrc)
    if sender is not None:
        body += _SENDER.pack(sender.ntp, sender.timestamp, sender.packets % 2**32, sender.octets % 2**32)
    body += b"".join(_block_bytes(block) for block in blocks[:31])
    kind = RECEIVER_REPORT if sender is None else SENDER_REPORT
    compound = _packet(kind, min(len(blocks), 31), body)
    item = bytes([_CNAME, len(name[:255])]) + name[:255]
    chunk = struct.pack("!I", ssrc) + item + bytes(4 - len(item) % 4)  # at least one zero ends the list of items
    compound += _packet(SDES, 1, chunk)
    return compound + (_packet(BYE, 1, struct.pack("!I", ssrc)) if bye else b"")


def ntp_time(unix_s: float) -> int:
    """64-bit NTP time of seconds since 1970."""
    return int((unix_s + _NTP_MINUS_UNIX_S) * 2**32) % 2**64


def middle(ntp: int) -> int:
    """The middle 32 bits of an NTP time: 1/65536 s, wraps every 18 hours."""
    return ntp >> 16 & 0xFFFFFFFF


def round_trip_s(block: ReportBlock, arrived_ntp: int) -> float | None:
    """Round trip to whoever reports on our stream (RFC 3550, section 6.4.1).

    None when it had no report of ours yet, and when its figures cannot be true (before we sent, or a minute ago).
    """
    if not block.last_sender_report:
        return None
    units = (middle(arrived_ntp) - block.last_sender_report - block.since_last_sender_report) % 2**32
    if units >= 2**31:  # a clock tick early on the same machine is no time at all; more than that is not true
        return 0.0 if 2**32 - units <= 66 else None
    seconds = units / 65536
    return seconds if seconds <= _LONGEST_RTT_S else None


def _unpadded(body: bytes, first: int) -> bytes | None:
    if not first & 0x20:
        return body
    if not body or not 0 < body[-1] <= len(body):
        return None
    return body[: -body[-1]]


def _report(body: bytes, count: int, of_sender: bool) -> Report | None:
    at = 4 + (_SENDER.size if of_sender else 0)
    if len(body) < at + count * _BLOCK.size:
        return None
    sender = SenderInfo(*_SENDER.unpack_from(body, 4)) if of_sender else None
    blocks = tuple(_block(body, at + number * _BLOCK.size) for number in range(count))
    return Report(int.from_bytes(body[:4], "big"), blocks, sender)


def _block(body: bytes, at: int) -> ReportBlock:
    ssrc, loss, highest, jitter, last, since = _BLOCK.unpack_from(body, at)
    cumulative = (loss & 0xFFFFFF ^ 0x800000) - 0x800000
    return ReportBlock(ssrc, loss >> 24, cumulative, highest, jitter, last, since)


def _block_bytes(block: ReportBlock) -> bytes:
    loss = block.fraction_lost << 24 | max(-0x800000, min(block.cumulative_lost, 0x7FFFFF)) & 0xFFFFFF
    times = (block.last_sender_report, block.since_last_sender_report)
    return _BLOCK.pack(block.ssrc, loss, block.highest_sequence, block.jitter, *times)


def _names(body: bytes, count: int) -> list[tuple[int, bytes]] | None:
    names: list[tuple[int, bytes]] = []
    at = 0
    for _ in range(count):
        if at + 4 > len(body):
            return None
        ssrc = int.from_bytes(body[at : at + 4], "big")
        at += 4
        while at < len(body) and body[at]:
            if at + 2 > len(body) or at + 2 + body[at + 1] > len(body):
                return None
            if body[at] == _CNAME:
                names.append((ssrc, body[at + 2 : at + 2 + body[at + 1]]))
            at += 2 + body[at + 1]
        at = at // 4 * 4 + 4  # past the zeros that end the items, to the next word
    return names


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body
