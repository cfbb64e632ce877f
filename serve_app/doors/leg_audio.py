"""The audio of one leg, whichever door it came through: packets in, frames to the session; its voice out as packets.

The door hands over what it receives (`push`) and is handed what is to be sent; in between are the jitter buffer, the
codec and the host's clock. Nothing here knows of ICE, SIP or sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from deployments.contracts.audio import HeardAudio
from serve_app.doors.host_clock import HostClock, Seat
from serve_app.media.browser_stats import BrowserStats
from serve_app.media.codec import Decoder, Encoder
from serve_app.media.incoming import Incoming
from serve_app.media.jitter import Packet
from serve_app.media.outgoing import Outgoing, OutgoingStream
from serve_app.media.quality import LegCounters, LegQuality, QualityAlarm, leg_quality

WAITING_FRAMES = 100
"""Two seconds; a session that falls further behind loses audio, counted in `overrun`."""


class HeardQueue:
    """What the caller said and the session has not taken yet; outlives a leg that is replaced by another."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[HeardAudio | None] = asyncio.Queue(WAITING_FRAMES)
        self._over = False
        self.overrun = 0
        """Pieces dropped because nobody took them."""

    def put(self, pcm: bytes) -> None:
        """A piece of audio has come."""
        if self._over:
            return
        if self._pieces.full():
            self.overrun += 1
        else:
            self._pieces.put_nowait(HeardAudio(pcm, time.monotonic()))

    def end(self) -> None:
        """No more will come."""
        if not self._over:
            self._over = True
            if self._pieces.full():
                self._pieces.get_nowait()
            self._pieces.put_nowait(None)

    async def pieces(self) -> AsyncIterator[HeardAudio]:
        """Until the end; for one reader."""
        while (audio := await self._pieces.get()) is not None:
            yield audio


class LegAudio:
    """One leg's. `send` must not block."""

    def __init__(
        self,
        codec: str,
        decoder: Decoder,
        encoder: Encoder,
        clock: HostClock,
        heard: HeardQueue,
        send: Callable[[Outgoing], None],
    ) -> None:
        """`codec` is a key of `quality.CODECS`."""
        self.codec = codec
        self.incoming = Incoming(decoder)
        self.outgoing = OutgoingStream(encoder)
        self.browser: BrowserStats | None = None
        """What the other end last said it hears."""
        self.rtt_ms: float | None = None
        self.alarm = QualityAlarm()
        self._clock = clock
        self._heard = heard
        self._send = send
        self._seat: Seat | None = None
        self._before: LegCounters | None = None

    def start(self) -> None:
        """Media can flow."""
        if self._seat is None:
            self._seat = self._clock.join(self._tick)
            self._before = self._counters()

    def stop(self) -> None:
        """Safe to call twice, and before `start`."""
        if self._seat is not None:
            self._seat.leave()
            self._seat = None

    def push(self, packet: Packet) -> None:
        """A packet has come. Never raises for what it holds."""
        pcm = self.incoming.push(packet, time.monotonic())
        if pcm:
            self._heard.put(pcm)

    def hurry(self) -> None:
        """There is something to say after silence: now, not at the end of the frame."""
        if self._seat is not None and self.outgoing.quiet:
            self._seat.hurry()

    def quality(self) -> LegQuality | None:
        """How the line was since this was asked last; None before media flow."""
        if self._before is None:
            return None
        now = self._counters()
        report = leg_quality(self._before, now, self.codec, self.browser)
        self._before, self.browser = now, None
        self.alarm.interval(report.mos)
        return report

    def _tick(self, now_s: float) -> None:
        pcm = self.incoming.tick(now_s)
        if pcm:
            self._heard.put(pcm)
        out = self.outgoing.next(now_s)
        if out is not None:
            self._send(out)

    def _counters(self) -> LegCounters:
        incoming, buffer = self.incoming, self.incoming.buffer
        recovered = min(buffer.lost, incoming.fec_packets)
        return LegCounters(
            at_s=time.monotonic(),
            received=buffer.received - buffer.duplicate - buffer.late - buffer.refused,
            recovered=recovered,
            lost=buffer.lost - recovered,
            bursts=buffer.gaps,
            concealed_samples=incoming.concealed_samples,
            fec_samples=incoming.fec_samples,
            jitter_ms=buffer.jitter_ms,
            buffer_ms=buffer.delay_ms,
            rtt_ms=self.rtt_ms,
        )
