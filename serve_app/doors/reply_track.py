"""The reply on its way out of the WebRTC door: asks for 20 ms frames of PCM, hands over ready Opus packets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from deployments.contracts.audio import FRAME_MS, SILENT_FRAME
from serve_app.media.opus import RTP_CLOCK_HZ, RTP_TICKS_PER_FRAME, OpusEncoder


class ReplyTrack(MediaStreamTrack):
    """What the caller hears: asks for a frame each 20 ms and hands it over as a ready Opus packet.

    The first sound after silence leaves at once: up to 20 ms before its place on the 20 ms grid, and so does what
    follows it. Back in silence the grid is kept again, so the RTP clock never runs away from real time.
    """

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.source: Callable[[], bytes] = lambda: SILENT_FRAME
        self._encoder = OpusEncoder()
        self._due: float | None = None
        self._early_s = 0.0
        """How far before the grid the last packet left."""
        self._ticks = 0
        self._wake: asyncio.Future[None] | None = None

    def hurry(self) -> None:
        """Do not wait for the end of the 20 ms."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def recv(self) -> av.Packet:
        """The next packet, when it is due."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._due is None or now - self._due > 0.2:  # a stalled loop is not caught up with in a burst
            self._due, self._early_s = now, 0.0
        await self._sleep_until(loop, self._due - self._early_s)
        frame = self.source()
        self._early_s = 0.0 if frame == SILENT_FRAME else max(0.0, self._due - loop.time())
        self._due += FRAME_MS / 1000
        packet = av.Packet(self._encoder.encode(frame))
        packet.pts = self._ticks
        packet.time_base = Fraction(1, RTP_CLOCK_HZ)
        self._ticks += RTP_TICKS_PER_FRAME
        return packet

    async def _sleep_until(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if at <= loop.time():
            return
        self._wake = loop.create_future()
        timer = loop.call_at(at, self.hurry)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None
