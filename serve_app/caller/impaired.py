"""A bad line in user space: a UDP relay that loses, delays and jumbles packets by a seed. (netem needs a kernel.)

`Fates` is pure: numbers packets and says what happens to each; the same seed says the same. `Relay` carries it out
between a caller and a server. A WebRTC call goes through it and nowhere else when its offer names no candidates
(`without_candidates`) and the candidates of its answer are those of the relay (`through`).
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import Any

from deployments.contracts.errors import BadOffer

Address = tuple[str, int]
MOST_SOURCES = 4
"""Callers of one relay; a call has one socket."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a line does to packets."""

    loss: float = 0.0
    """Part of the packets that is lost."""
    mean_burst: float = 1.0
    """1: lost one by one; else so many in a row on average (Gilbert's model)."""
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    """Standard deviation of the delay, normally distributed, never below 0."""
    in_order: bool = False
    """A packet waits for the one before it, as on most real lines; else they overtake each other."""
    lose: frozenset[int] = frozenset()
    """RTP packets that are lost whatever the dice say; the first is 0."""


CLEAN = Impairment()


class Fates:
    """Of the packets of one direction."""

    def __init__(self, impairment: Impairment, seed: int) -> None:
        self._line = impairment
        self._dice = random.Random(seed)
        self._losing = False
        self._latest_s = 0.0
        self._number = 0

    def arrival_s(self, now_s: float) -> float | None:
        """When the packet that is sent now arrives; None: never."""
        line, number = self._line, self._number
        self._number += 1
        self._losing = self._loses()
        at_s = now_s + max(0.0, self._dice.gauss(line.delay_ms, line.jitter_ms)) / 1000
        if self._losing or number in line.lose:
            return None
        if line.in_order:
            at_s = self._latest_s = max(at_s, self._latest_s)
        return at_s

    def _loses(self) -> bool:
        line = self._line
        chance = self._dice.random()
        if line.mean_burst <= 1:
            return chance < line.loss
        if self._losing:
            return chance < 1 - 1 / line.mean_burst
        return chance < line.loss / (line.mean_burst * (1 - line.loss))


def is_rtp(data: bytes) -> bool:
    """Not STUN, DTLS or RTCP, which share the port (RFC 7983, RFC 5761)."""
    return len(data) >= 12 and 128 <= data[0] <= 191 and not 192 <= data[1] <= 223


class _Way:
    """One direction: packets in, packets out later. RTP and the rest have dice of their own, so that the fate of the
    n-th RTP packet does not hang on when reports are sent."""

    def __init__(self) -> None:
        self.impair(CLEAN, 0)
        self.carried = 0
        self.lost = 0

    def impair(self, impairment: Impairment, seed: int) -> None:
        other = Impairment(impairment.loss, impairment.mean_burst, impairment.delay_ms, impairment.jitter_ms)
        self._rtp, self._other = Fates(impairment, seed), Fates(other, seed + 1)
        self._in_order = impairment.in_order
        self._waiting: deque[bytes] = deque()

    def carry(self, data: bytes, send: Any) -> None:
        rtp = is_rtp(data)
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        at_s = (self._rtp if rtp else self._other).arrival_s(now_s)
        self.carried += rtp
        if at_s is None:
            self.lost += rtp
        elif at_s <= now_s and not self._waiting:
            send(data)
        elif rtp and self._in_order:
            # Timers of the same moment may go off in any order: each sends whatever is first.
            waiting = self._waiting
            waiting.append(data)
            loop.call_at(at_s, lambda: send(waiting.popleft()))
        else:
            loop.call_at(at_s, send, data)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, received: Any) -> None:
        self._received = received
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        self._received(data, source[:2])


class Relay:
    """Between a caller and the server at `target`. Clean until it is told otherwise."""

    def __init__(self, target: Address) -> None:
        self._target = target
        self._front: _Socket | None = None
        self._behind: dict[Address, asyncio.Task[_Socket]] = {}
        """Socket towards the server, for each caller's address."""
        self.to_server, self.to_caller = _Way(), _Way()

    async def open(self) -> Address:
        """Returns the address that callers send to."""
        loop = asyncio.get_running_loop()
        transport, self._front = await loop.create_datagram_endpoint(
            lambda: _Socket(self._from_caller), local_addr=("127.0.0.1", 0)
        )
        host, port = transport.get_extra_info("sockname")[:2]
        return host, port

    def impair(self, impairment: Impairment, seed: int, *, both_ways: bool = True) -> None:
        """From now on."""
        self.to_server.impair(impairment, seed)
        back = Impairment(
            impairment.loss,
            impairment.mean_burst,
            impairment.delay_ms,
            impairment.jitter_ms,
            impairment.in_order,
        )
        self.to_caller.impair(back if both_ways else CLEAN, seed + 2)

    def close(self) -> None:
        """What is under way is lost."""
        for task in self._behind.values():
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().transport.close()
            else:
                task.cancel()
        if self._front is not None:
            self._front.transport.close()

    def _from_caller(self, data: bytes, source: Address) -> None:
        task = self._behind.get(source)
        if task is None:
            if len(self._behind) >= MOST_SOURCES:
                return
            task = self._behind[source] = asyncio.create_task(self._open_behind(source))
        if task.done():
            socket = task.result()
            self.to_server.carry(data, lambda ready: _send(socket.transport, ready, self._target))
        else:  # the first of a caller: a STUN check, which is repeated anyway
            task.add_done_callback(lambda done: self._from_caller(data, source) if not done.cancelled() else None)

    async def _open_behind(self, caller: Address) -> _Socket:
        def back(data: bytes, source: Address) -> None:
            assert self._front is not None
            front = self._front.transport
            self.to_caller.carry(data, lambda ready: _send(front, ready, caller))

        loop = asyncio.get_running_loop()
        _, socket = await loop.create_datagram_endpoint(lambda: _Socket(back), local_addr=("127.0.0.1", 0))
        return socket


def _send(transport: Any, data: bytes, address: Address) -> None:
    if not transport.is_closing():
        transport.sendto(data, address)


def without_candidates(offer: str) -> str:
    """The offer of a caller that nobody can reach unasked."""
    kept = [line for line in offer.splitlines() if not line.startswith(("a=candidate:", "a=end-of-candidates"))]
    return "\r\n".join(kept) + "\r\n"


def server_address(answer: str) -> Address:
    """The first UDP host candidate. Raises `BadOffer`."""
    for line in answer.splitlines():
        fields = line.split()
        if line.startswith("a=candidate:") and fields[2].lower() == "udp" and fields[7] == "host":
            return fields[4], int(fields[5])
    raise BadOffer("no_candidate", "the answer names no address", "bench")


def through(answer: str, relay: Address) -> str:
    """The answer with the relay as the only candidate."""
    lines: list[str] = []
    named = False
    for line in answer.splitlines():
        if line.startswith("a=candidate:"):
            if named:
                continue
            fields = line.split()
            fields[4], fields[5] = relay[0], str(relay[1])
            line, named = " ".join(fields), True
        lines.append(line)
    return "\r\n".join(lines) + "\r\n"
