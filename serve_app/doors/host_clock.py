"""One timer for all legs of a host: each is called every 20 ms.

Legs sit in four rows that are called 5 ms apart, so that fifty frames are not encoded in one go while the loop's other
work waits. A leg that has something to say after silence is called at once and moves to the row of that moment: the
first sound of an answer does not wait for the end of a frame. The delay of the calls is the lag of the loop, which is
what admission looks at.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

ROWS = 4
ROW_S = 0.005
MOST_MADE_UP_S = 0.06
LAGS_KEPT = 1_000
"""Five seconds with a leg in every row."""

Tick = Callable[[float], None]
"""Told the time. Must not block, and not raise."""


class Seat:
    """A leg's place. Made by `HostClock.join`."""

    __slots__ = ("_clock", "not_before_s", "row", "tick")

    def __init__(self, clock: HostClock, tick: Tick, row: int) -> None:
        self._clock = clock
        self.tick = tick
        self.row = row
        self.not_before_s = 0.0

    def hurry(self) -> None:
        """Call now, and every 20 ms from now on."""
        self._clock.hurry(self)

    def leave(self) -> None:
        """No call any more. Safe to call twice."""
        self._clock.leave(self)


class HostClock:
    """For one event loop. The timer runs only while somebody sits."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, monotonic; what legs are told."""
        self._clock = clock
        self._rows: list[dict[Seat, None]] = [{} for _ in range(ROWS)]
        self._timer: asyncio.TimerHandle | None = None
        self._slot = 0
        """Number of the 5 ms slot that is called next; its row is the remainder by `ROWS`."""
        self._lags_s: deque[float] = deque(maxlen=LAGS_KEPT)
        self.skipped = 0
        """Slots that were passed over because the loop was busy for 20 ms and more."""

    @property
    def legs(self) -> int:
        """How many sit."""
        return sum(map(len, self._rows))

    def lag_ms(self, share: float = 0.99) -> float:
        """Lag that this share of the latest calls did not exceed; 0 before any call."""
        if not self._lags_s:
            return 0.0
        ordered = sorted(self._lags_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    def join(self, tick: Tick) -> Seat:
        """Call `tick` every 20 ms from now on."""
        row = min(range(ROWS), key=lambda number: len(self._rows[number]))
        seat = Seat(self, tick, row)
        self._rows[row][seat] = None
        if self._timer is None:
            now_s = self._clock()
            self._slot = int(now_s / ROW_S) + 1
            self._timer = asyncio.get_running_loop().call_later(self._slot * ROW_S - now_s, self._call)
        return seat

    def leave(self, seat: Seat) -> None:
        """See `Seat.leave`."""
        self._rows[seat.row].pop(seat, None)
        if self._timer is not None and not self.legs:
            self._timer.cancel()
            self._timer = None

    def hurry(self, seat: Seat) -> None:
        """See `Seat.hurry`."""
        if seat not in self._rows[seat.row]:
            return
        now_s = self._clock()
        del self._rows[seat.row][seat]
        seat.row = round(now_s / ROW_S) % ROWS
        seat.not_before_s = now_s + (ROWS - 1) * ROW_S  # its row may be called a moment from now
        self._rows[seat.row][seat] = None
        seat.tick(now_s)

    def _call(self) -> None:
        """Call every row that is due. A loop that was held up makes up for three frames, and lets go of the rest."""
        now_s = self._clock()
        self._lags_s.append(now_s - self._slot * ROW_S)
        too_late = int((now_s - self._slot * ROW_S - MOST_MADE_UP_S) / ROW_S)
        if too_late > 0:
            missed = -(-too_late // ROWS) * ROWS  # whole rounds: every leg loses as much as the others
            self._slot += missed
            self.skipped += missed
        while self._slot * ROW_S <= now_s:
            for seat in list(self._rows[self._slot % ROWS]):
                if now_s >= seat.not_before_s:
                    seat.tick(now_s)
            self._slot += 1
        if self.legs:
            loop = asyncio.get_running_loop()
            # From now, by our clock: uvloop's own stands still while callbacks run.
            self._timer = loop.call_later(max(0.0, self._slot * ROW_S - self._clock()), self._call)
        else:
            self._timer = None
