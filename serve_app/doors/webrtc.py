"""The WebRTC door: an SDP offer becomes a `CallPort`.

aiortc does ICE, DTLS, SRTP and SDP; the audio path is ours: packets are decoded on the loop as they arrive (aiortc
holds them 80 ms and hops through a thread per call), and the reply is handed over as ready Opus packets. For that,
private attributes of aiortc 1.16.0 are used; the version is pinned, and `tests/serve_app/doors/test_webrtc.py` names
them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import aioice.ice
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtcrtpreceiver import RTCRtpReceiver, StreamStatistics
from aiortc.rtp import RtpPacket
from aiortc.sdp import candidate_from_sdp

from configs.settings import Media
from deployments.contracts.audio import HeardAudio
from deployments.contracts.errors import BadOffer, CallOver
from serve_app.doors.messages import UNREADABLE, read_message
from serve_app.doors.reply_track import ReplyTrack
from serve_app.media.opus import RTP_CLOCK_HZ
from serve_app.media.packet_order import Packet
from serve_app.media.receiver import Receiver

log = logging.getLogger(__name__)

WAITING_FRAMES = 100
"""Two seconds; a session that falls further behind loses audio, counted in `overrun`."""
MOST_TRICKLED = 100
"""Candidates taken after the offer; each is probed from here, so a caller may not name them without end."""
CLOSE_S = 5.0
"""What closing the connection may take."""
LAST_EVENT_S = 0.3
"""What sending the last events may take before that: they tell the caller's client why the call ended."""

_interface_addresses = aioice.ice.get_host_addresses


def offer_host_addresses(media: Media) -> None:
    """Make ICE gather the configured addresses. aioice itself never gathers loopback."""

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        wanted = list(media.host_addresses) or list(_interface_addresses(use_ipv4, use_ipv6))
        return [*wanted, "127.0.0.1"] if media.loopback and "127.0.0.1" not in wanted else wanted

    aioice.ice.get_host_addresses = addresses


