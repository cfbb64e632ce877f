"""RTP packets of one sender back into order, at the least delay. Pure: time is an argument, in seconds of any clock.

The listener is a machine: a recogniser counts samples and does not mind when they come. So, unlike in a telephone,
there is no playout delay: a packet in its turn leaves at once, however irregular the line is. Only a *gap* makes the
packets behind it wait, for at most the patience of 20 to 200 ms (`punctuality.py`); then what is missing is given up.

What arrives after its turn is late, and stays lost. Another SSRC, or a number more than 100 away, is a new stream once
a second packet confirms it (one stray packet is dropped); unless the RTP clock says that the numbers between were sent
and lost. How much audio is missing where packets are, only the timestamps tell (`rtp_clock.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from serve_app.media.punctuality import Punctuality

RESYNC_DISTANCE = 100
"""A jump of more numbers than this is a new stream, not a loss (RFC 3550 appendix A.1 calls it MAX_MISORDER)."""
MOST_WAITING_S = 0.5
"""Audio that may wait behind a gap: a burst after a stall brings much at once, and time alone would not bound it."""
MOST_WAITING_BYTES = 64 * 1024

_CLOSE_S = 0.001  # so near the end of patience the next packet or tick is not awaited: it would be 20 ms more
_CONFIRM_DISTANCE = 5
_REMEMBERED_MISSES = 256
_SHORTEST_PACKET_S = 0.0025  # of Opus (RFC 6716); other codecs use 10 ms and more


@dataclass(frozen=True, slots=True)
class Packet:
    """What this needs of an RTP packet."""

    sequence: int
    """16 bits, wraps."""
    timestamp: int
    """32 bits, wraps; ticks of the payload's RTP clock."""
    payload: bytes
    """b"" for a packet without audio (padding, a telephone-event): it takes its turn and leaves no gap."""
    marker: bool = False
    ssrc: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A packet whose turn has come."""

    packet: Packet
    arrived_s: float
    lost: int = 0
    """Packets given up between the one before and this one."""


def distance(later: int, earlier: int) -> int:
    """Signed distance of two 16-bit sequence numbers."""
    return (later - earlier + 0x8000 & 0xFFFF) - 0x8000


class JitterBuffer:
    """Order of one sender's packets, whose timestamps count `clock_hz`."""

    def __init__(self, clock_hz: int, *, least_patience_s: float = 0.02, most_patience_s: float = 0.2) -> None:
        self._clock_hz = clock_hz
        self._punctuality = Punctuality(clock_hz, least_patience_s, most_patience_s)
        self._ssrc: int | None = None
        self._next = 0
        """Number whose turn it is."""
        self._newest = 0
        """Greatest number taken; while packets wait it is one of them."""
        self._timestamp, self._handed_on_s = 0, 0.0
        """Of the latest audio handed on, and when it arrived."""
        self._waiting: dict[int, tuple[Packet, float]] = {}
        self._waiting_bytes = 0
        self._missed: dict[int, float] = {}
        """Number → when it was first overtaken; kept a while after it was given up, to tell late from duplicate."""
        self._stranger: tuple[Packet, float] | None = None
        self._now_s = 0.0
        self.received = 0
        self.lost = 0
        """Given up; those that came late among them."""
        self.gaps = 0
        """Runs of consecutive packets given up."""
        self.late = 0
        self.duplicate = 0
        self.reordered = 0
        """Overtaken by others, but in time."""
        self.resyncs = 0
        self.refused = 0
        """Strays, and what found no room."""
        self.delay_ms = 0.0
        """How long the packets handed on last had waited, the longest of them."""

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter of RFC 3550 section 6.4.1."""
        return self._punctuality.jitter_s * 1000

    @property
    def patience_ms(self) -> float:
        """How long a missing packet is waited for at present."""
        return self._punctuality.patience_s(self._now_s) * 1000

    @property
    def stall_s(self) -> float:
        """By how much a packet came too late after the one before it, at the most in the last 10 s."""
        return self._punctuality.stall_s(self._now_s)

    @property
    def waiting(self) -> int:
        """Packets that wait for one before them."""
        return len(self._waiting)

    @property
    def next_deadline_s(self) -> float | None:
        """When `take` will give up what is missing; None while nothing waits."""
        if not self._waiting:
            return None
        return self._missed.get(self._next, 0.0) + self._punctuality.patience_s(self._now_s)

    def push(self, packet: Packet, arrival_s: float) -> list[Due]:
        """Take a packet; return those whose turn has come."""
        self.received += 1
        self._now_s = max(arrival_s, self._now_s)
        if self._ssrc is None:
            self._begin(packet)
        sequence = packet.sequence
        ahead = distance(sequence, self._next)
        if packet.ssrc != self._ssrc or abs(ahead) > RESYNC_DISTANCE:
            if packet.ssrc != self._ssrc or not self._is_outage(ahead, packet.timestamp):
                return self._strange(packet)
            return [*self._flush(), self._in_order(packet, distance(sequence, self._next))]
        if self._stranger is not None:
            self._stranger = None
            self.refused += 1
        if ahead < 0 or sequence in self._waiting:
            self._note_spare(sequence)
            return []
        if ahead == 0 and not self._waiting:
            return [self._in_order(packet, 0)]
        if self._waiting_bytes + len(packet.payload) > MOST_WAITING_BYTES:
            self.refused += 1
        else:
            self._wait(packet, self._now_s)
        return self.take(self._now_s)

    def take(self, now_s: float) -> list[Due]:
        """What may leave by now, without a new packet."""
        self._now_s = max(now_s, self._now_s)
        due: list[Due] = []
        while self._waiting:
            if self._next in self._waiting:
                due.append(self._first_waiting(0))
            elif self._now_s >= (self.next_deadline_s or 0.0) - _CLOSE_S or self._waiting_s() > MOST_WAITING_S:
                due.append(self._first_waiting(self._first_gap()))
            else:
                break
        if due:
            self.delay_ms = (self._now_s - min(each.arrived_s for each in due)) * 1000
        return due

    def _in_order(self, packet: Packet, lost: int) -> Due:
        """A packet that need not wait."""
        self._newest = packet.sequence
        if packet.payload:
            self._punctuality.note(packet.timestamp, self._now_s)
        self.delay_ms = 0.0
        return self._hand_on(packet, self._now_s, lost)

    def _begin(self, packet: Packet) -> None:
        self._ssrc = packet.ssrc
        self._next = packet.sequence
        self._newest = packet.sequence - 1 & 0xFFFF
        self._missed.clear()
        self._timestamp, self._handed_on_s = packet.timestamp, self._now_s
        self._punctuality.restart()

    def _is_outage(self, ahead: int, timestamp: int) -> bool:
        """Whether by both clocks there was time to send and lose so many packets: the stream goes on after it."""
        sent_s = (timestamp - self._timestamp & 0xFFFFFFFF) / self._clock_hz
        return 0 < ahead * _SHORTEST_PACKET_S <= sent_s <= self._now_s - self._handed_on_s + MOST_WAITING_S

    def _strange(self, packet: Packet) -> list[Due]:
        """A packet of another stream: that begins with the second of it, after everything that still waits."""
        first, self._stranger = self._stranger, (packet, self._now_s)
        if first is None:
            return []
        ahead = distance(packet.sequence, first[0].sequence)
        if first[0].ssrc != packet.ssrc or not 0 < abs(ahead) <= _CONFIRM_DISTANCE:
            self.refused += 1
            return []
        due = self._flush()
        self._stranger = None
        self.resyncs += 1
        pair = (first, (packet, self._now_s)) if ahead > 0 else ((packet, self._now_s), first)
        self._begin(pair[0][0])
        for each, arrived_s in pair:
            self._wait(each, arrived_s)
        return due + self.take(self._now_s)

    def _flush(self) -> list[Due]:
        """Everything that waits, whatever is missing."""
        due = []
        while self._waiting:
            due.append(self._first_waiting(self._first_gap()))
        return due

    def _wait(self, packet: Packet, arrival_s: float) -> None:
        sequence = packet.sequence
        beyond = distance(sequence, self._newest)
        if beyond > 0:
            for missing in range(1, beyond):
                self._missed[self._newest + missing & 0xFFFF] = arrival_s
            while len(self._missed) > _REMEMBERED_MISSES:
                del self._missed[next(iter(self._missed))]
            self._newest = sequence
        else:
            self.reordered += 1
            self._punctuality.note_overtaken(self._missed.pop(sequence, arrival_s), arrival_s)
        if packet.payload:
            self._punctuality.note(packet.timestamp, arrival_s)
        self._waiting[sequence] = (packet, arrival_s)
        self._waiting_bytes += len(packet.payload)

    def _note_spare(self, sequence: int) -> None:
        """A packet that is not needed any more: late if it was missed once, else a duplicate."""
        missed_s = None if sequence in self._waiting else self._missed.pop(sequence, None)
        if missed_s is None:
            self.duplicate += 1
        else:
            self.late += 1
            self._punctuality.note_overtaken(missed_s, self._now_s)

    def _first_gap(self) -> int:
        """Packets missing before the first that waits."""
        return min(distance(sequence, self._next) for sequence in self._waiting)

    def _first_waiting(self, lost: int) -> Due:
        packet, arrived_s = self._waiting.pop(self._next + lost & 0xFFFF)
        self._waiting_bytes -= len(packet.payload)
        return self._hand_on(packet, arrived_s, lost)

    def _waiting_s(self) -> float:
        """From the audio handed on to the newest that waits, by the sender's clock; one gone mad counts as none."""
        ticks = self._waiting[self._newest][0].timestamp - self._timestamp & 0xFFFFFFFF
        return ticks / self._clock_hz if ticks < 0x80000000 else 0.0

    def _hand_on(self, packet: Packet, arrived_s: float, lost: int) -> Due:
        self._next = packet.sequence + 1 & 0xFFFF
        if lost:
            self.lost += lost
            self.gaps += 1
        if packet.payload:
            self._timestamp, self._handed_on_s = packet.timestamp, arrived_s
        return Due(packet, arrived_s, lost)
