"""Keys pressed on a telephone, as RTP events (RFC 4733): packets in → one `KeyPress` a key; a key → packets out. Pure.

A press is many packets with one timestamp: updates with a growing duration, then an end, sent three times. Any of them
may be lost, doubled or late. A key is told exactly once: when its end comes, when another press begins, or when nothing
more of it came for 150 ms (three of the RFC's 50 ms intervals), so `quiet` must be called now and then.
Several blocks in one packet, and presses over 8 s that are sent in segments (section 2.5.1.3), are understood.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

from deployments.contracts.errors import BadInput

KEYS = "0123456789*#ABCD"
"""By event number. Others (flash-hook, tones, trunk events) are no keys and are ignored."""
LOST_END_S = 0.15
UPDATE_MS = 20
ENDS_SENT = 3
SHORTEST_PRESS_MS, LONGEST_PRESS_MS = 40, 8_000
"""What we send: shorter is not safely recognised (ITU-T Q.24), longer would need segments."""
_BLOCK = struct.Struct("!BBH")
_MOST_BLOCKS = 8
_LONGEST_SEGMENT = 0xFFFF
_EVERY_32 = 2**32
_REMEMBERED = 16
"""Finished presses whose late packets are known again."""


@dataclass(frozen=True, slots=True)
class KeyPress:
    """A key was pressed and let go."""

    key: str
    """One of `KEYS`."""
    duration_ms: float
    """As far as its packets told."""
    volume_dbm0: int
    """0 to -63."""
    ended: bool
    """Its end was received; False when it was concluded."""


@dataclass(slots=True)
class _Open:
    event: int
    segment: int
    """Timestamp of the segment under way."""
    volume: int
    seen_s: float
    duration: int = 0
    earlier: int = 0
    """Ticks of the segments before."""


class KeyReceiver:
    """The events of one stream."""

    def __init__(self, clock_hz: int = 8_000) -> None:
        self._clock_hz = clock_hz
        self._open: _Open | None = None
        self._finished: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self.unreadable = 0
        """Payloads that are no events."""

    def packet(self, timestamp: int, payload: bytes, arrived_s: float) -> list[KeyPress]:
        """Take the payload of a packet; the presses that are known to be over now."""
        if not payload or len(payload) % _BLOCK.size or len(payload) > _MOST_BLOCKS * _BLOCK.size:
            self.unreadable += 1
            return []
        pressed: list[KeyPress] = []
        for event, flags, duration in _BLOCK.iter_unpack(payload):
            if event < len(KEYS) and (timestamp, event) not in self._finished:
                pressed += self._take(timestamp, event, flags & 0x3F, duration, arrived_s)
                if flags & 0x80:
                    pressed += self._finish(ended=True)
            timestamp = (timestamp + duration) % _EVERY_32  # the next block begins where this one ends
        return pressed

    def quiet(self, now_s: float) -> list[KeyPress]:
        """The press whose end must have been lost, if there is one."""
        if self._open is None or now_s - self._open.seen_s < LOST_END_S:
            return []
        return self._finish(ended=False)

    def _take(self, timestamp: int, event: int, volume: int, duration: int, arrived_s: float) -> list[KeyPress]:
        over: list[KeyPress] = []
        press = self._open
        if press is not None and press.event == event and timestamp == (press.segment + _LONGEST_SEGMENT) % _EVERY_32:
            self._finished.append((press.segment, event))
            press.earlier += _LONGEST_SEGMENT
            press.segment, press.duration = timestamp, 0
        elif press is None or (press.segment, press.event) != (timestamp, event):
            over = self._finish(ended=False)
            press = self._open = _Open(event, timestamp, volume, arrived_s)
        press.duration = max(press.duration, duration)
        press.seen_s = arrived_s
        return over

    def _finish(self, ended: bool) -> list[KeyPress]:
        press, self._open = self._open, None
        if press is None:
            return []
        self._finished.append((press.segment, press.event))
        duration_ms = (press.earlier + press.duration) * 1000 / self._clock_hz
        return [KeyPress(KEYS[press.event], duration_ms, -press.volume, ended)]


@dataclass(frozen=True, slots=True)
class EventPacket:
    """One packet of a press to be sent; all of them carry the timestamp at which it began."""

    at_ms: int
    """After the press began."""
    payload: bytes
    marker: bool
    """The first one has it."""


def press_packets(key: str, duration_ms: int, clock_hz: int = 8_000, volume_dbm0: int = -10) -> list[EventPacket]:
    """A press as packets, 20 ms apart; the end three times. Raises `BadInput`."""
    if len(key) != 1 or key not in KEYS:
        raise BadInput("dtmf_key", f"{key!r} is not one of {KEYS}", "media")
    if not SHORTEST_PRESS_MS <= duration_ms <= LONGEST_PRESS_MS:
        raise BadInput("dtmf_duration", f"a key is held {SHORTEST_PRESS_MS} to {LONGEST_PRESS_MS} ms", "media")
    if not -63 <= volume_dbm0 <= 0:
        raise BadInput("dtmf_volume", "the volume of a key is 0 to -63 dBm0", "media")
    event = KEYS.index(key)

    def payload(milliseconds: int, end: bool) -> bytes:
        ticks = min(milliseconds * clock_hz // 1000, _LONGEST_SEGMENT)
        return _BLOCK.pack(event, (0x80 if end else 0) - volume_dbm0, ticks)

    updates = [EventPacket(at, payload(at, False), at == UPDATE_MS) for at in range(UPDATE_MS, duration_ms, UPDATE_MS)]
    last = payload(duration_ms, True)
    ends = [EventPacket(duration_ms + number * UPDATE_MS, last, False) for number in range(ENDS_SENT)]
    return updates + ends