class WebRtcLine:
    """A `CallPort` over one RTCPeerConnection."""

    def __init__(self, media: Media) -> None:
        servers = [RTCIceServer(urls=url) for url in media.stun_urls]
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._track = ReplyTrack()
        self._receiver = Receiver()
        self._heard: asyncio.Queue[HeardAudio | None] = asyncio.Queue(WAITING_FRAMES)
        self._channel: Any = None
        self._unsent: deque[str] = deque(maxlen=256)
        self._handler: Callable[[dict[str, object]], None] = lambda message: None
        self._closed = False
        self._trickled = 0
        self.connected = asyncio.Event()
        self.gone = asyncio.Event()
        self.overrun = 0
        self._peer.on("datachannel", self._on_channel)
        self._peer.on("connectionstatechange", self._on_state)

    @property
    def receiver(self) -> Receiver:
        """Counters of the incoming stream."""
        return self._receiver

    async def answer(self, offer: str) -> str:
        """Accept the offer; returns the SDP answer with all candidates. Raises `BadOffer`."""
        try:
            # Made before the offer is applied, so that only Opus is agreed on: the reply is ready Opus packets, and an
            # offer that prefers G.711 would have them sent under its payload type.
            voice = self._peer.addTransceiver(self._track, direction="sendrecv")
            codecs = RTCRtpSender.getCapabilities("audio").codecs
            voice.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == "audio/opus"])
            self._take_packets(voice.receiver)
            await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for transceiver in self._peer.getTransceivers():
                if transceiver is not voice:
                    transceiver.direction = "inactive"
            await self._peer.setLocalDescription(await self._peer.createAnswer())
        except Exception as error:  # aiortc raises ValueError, InvalidStateError, AttributeError … for odd offers
            await self.close()
            log.info("offer_refused", exc_info=error)
            raise BadOffer("offer_unusable", f"no answer can be given to this offer: {error}", "door") from error
        except BaseException:  # the client left while candidates were gathered
            await self.close()
            raise
        return str(self._peer.localDescription.sdp)

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

    async def add_candidates(self, fragment: str) -> None:
        """Trickle ICE (RFC 8840): an SDP fragment with `a=mid` and `a=candidate` lines. Raises `BadOffer`."""
        mid = None
        try:
            for line in fragment.splitlines():
                if line.startswith("a=mid:"):
                    mid = line[6:].strip()
                elif line.startswith("a=candidate:"):
                    self._trickled += 1
                    if self._trickled > MOST_TRICKLED:
                        raise BadOffer("candidates_too_many", f"at most {MOST_TRICKLED} a call", "door", 413)
                    candidate = candidate_from_sdp(line[len("a=candidate:") :])
                    candidate.sdpMid = mid if mid is not None else "0"
                    await self._peer.addIceCandidate(candidate)
        except BadOffer:
            raise
        except Exception as error:  # candidate_from_sdp asserts and indexes its way through
            raise BadOffer(
                "candidate_unreadable", "the body has an ICE candidate that cannot be read", "door"
            ) from error

    def _take_packets(self, receiver: RTCRtpReceiver) -> None:
        statistics: dict[int, StreamStatistics] = getattr(receiver, "_RTCRtpReceiver__remote_streams")  # noqa: B009

        async def handle(packet: RtpPacket, arrival_time_ms: int) -> None:
            # An exception here would close the DTLS transport, and with it the call.
            try:
                if packet.ssrc not in statistics:
                    if len(statistics) >= 8:
                        return
                    statistics[packet.ssrc] = StreamStatistics(RTP_CLOCK_HZ)
                statistics[packet.ssrc].add(packet)
                self._on_packet(Packet(packet.sequence_number, packet.timestamp, packet.payload))
            except Exception:
                log.exception("packet_failed")

        receiver._handle_rtp_packet = handle  # type: ignore[method-assign]

    def _on_packet(self, packet: Packet) -> None:
        pcm = self._receiver.push(packet) if packet.payload else b""
        if not pcm:
            return
        if self._heard.full():
            self.overrun += 1
            return
        self._heard.put_nowait(HeardAudio(pcm, time.monotonic()))

    async def frames(self) -> AsyncIterator[HeardAudio]:
        """What the caller says, until the line closes."""
        while (audio := await self._heard.get()) is not None:
            yield audio

    def play_from(self, source: Callable[[], bytes]) -> None:
        """Ask `source` for each frame from now on."""
        self._track.source = source

    def hurry(self) -> None:
        """Ask for the next frame now."""
        self._track.hurry()

    def clear(self) -> None:
        """RTP has no remote buffer that could be cleared."""

    def send_event(self, event: dict[str, object]) -> None:
        """Send an event on the data channel; until the caller's client has opened it the newest 256 are kept."""
        text = json.dumps(event, ensure_ascii=False)
        if self._channel is None:
            self._unsent.append(text)
        elif self._channel.readyState == "open":
            self._channel.send(text)

    def on_message(self, handler: Callable[[dict[str, object]], None]) -> None:
        """Hand each message of the data channel to `handler`."""
        self._handler = handler

    def _on_channel(self, channel: Any) -> None:
        if channel.label != "events":
            return
        self._channel = channel
        channel.on("message", self._on_raw_message)
        while self._unsent:
            channel.send(self._unsent.popleft())

    def _on_raw_message(self, raw: object) -> None:
        message = read_message(raw)
        if message is None:
            self.send_event(UNREADABLE)
        else:
            self._handler(message)

    async def _on_state(self) -> None:
        state = self._peer.connectionState
        if state == "connected":
            self.connected.set()
        elif state in ("failed", "closed"):
            self._hang_up()

    def _hang_up(self) -> None:
        if not self.gone.is_set():
            self.gone.set()
            if self._heard.full():
                self._heard.get_nowait()
            self._heard.put_nowait(None)

    async def _send_last_events(self) -> None:
        """aiortc drops what has not left when it closes."""
        deadline = time.monotonic() + LAST_EVENT_S
        while (
            self._channel is not None
            and self._channel.readyState == "open"
            and self._channel.bufferedAmount > 0
            and self._peer.connectionState == "connected"
            and time.monotonic() < deadline
        ):
            await asyncio.sleep(0.01)  # it tells when less than a threshold waits, but not when nothing does

    async def close(self) -> None:
        """End the line; safe to call twice, and never raises."""
        self._hang_up()
        if not self._closed:
            self._closed = True
            self._track.stop()
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._send_last_events()
                    await self._peer.close()
            except Exception:  # whatever is wrong inside aiortc: the call is over, and its place must become free
                log.exception("close_failed")
