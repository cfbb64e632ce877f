"""The wire of a plain RTP call: which sockets, whose datagrams are the caller's, and where ours go.

Datagrams in; RTP packets and RTCP reports of the caller's out, everything else counted and dropped.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from configs.settings import Media
from serve_app.doors.rtp_latch import Address, Latch
from serve_app.doors.rtp_sdp import RtpOffer
from serve_app.doors.rtp_sockets import RtpSockets, local_address, open_sockets
from serve_app.media.rtcp import Compound, parse_rtcp
from serve_app.media.rtp import Kind, RtpPacket, kind_of, parse_rtp


class RtpWire:
    """One call's. Nothing comes and nothing goes before `begin`, nor after `close`."""

    def __init__(
        self,
        media: Media,
        takes: Callable[[int], bool],
        on_packet: Callable[[RtpPacket, float], None],
        on_reports: Callable[[Compound, float], None],
    ) -> None:
        """`takes`: whether a payload type is agreed on. The others are told when it came, in seconds."""
        self._media = media
        self._takes, self._on_packet, self._on_reports = takes, on_packet, on_reports
        self._sockets: RtpSockets | None = None
        self._latch: Latch | None = None
        self._offer: RtpOffer | None = None
        self._rtcp_source: Address | None = None
        self.heard_s = self.rtp_s = time.monotonic()
        """When anything valid came last, and when RTP did; at first, and after each offer, when that was answered."""
        self.refused = 0
        """Datagrams that were not the caller's, or not readable."""

    async def sockets_for(self, offer: RtpOffer) -> RtpSockets:
        """Those we have, if the caller's side can be reached from them. Raises `BadOffer`, `StageBusy`."""
        if self._sockets is not None and offer.address is None:
            return self._sockets
        local = local_address(self._media, offer.address)
        if self._sockets is not None and self._sockets.local == local:
            return self._sockets
        return await open_sockets(self._media, local, self._on_datagram, self._on_rtcp_datagram)

    def begin(self, offer: RtpOffer, sockets: RtpSockets) -> RtpSockets | None:
        """From now on so; the sockets that are not needed any more, to be closed."""
        now_s = time.monotonic()
        signalled = (offer.address, offer.port) if offer.address is not None else None
        if self._latch is None or self._latch.signalled != signalled:
            self._latch = Latch(signalled, now_s, self._media.rtp_silent_s)
            self._rtcp_source = None
        self._offer = offer
        self.heard_s = self.rtp_s = now_s
        old, self._sockets = self._sockets, sockets
        return None if old is sockets else old

    def owns(self, sockets: RtpSockets) -> bool:
        """Whether they are those in use."""
        return sockets is self._sockets

    def send(self, datagram: bytes) -> None:
        """RTP, to wherever the caller is; unless its side does not receive."""
        if self._sockets is not None and self._latch is not None and self._latch.to is not None:
            assert self._offer is not None
            if self._offer.they_receive:
                self._sockets.send_rtp(datagram, self._latch.to)

    def send_report(self, datagram: bytes) -> None:
        """RTCP; on hold, too."""
        if self._sockets is None or self._latch is None or self._offer is None:
            return
        if self._offer.rtcp_mux:
            if self._latch.to is not None:
                self._sockets.send_rtp(datagram, self._latch.to)
        elif self._rtcp_source is not None:
            self._sockets.send_rtcp(datagram, self._rtcp_source)
        elif self._offer.rtcp_address is not None:
            self._sockets.send_rtcp(datagram, (self._offer.rtcp_address, self._offer.rtcp_port))

    async def close(self) -> None:
        """Safe to call twice."""
        sockets, self._sockets = self._sockets, None
        if sockets is not None:
            await sockets.close()

    def _on_datagram(self, datagram: bytes, source: Address) -> None:
        if self._latch is None or self._sockets is None:
            return
        now_s = time.monotonic()
        kind = kind_of(datagram)
        if kind is Kind.RTCP:
            self._on_rtcp(datagram, source)
            return
        packet = None if kind is not Kind.RTP or self._latch.refuses(source, now_s) else parse_rtp(datagram)
        if (
            packet is None
            or not self._takes(packet.payload_type)
            or not self._latch.believes(source, packet.ssrc, packet.sequence, now_s)
        ):
            self.refused += 1
            return
        self.heard_s = self.rtp_s = now_s
        self._on_packet(packet, now_s)

    def _on_rtcp_datagram(self, datagram: bytes, source: Address) -> None:
        if self._on_rtcp(datagram, source):
            self._rtcp_source = source

    def _on_rtcp(self, datagram: bytes, source: Address) -> bool:
        """Whether it was the caller's: RTCP has another port than RTP, so only the host can be asked for."""
        if self._latch is None or self._offer is None or self._sockets is None:
            return False
        hosts = {each[0] for each in (self._latch.source, self._latch.signalled) if each is not None}
        compound = parse_rtcp(datagram) if source[0] in hosts | {self._offer.rtcp_address} else None
        if compound is None:
            self.refused += 1
            return False
        self.heard_s = time.monotonic()
        self._on_reports(compound, self.heard_s)
        return True
