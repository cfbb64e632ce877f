"""RTP packets back into order. Pure: packets in as they arrive, packets out as they may be decoded.

In order, a packet leaves at once: no delay is added to a clean line. After a gap up to `most_held` packets wait for the
missing one; then it is given up. What arrives after its turn is dropped and counted as late. (The buffer that adapts to
jitter, with concealment, belongs to the media plane proper; this one only never adds delay and never keeps it.)
"""

from __future__ import annotations

from dataclasses import dataclass

RESYNC_DISTANCE = 100
"""A jump of more sequence numbers than this is a new stream, not a loss (aiortc's own MAX_MISORDER)."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What order needs of an RTP packet."""

    sequence: int
    """16 bits, wraps."""
    timestamp: int
    """32 bits, wraps; clock of 48 kHz for Opus."""
    payload: bytes


def distance(later: int, earlier: int) -> int:
    """Signed distance of two 16-bit sequence numbers."""
    return (later - earlier + 0x8000) % 0x10000 - 0x8000


class PacketOrder:
    """Order of one stream."""

    def __init__(self, most_held: int = 3) -> None:
        self._most_held = most_held
        self._next: int | None = None
        self._held: dict[int, Packet] = {}
        self.lost = 0
        self.late = 0

    def push(self, packet: Packet) -> list[Packet]:
        """Take a packet, return those whose turn has come."""
        if self._next is None or abs(distance(packet.sequence, self._next)) > RESYNC_DISTANCE:
            self._held.clear()
            self._next = packet.sequence
        ahead = distance(packet.sequence, self._next)
        if ahead < 0 or packet.sequence in self._held:
            self.late += 1
            return []
        self._held[packet.sequence] = packet
        ready = self._in_turn()
        if len(self._held) > self._most_held:
            first = min(self._held, key=lambda sequence: distance(sequence, self._next or 0))
            self.lost += distance(first, self._next)
            self._next = first
            ready += self._in_turn()
        return ready

    def _in_turn(self) -> list[Packet]:
        ready = []
        while self._next is not None and (packet := self._held.pop(self._next, None)) is not None:
            ready.append(packet)
            self._next = (self._next + 1) % 0x10000
        return ready
