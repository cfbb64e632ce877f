"""A caller's line: one WebRTC call to a Dukat server, from `POST /v1/calls` to hanging up.

In: prepared speech to say, text to send. Out: what is heard (times of sound, a recording) and the server's events.
Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from deployments.contracts.errors import CallOver, DukatError, StageFailed, StageTimeout
from serve_app.caller.ear import SILENCE_S, Ear, Tape, stereo
from serve_app.caller.microphone import Microphone, Spoken
from serve_app.caller.peer import new_peer
from serve_app.caller.signalling import CallServer
from serve_app.caller.speech import Speech

log = logging.getLogger(__name__)

STAGE = "caller"
CHANNEL = "events"
CLOSE_S = 5.0
"""What closing the connection, and telling the server, may take."""


class CallerLine:
    """One call. `connect` once, `close` at the end whatever happened; or use as an async context manager."""

    def __init__(
        self,
        *,
        host_addresses: tuple[str, ...] = (),
        record_s: float = 600.0,
        media_timeout_s: float = 10.0,
        most_events: int = 10_000,
    ) -> None:
        """`host_addresses`: own ICE candidates, empty = those of the machine's interfaces; loopback must be named."""
        self._host_addresses = host_addresses
        self._media_timeout_s = media_timeout_s
        zero_s = time.monotonic()
        self._caller_tape, self._agent_tape = Tape(record_s), Tape(record_s)
        self.ear = Ear(zero_s, self._agent_tape)
        self.microphone = Microphone(zero_s, self._caller_tape, self._watch_media)
        self._peer: RTCPeerConnection | None = None
        self._server: CallServer | None = None
        self._events: deque[dict[str, Any]] = deque(maxlen=most_events)
        self._news = asyncio.Event()
        self._sound = asyncio.Event()
        self._settled = asyncio.Event()
        self._connected_s: float | None = None
        self._leaving = False
        self.events_dropped = 0
        """Events that were pushed out by newer ones because nobody read them."""
        self.location: str | None = None
        self.setup_ms: float | None = None
        """From the beginning of `connect` to an open media and event connection."""
        self.end_reason: str | None = None
        """None while the line is up; then `hung_up`, `server_closed`, `connection_failed` or `server_lost`."""

    # ------------------------------------------------------------ up and down

    async def connect(self, url: str, tenant: str, token: str | None = None, timeout_s: float = 15.0) -> None:
        """Call. Raises `StageFailed`, `StageTimeout`, or the server's refusal; the line is closed then."""
        began_s = time.monotonic()
        step = "no answer to the offer"
        try:
            self._server = CallServer(url, token, timeout_s)
            self._peer = self._open_peer()
            async with asyncio.timeout(timeout_s):
                await self._peer.setLocalDescription(await self._peer.createOffer())
                answered = await self._server.offer(self._peer.localDescription.sdp, tenant)
                self.location = answered.location
                step = "no media connection; can UDP pass both ways?"
                await self._accept(answered.answer_sdp)
                await self._settled.wait()
            if self.end_reason is not None:
                raise StageFailed("connection_failed", f"no media connection: {self.end_reason}", STAGE)
        except BaseException as error:
            await self.hang_up()
            if isinstance(error, TimeoutError):
                raise StageTimeout("connect_timeout", f"{step} (waited {timeout_s:g} s)", STAGE) from error
            raise
        # The handshake holds the loop up; how punctual we are counts from here.
        self.microphone.worst_delay_s = 0.0
        self._connected_s = time.monotonic()
        self.setup_ms = (self._connected_s - began_s) * 1000

    async def state(self) -> dict[str, Any]:
        """The server's view of the call: its state and its ledger."""
        if self._server is None or self.location is None:
            raise CallOver("not_connected", "there is no call", STAGE)
        return await self._server.state(self.location)

    async def hang_up(self) -> bool:
        """End the call at the server, then `close`. False when the server could not be told."""
        told, self._leaving = False, True
        if self._server is not None and self.location is not None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._server.hang_up(self.location)
                told = True
            except (DukatError, TimeoutError) as error:
                log.info("caller.hang_up_not_told", extra={"reason": str(error)})
        await self.close()
        return told

    async def close(self) -> None:
        """Drop the line without a word. Safe to call at any time, and twice."""
        self._leaving = True
        self._go_down("hung_up")
        peer, self._peer = self._peer, None
        server, self._server = self._server, None
        self.microphone.stop()
        if server is not None:
            await server.close()
        if peer is not None:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await peer.close()
            except TimeoutError:
                log.warning("caller.close_timeout", extra={"timeout_s": CLOSE_S})

    async def __aenter__(self) -> CallerLine:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------ during the call

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The server's events in order, until the line is down; for one reader."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self.end_reason is not None:
                return
            self._news.clear()
            await self._news.wait()

    def send_text(self, text: str) -> None:
        """Type instead of speaking. Raises `CallOver`."""
        self._require_up()
        self._channel.send(json.dumps({"type": "caller.text", "text": text}, ensure_ascii=False))

    def play(self, speech: Speech) -> asyncio.Future[Spoken]:
        """Say it; done when the last voiced packet was sent. Raises `CallOver`, and so may the future."""
        self._require_up()
        return self.microphone.say(speech)

    async def wait_quiet(self, quiet_s: float = SILENCE_S) -> None:
        """Until nothing was heard for so long, or the line is down."""
        while self.end_reason is None and self.ear.last_sound_s is not None:
            left_s = self.ear.last_sound_s + quiet_s - time.monotonic()
            if left_s <= 0:
                return
            await asyncio.sleep(left_s)

    async def wait_sound(self, after_s: float) -> float:
        """Arrival of the first sound later than `after_s`. Raises `CallOver` when the line ends without any."""
        while (heard_s := self.ear.first_sound_after(after_s)) is None:
            self._require_up()
            self._sound.clear()
            await self._sound.wait()
        return heard_s

    def recording(self) -> bytes:
        """The call so far, stereo s16le at 16 kHz: caller left, agent right, on one clock."""
        return stereo(self._caller_tape, self._agent_tape)

    # ------------------------------------------------------------ inside

    def _open_peer(self) -> RTCPeerConnection:
        peer = new_peer(self.microphone, self._host_addresses, self._on_packet)
        self._channel = peer.createDataChannel(CHANNEL)
        self._channel.on("open", self._settled.set)
        self._channel.on("message", self._on_message)

        @peer.on("connectionstatechange")
        def changed() -> None:
            if peer.connectionState == "failed":
                self._go_down("connection_failed")
            elif peer.connectionState == "closed":
                self._go_down("server_closed")

        return peer

    async def _accept(self, answer_sdp: str) -> None:
        assert self._peer is not None
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(answer_sdp, "answer"))
        except Exception as error:  # aiortc raises ValueError, AssertionError, KeyError and others at bad SDP
            raise StageFailed("answer_unreadable", f"the SDP answer cannot be used: {error}", STAGE) from error

    def _on_packet(self, packet: RtpPacket, arrival_s: float) -> None:
        if self.ear.hear(packet.sequence_number, packet.timestamp, packet.payload, arrival_s):
            self._sound.set()

    def _on_message(self, message: str | bytes) -> None:
        try:
            event = json.loads(message)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            log.warning("caller.event_unreadable", extra={"bytes": len(message)})
            return
        self.events_dropped += len(self._events) == self._events.maxlen
        self._events.append(event)
        self._news.set()

    def _watch_media(self, now_s: float) -> None:
        if self._connected_s is None:
            return
        last_s = max(self._connected_s, self.ear.last_arrival_s or 0.0)
        if now_s - last_s > self._media_timeout_s:
            self._go_down("server_lost")

    def _require_up(self) -> None:
        if self.end_reason is not None or self._connected_s is None:
            raise CallOver("line_ended", f"the line is down: {self.end_reason or 'not connected'}", STAGE)

    def _go_down(self, reason: str) -> None:
        if self.end_reason is None:
            # The server closes its end when it is told that we hang up; that was still us.
            self.end_reason = "hung_up" if self._leaving else reason
            self.microphone.silence(reason)
        for waiting in (self._settled, self._news, self._sound):
            waiting.set()
