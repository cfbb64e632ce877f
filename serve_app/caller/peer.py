"""The caller's end of the WebRTC connection: what aiortc is asked for, and the places where it is not used as it comes.

Two private attributes of aiortc 1.16 and one of aioice 0.13 are touched, each proved by the tests of `line.py`:
a receiver's `_handle_rtp_packet`, because its jitter buffer adds 80 ms and after one lost packet 200 ms more for ever;
its stream statistics, so that receiver reports still go out; and the ICE connection's `get_component_candidates`,
because aioice never offers loopback by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCRtpSender
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtpPacket

from serve_app.caller.microphone import Microphone

RTP_CLOCK_HZ = 48_000


def new_peer(
    microphone: Microphone, host_addresses: tuple[str, ...], on_packet: Callable[[RtpPacket, float], None]
) -> RTCPeerConnection:
    """Audio both ways, Opus only. `on_packet` gets each packet and its arrival (monotonic, s); it must not raise."""
    # No STUN: aiortc's default asks a public server, and a dead one delays the call by seconds.
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
    transceiver = peer.addTransceiver(microphone, direction="sendrecv")
    codecs = RTCRtpSender.getCapabilities("audio").codecs
    transceiver.setCodecPreferences([codec for codec in codecs if codec.mimeType.lower() == "audio/opus"])
    receiver: Any = transceiver.receiver
    streams: dict[int, StreamStatistics] = receiver._RTCRtpReceiver__remote_streams

    async def take(packet: RtpPacket, arrival_time_ms: int) -> None:
        arrival_s = time.monotonic()
        # Without this the server would learn neither its loss nor its round trip.
        streams.setdefault(packet.ssrc, StreamStatistics(RTP_CLOCK_HZ)).add(packet)
        on_packet(packet, arrival_s)

    receiver._handle_rtp_packet = take
    if host_addresses:
        _gather_only(receiver.transport.transport._connection, host_addresses)
    return peer


def _gather_only(ice_connection: Any, host_addresses: tuple[str, ...]) -> None:
    """Make aioice gather host candidates on these addresses instead of those of the interfaces."""
    gather = ice_connection.get_component_candidates

    async def gather_here(component: int, addresses: list[str], **more: Any) -> Any:
        return await gather(component=component, addresses=list(host_addresses), **more)

    ice_connection.get_component_candidates = gather_here
