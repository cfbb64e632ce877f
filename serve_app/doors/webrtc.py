"""The WebRTC door: an SDP offer becomes a `CallPort`.

A line outlives its connections: a caller whose network has changed sends a new offer for the same call, and when that
connection is up it takes the place of the old one. (aiortc cannot restart ICE on a connection that runs.)
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from configs.settings import Media
from deployments.contracts.audio import SILENT_FRAME, HeardAudio
from deployments.contracts.errors import CallOver, StageBusy
from serve_app.doors.host_clock import HostClock
from serve_app.doors.leg_audio import HeardQueue, LegAudio
from serve_app.doors.messages import UNREADABLE, read_message
from serve_app.doors.webrtc_leg import WebRtcLeg
from serve_app.media.browser_stats import browser_stats

MOST_UNSENT_EVENTS = 256


class WebRtcLine:
    """A `CallPort` over one WebRTC connection after the other."""

    def __init__(self, media: Media, clock: HostClock) -> None:
        self._media = media
        self._clock = clock
        self.heard = HeardQueue()
        self._leg = self._new_leg()
        self._next_leg: WebRtcLeg | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._source: Callable[[], bytes] = lambda: SILENT_FRAME
        self._unsent: deque[str] = deque(maxlen=MOST_UNSENT_EVENTS)
        self._handler: Callable[[dict[str, object]], None] = lambda message: None
        self.connected = asyncio.Event()
        self.gone = asyncio.Event()
        self.renewed = 0
        """How often another connection has taken over."""

    @property
    def audio(self) -> LegAudio:
        """The current connection's."""
        return self._leg.audio

    def _new_leg(self) -> WebRtcLeg:
        return WebRtcLeg(self._media, self._clock, self.heard, self._leg_changed, self._channel_opened)

    # ------------------------------------------------------------ connections

    async def answer(self, offer: str) -> str:
        """Accept the first offer; returns the SDP answer with all candidates. Raises `BadOffer`."""
        try:
            return await self._leg.answer(offer)
        except BaseException:
            self._hang_up()
            raise

    async def renew(self, offer: str) -> str:
        """Accept another offer for the same call. Raises `BadOffer`, `StageBusy`, `CallOver`; the old line stays."""
        if self.gone.is_set():
            raise CallOver("call_over", "this call has ended", "door")
        if self._next_leg is not None:
            raise StageBusy("renewal_under_way", "an offer before this one has not connected yet", "door")
        leg = self._next_leg = self._new_leg()
        try:
            answer = await leg.answer(offer)
        except BaseException:
            self._next_leg = None
            raise
        asyncio.get_running_loop().call_later(self._media.connect_timeout_s, self._give_up, leg)
        return answer

    def _give_up(self, leg: WebRtcLeg) -> None:
        """It has not connected in time: the next offer may come."""
        if leg is self._next_leg:
            self._next_leg = None
            self._close_later(leg)

    async def add_candidates(self, fragment: str) -> None:
        """Trickle ICE for the newest connection. Raises `BadOffer`."""
        await (self._next_leg or self._leg).add_candidates(fragment)

    async def connect(self) -> None:
        """Wait until media can flow. Raises `CallOver` when the line is closed before."""
        waits = [asyncio.create_task(self.connected.wait()), asyncio.create_task(self.gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not self.connected.is_set():
            raise CallOver("not_connected", "the line was closed before media could flow", "door")

    def _leg_changed(self, leg: WebRtcLeg) -> None:
        if leg is self._next_leg:
            self._next_leg = None
            if leg.connected and not leg.gone:
                old, self._leg = self._leg, leg
                self.renewed += 1
                leg.audio.outgoing.source = self._source
                self.connected.set()
                self._close_later(old)
            else:
                self._close_later(leg)
        elif leg is self._leg and leg.gone:
            if self._next_leg is None:
                self._hang_up()
        elif leg is self._leg:
            self.connected.set()

    def _close_later(self, leg: WebRtcLeg) -> None:
        task = asyncio.create_task(leg.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # ------------------------------------------------------------ CallPort: sound

    async def frames(self) -> AsyncIterator[HeardAudio]:
        """What the caller says, until the line closes."""
        async for audio in self.heard.pieces():
            yield audio

    def play_from(self, source: Callable[[], bytes]) -> None:
        """Ask `source` for each frame from now on."""
        self._source = self._leg.audio.outgoing.source = source

    def hurry(self) -> None:
        """Ask for the next frame now."""
        self._leg.audio.hurry()

    def clear(self) -> None:
        """RTP has no remote buffer that could be cleared."""

    def unheard_s(self) -> float:
        """Seconds since anything came from the caller's side."""
        return self._leg.unheard_s()

    async def quality(self) -> dict[str, object] | None:
        """How the line was since this was asked last."""
        audio = self._leg.audio
        await self._leg.read_reports()
        report = audio.quality()
        return None if report is None else {**report.public(), "alarm": audio.alarm.raised}

    # ------------------------------------------------------------ CallPort: events

    def send_event(self, event: dict[str, object]) -> None:
        """Send an event on the data channel; until the caller's client has opened it the newest 256 are kept."""
        text = json.dumps(event, ensure_ascii=False)
        channel = self._leg.channel
        if channel is None:
            self._unsent.append(text)
        elif channel.readyState == "open":
            channel.send(text)

    def on_message(self, handler: Callable[[dict[str, object]], None]) -> None:
        """Hand each message of the data channel to `handler`."""
        self._handler = handler

    def _channel_opened(self, leg: WebRtcLeg, channel: Any) -> None:
        channel.on("message", lambda raw: self._on_raw_message(leg, raw))
        if leg is self._leg:
            while self._unsent:
                channel.send(self._unsent.popleft())

    def _on_raw_message(self, leg: WebRtcLeg, raw: object) -> None:
        message = read_message(raw)
        if message is None:
            self.send_event(UNREADABLE)
        elif message.get("type") == "caller.stats":
            leg.audio.browser = browser_stats(message) or leg.audio.browser
        else:
            self._handler(message)

    # ------------------------------------------------------------ the end

    def _hang_up(self) -> None:
        self.gone.set()
        self.heard.end()

    async def close(self) -> None:
        """End the line; safe to call twice, and never raises."""
        self._hang_up()
        if self._next_leg is not None:
            await self._next_leg.close()
        await self._leg.close()
        if self._closing:
            await asyncio.wait(set(self._closing))
