"""The two UDP sockets of a plain RTP call: RTP on an even port, RTCP on the odd one after it (RFC 3550, section 11).

Datagrams come in as bytes and numeric address; whatever one does to its handler, the next is still received.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import socket
from collections.abc import Callable, Iterable

from configs.settings import Media
from deployments.contracts.errors import BadOffer, StageBusy
from serve_app.doors.rtp_latch import Address

log = logging.getLogger(__name__)

LONGEST_DATAGRAM_BYTES = 2_048
"""20 ms of L16 at 24 kHz are 972; 60 ms at 16 kHz 1 932."""
RECEIVE_BUFFER_BYTES = 128 * 1024
"""A second of a call while the loop is held up; what is older would be late."""
MOST_TRIES = 64
"""Pairs tried where any port will do."""
CLOSE_S = 1.0
_SOMEWHERE_ELSE = "192.0.2.1"
"""Of a net for documentation: nothing is sent there, it only asks for the way out."""

Receive = Callable[[bytes, Address], None]


class RtpSockets:
    """Made by `open_sockets`."""

    def __init__(self, local: str, port: int, rtp: _Endpoint, rtcp: _Endpoint) -> None:
        self.local = local
        self.port = port
        """Of RTP; that of RTCP is the next."""
        self._rtp, self._rtcp = rtp, rtcp

    def send_rtp(self, datagram: bytes, to: Address) -> None:
        """Lost like any other packet when the network does not take it."""
        self._rtp.send(datagram, to)

    def send_rtcp(self, datagram: bytes, to: Address) -> None:
        """From the odd port."""
        self._rtcp.send(datagram, to)

    async def close(self) -> None:
        """Safe to call twice. Both ports are free afterwards."""
        await asyncio.gather(self._rtp.close(), self._rtcp.close())


class _Endpoint(asyncio.DatagramProtocol):
    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._transport: asyncio.DatagramTransport | None = None
        self._lost = asyncio.get_running_loop().create_future()
        self._failed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if len(data) > LONGEST_DATAGRAM_BYTES:
            return
        try:
            self._receive(data, addr[:2])
        except Exception:  # an exception that leaves here would close the socket under some event loops
            if not self._failed:  # once a socket: whoever found the way would fill the disk with it
                self._failed = True
                log.exception("packet_failed")

    def error_received(self, exc: Exception) -> None:
        log.debug("datagram_refused", extra={"why": str(exc)})  # nobody listens there (yet): the media time-out sees it

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost.done():
            self._lost.set_result(None)

    def send(self, datagram: bytes, to: Address) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(datagram, to)

    async def close(self) -> None:
        if self._transport is None:
            return
        self._transport.close()
        await asyncio.wait([self._lost], timeout=CLOSE_S)
        if not self._lost.done():  # something is left to send that the network does not take
            self._transport.abort()


def local_address(media: Media, remote: str | None) -> str:
    """Which of our addresses a call to `remote` uses. Raises `BadOffer` when no way leads there."""
    target = remote or next(iter(media.host_addresses), _SOMEWHERE_ELSE)
    version = ipaddress.ip_address(target).version
    configured = [each for each in media.host_addresses if ipaddress.ip_address(each).version == version]
    if configured and not (media.loopback and ipaddress.ip_address(target).is_loopback):
        return configured[0]
    try:
        with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((target, 9))  # sends nothing: the kernel chooses the address it would send from
            return str(asking.getsockname()[0])
    except OSError as error:
        raise BadOffer("offer_address_unreachable", f"no way leads to the offer's address: {error}", "door") from error


def announced_address(media: Media, local: str) -> str:
    """Under which the caller's side reaches it."""
    return (
        local if media.announced_address is None or ipaddress.ip_address(local).is_loopback else media.announced_address
    )


async def open_sockets(media: Media, local: str, on_rtp: Receive, on_rtcp: Receive) -> RtpSockets:
    """Bind a pair of free ports. Raises `StageBusy` when there is none."""
    opening = asyncio.ensure_future(_open(media, local, on_rtp, on_rtcp))
    try:
        return await asyncio.shield(opening)  # cancelled halfway, uvloop would keep the socket
    except asyncio.CancelledError:
        (made,) = await asyncio.gather(opening, return_exceptions=True)
        if isinstance(made, RtpSockets):
            await made.close()
        raise


async def _open(media: Media, local: str, on_rtp: Receive, on_rtcp: Receive) -> RtpSockets:
    rtp, rtcp = _bound_pair(local, media.ports)
    port = rtp.getsockname()[1]
    loop = asyncio.get_running_loop()
    _, first = await loop.create_datagram_endpoint(lambda: _Endpoint(on_rtp), sock=rtp)
    try:
        _, second = await loop.create_datagram_endpoint(lambda: _Endpoint(on_rtcp), sock=rtcp)
    except BaseException:
        await first.close()
        raise
    return RtpSockets(local, port, first, second)


def _bound_pair(local: str, ports: tuple[int, int] | None) -> tuple[socket.socket, socket.socket]:
    for port in _even_ports(ports):
        rtp = _bound(local, port)
        if rtp is None:
            continue
        given = rtp.getsockname()[1]
        rtcp = _bound(local, given + 1) if given % 2 == 0 and given < 65535 else None
        if rtcp is not None:
            return rtp, rtcp
        rtp.close()
    raise StageBusy("ports_exhausted", "no two ports are free for a further call", "door")


def _even_ports(ports: tuple[int, int] | None) -> Iterable[int]:
    """From a random place on: a port that has just become free still gets packets of its last call."""
    if ports is None:
        return (0 for _ in range(MOST_TRIES))  # the kernel's choice, until it is even
    evens = range(ports[0] + ports[0] % 2, ports[1], 2)
    begin = random.randrange(len(evens)) if evens else 0
    return (*evens[begin:], *evens[:begin])


def _bound(local: str, port: int) -> socket.socket | None:
    made = socket.socket(socket.AF_INET6 if ":" in local else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        made.bind((local, port))
    except OSError:
        made.close()
        return None
    return made
