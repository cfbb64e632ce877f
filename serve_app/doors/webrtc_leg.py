"""One WebRTC connection of a call: aiortc does ICE, DTLS, SRTP, SCTP and SDP; the audio path is ours.

Packets are decoded on the loop as they arrive (aiortc holds them 80 ms, hops through a thread per call, and after one
lost packet stays 200 ms late for ever), and the reply is handed over as ready Opus packets. For that, private
attributes of aiortc 1.16.0 are used; the version is pinned, and `tests/serve_app/doors/test_webrtc.py` names them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import RTCRtpReceiver, StreamStatistics
from aiortc.rtp import RtpPacket
from aiortc.sdp import candidate_from_sdp

from configs.settings import Media
from deployments.contracts.errors import BadOffer
from serve_app.doors.host_clock import HostClock
from serve_app.doors.ice_addresses import announce
from serve_app.doors.leg_audio import HeardQueue, LegAudio
from serve_app.doors.reply_track import ReplyTrack
from serve_app.media.jitter import Packet
from serve_app.media.libopus import RTP_CLOCK_HZ, OpusDecoder, OpusEncoder
from serve_app.media.turn_credentials import turn_credentials

log = logging.getLogger(__name__)

MOST_TRICKLED = 100
"""Candidates taken after the offer; each is probed from here, so a caller may not name them without end."""
MOST_SENDERS = 8
"""SSRCs whose reception is reported; a caller has one."""
CLOSE_S = 5.0
"""What closing the connection may take."""
LAST_EVENT_S = 0.3
"""What sending the last events may take before that: they tell the caller's client why the call ended."""
TURN_LIFETIME_S = 3600.0


class WebRtcLeg:
    """One RTCPeerConnection. `changed` is called when it has connected or is gone."""

    def __init__(
        self,
        media: Media,
        clock: HostClock,
        heard: HeardQueue,
        changed: Callable[[WebRtcLeg], None],
        on_channel: Callable[[WebRtcLeg, Any], None],
    ) -> None:
        self._media = media
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=_servers(media)))
        self._track = ReplyTrack()
        encoder = OpusEncoder()
        self.audio = LegAudio("opus", OpusDecoder(), encoder, clock, heard, self._track.send)
        self._encoder = encoder
        self._changed = changed
        self._on_channel = on_channel
        self._transport: Any = None
        self._received = -1
        self._received_s = time.monotonic()
        self._trickled = 0
        self._closed = False
        self.channel: Any = None
        self.connected = False
        self.gone = False
        self._peer.on("datachannel", self._take_channel)
        self._peer.on("connectionstatechange", self._on_state)

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
            self._transport = voice.receiver.transport
        except Exception as error:  # aiortc raises ValueError, InvalidStateError, AttributeError … for odd offers
            await self.close()
            log.info("offer_refused", exc_info=error)
            raise BadOffer("offer_unusable", f"no answer can be given to this offer: {error}", "door") from error
        except BaseException:  # the client left while candidates were gathered
            await self.close()
            raise
        return announce(str(self._peer.localDescription.sdp), self._media.announced_address)

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

    def unheard_s(self) -> float:
        """Seconds since anything at all (sound, reports, messages) came from the other side."""
        received = getattr(self._transport, "_RTCDtlsTransport__rx_packets", 0)
        if received != self._received:
            self._received, self._received_s = received, time.monotonic()
        return time.monotonic() - self._received_s

    async def read_reports(self) -> None:
        """Take over what the other side reports of our packets: round trip, and loss to be protected against."""
        for sender in self._peer.getSenders()[:1]:
            for stats in (await sender.getStats()).values():
                if stats.type == "remote-inbound-rtp":
                    self._encoder.set_expected_loss(100 * stats.fractionLost / 256)
                    if stats.roundTripTime is not None:
                        self.audio.rtt_ms = stats.roundTripTime * 1000

    def _take_packets(self, receiver: RTCRtpReceiver) -> None:
        statistics: dict[int, StreamStatistics] = getattr(receiver, "_RTCRtpReceiver__remote_streams")  # noqa: B009

        async def handle(packet: RtpPacket, arrival_time_ms: int) -> None:
            # An exception here would close the DTLS transport, and with it the call.
            try:
                if packet.ssrc not in statistics:
                    if len(statistics) >= MOST_SENDERS:
                        return
                    statistics[packet.ssrc] = StreamStatistics(RTP_CLOCK_HZ)
                statistics[packet.ssrc].add(packet)
                self.audio.push(
                    Packet(packet.sequence_number, packet.timestamp, packet.payload, bool(packet.marker), packet.ssrc)
                )
            except Exception:
                log.exception("packet_failed")

        receive = receiver.receive

        async def receive_without_thread(parameters: RTCRtpReceiveParameters) -> None:
            await receive(parameters)
            # aiortc has started a thread that would decode what is no longer given to it.
            getattr(receiver, "_RTCRtpReceiver__stop_decoder")()  # noqa: B009

        receiver._handle_rtp_packet = handle  # type: ignore[method-assign]
        receiver.receive = receive_without_thread  # type: ignore[method-assign]

    def _take_channel(self, channel: Any) -> None:
        if channel.label == "events":
            self.channel = channel
            self._on_channel(self, channel)

    async def _on_state(self) -> None:
        state = self._peer.connectionState
        if state == "connected" and not self.connected:
            self.connected = True
            self.audio.start()
            self._changed(self)
        elif state == "closed" or (state == "failed" and not self.connected):
            # A connection that fails later may be replaced by another (`WebRtcLine.renew`): the session waits for that.
            self._leave()

    def _leave(self) -> None:
        if not self.gone:
            self.gone = True
            self.audio.stop()
            self._changed(self)

    async def close(self) -> None:
        """End the connection; safe to call twice, and never raises."""
        self._leave()
        if self._closed:
            return
        self._closed = True
        self._track.stop()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._send_last_events()
                await self._peer.close()
        except Exception:  # whatever is wrong inside aiortc: the call is over, and its place must become free
            log.exception("close_failed")

    async def _send_last_events(self) -> None:
        """aiortc drops what has not left when it closes."""
        deadline = time.monotonic() + LAST_EVENT_S
        while (  # noqa: ASYNC110  # it tells when less than a threshold waits, but not when nothing does
            self.channel is not None
            and self.channel.readyState == "open"
            and self.channel.bufferedAmount > 0
            and self._peer.connectionState == "connected"
            and time.monotonic() < deadline
        ):
            await asyncio.sleep(0.01)


def _servers(media: Media) -> list[RTCIceServer]:
    """None unless configured: aiortc's own default is a stranger's server."""
    servers = [RTCIceServer(urls=url) for url in media.stun_urls]
    if media.turn_urls:
        given = turn_credentials(media.turn_secret, "dukat", TURN_LIFETIME_S, time.time())
        servers += [
            RTCIceServer(urls=url, username=given.username, credential=given.password) for url in media.turn_urls
        ]
    return servers
