"""The reply on its way into aiortc: ready Opus packets, handed over as they become due.

aiortc sends what a track's `recv` returns; given packets instead of frames it neither encodes (96 kbit/s stereo, in a
thread) nor measures loudness (in Python, sample by sample).
"""

from __future__ import annotations

import asyncio
from collections import deque
from fractions import Fraction

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from serve_app.media.libopus import RTP_CLOCK_HZ
from serve_app.media.outgoing import Outgoing

_TIME_BASE = Fraction(1, RTP_CLOCK_HZ)
_MOST_WAITING = 5
"""Packets that wait for a sender that has not started, or was held up; then the oldest are dropped."""


class ReplyTrack(MediaStreamTrack):
    """What the caller hears."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._ready: deque[av.Packet] = deque(maxlen=_MOST_WAITING)
        self._wake: asyncio.Future[None] | None = None

    def send(self, out: Outgoing) -> None:
        """Send this now."""
        packet = av.Packet(out.payload)
        packet.pts, packet.time_base = out.ticks, _TIME_BASE
        self._ready.append(packet)
        self._rouse()

    async def recv(self) -> av.Packet:
        """The next packet, when there is one."""
        while not self._ready:
            if self.readyState != "live":
                raise MediaStreamError
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._ready.popleft()

    def stop(self) -> None:
        """No more packets."""
        super().stop()
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
