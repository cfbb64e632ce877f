"""Which addresses and ports a host's calls use, and under which it is known outside. For all calls of a process.

aioice binds a socket of any free port to every address of the machine's interfaces but loopback, and has no settings
for it; so its two questions, for addresses and for a socket, are answered here. `announce` adds to an answer the
address under which a router or a cloud forwards to this machine (1:1 NAT): the ports are the same there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import aioice.ice

from configs.settings import Media

_interface_addresses = aioice.ice.get_host_addresses


def use_addresses(media: Media) -> None:
    """Have ICE gather the configured addresses, on ports of the configured range."""

    def addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        wanted = list(media.host_addresses) or list(_interface_addresses(use_ipv4, use_ipv6))
        return [*wanted, "127.0.0.1"] if media.loopback and "127.0.0.1" not in wanted else wanted

    aioice.ice.get_host_addresses = addresses
    aioice.ice.asyncio = _Asyncio(media.ports) if media.ports else asyncio  # type: ignore[assignment]


def announce(answer: str, address: str | None) -> str:
    """The SDP answer with each host candidate offered at the announced address too."""
    if not address:
        return answer
    lines = []
    for line in answer.splitlines(keepends=True):
        lines.append(line)
        fields = line.split()
        if line.startswith("a=candidate:") and fields[6:8] == ["typ", "host"] and not _is_loopback(fields[4]):
            fields[0] = f"a=candidate:announced{fields[0][len('a=candidate:') :]}"
            fields[4] = address
            lines.append(" ".join(fields) + "\r\n")
    return "".join(lines)


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


class _Asyncio:
    """`asyncio` as aioice sees it: its loop opens UDP sockets on ports of a range."""

    def __init__(self, ports: tuple[int, int]) -> None:
        self._ports = ports

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def get_running_loop(self) -> Any:
        return _Loop(asyncio.get_running_loop(), self._ports)


class _Loop:
    def __init__(self, loop: asyncio.AbstractEventLoop, ports: tuple[int, int]) -> None:
        self._loop = loop
        self._ports = ports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_datagram_endpoint(
        self, factory: Callable[[], Any], local_addr: tuple[str, int] | None = None, **more: Any
    ) -> Any:
        if local_addr is None or local_addr[1] != 0:
            return await self._loop.create_datagram_endpoint(factory, local_addr=local_addr, **more)
        first, last = self._ports
        # From a random place on: a port that has just become free still gets packets of its last call.
        begin, count = random.randrange(last - first + 1), last - first + 1
        for number in range(count):
            port = first + (begin + number) % count
            try:
                return await self._loop.create_datagram_endpoint(factory, local_addr=(local_addr[0], port), **more)
            except OSError as error:
                taken = error
        raise taken
