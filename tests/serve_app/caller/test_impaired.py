"""The bad line: seeded fates, and a relay that carries them out between real sockets."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any

import pytest

from deployments.contracts.errors import BadOffer
from serve_app.caller.impaired import (
    Fates,
    Impairment,
    Relay,
    is_rtp,
    server_address,
    through,
    without_candidates,
)

PACKETS = 20_000
ANSWER = (
    "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\n"
    "a=candidate:abc 1 udp 2130706431 192.0.2.7 5000 typ host\r\n"
    "a=candidate:def 1 udp 2130706431 127.0.0.1 5001 typ host\r\n"
    "a=end-of-candidates\r\na=ice-ufrag:u\r\n"
)


def arrivals(impairment: Impairment, seed: int = 1, packets: int = PACKETS) -> list[float | None]:
    """Of packets sent every 20 ms; seconds after each was sent."""
    fates = Fates(impairment, seed)
    sent_s = [number * 0.02 for number in range(packets)]
    return [None if (at := fates.arrival_s(now)) is None else at - now for now in sent_s]


def rtp(number: int) -> bytes:
    return bytes([0x80, 96, *number.to_bytes(2, "big"), *bytes(8)])


class End(asyncio.DatagramProtocol):
    """A socket that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.sources: list[Any] = []
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        self.got.append(data)
        self.sources.append(source)


async def end() -> End:
    loop = asyncio.get_running_loop()
    _, made = await loop.create_datagram_endpoint(End, local_addr=("127.0.0.1", 0))
    return made


async def until_got(at: End, count: int) -> None:
    async with asyncio.timeout(10):
        while len(at.got) < count:  # noqa: ASYNC110  # datagrams raise no event of ours
            await asyncio.sleep(0.005)


def test_the_same_seed_gives_the_same_fates_and_another_others() -> None:
    line = Impairment(loss=0.1, mean_burst=3, delay_ms=50, jitter_ms=20)

    assert arrivals(line, 7) == arrivals(line, 7)
    assert arrivals(line, 7) != arrivals(line, 8)


@pytest.mark.parametrize("mean_burst", [1.0, 3.0])
def test_so_much_is_lost_as_was_asked_for(mean_burst: float) -> None:
    fates = arrivals(Impairment(loss=0.1, mean_burst=mean_burst))
    runs = [len(list(run)) for lost, run in groupby(fates, lambda at: at is None) if lost]

    assert fates.count(None) / PACKETS == pytest.approx(0.1, rel=0.15)
    expected = mean_burst if mean_burst > 1 else 1 / 0.9
    assert sum(runs) / len(runs) == pytest.approx(expected, rel=0.1)


def test_jitter_lies_about_the_delay_and_never_before_the_sending() -> None:
    got = [at * 1000 for at in arrivals(Impairment(delay_ms=60, jitter_ms=30)) if at is not None]

    assert sum(got) / len(got) == pytest.approx(60, abs=2)
    assert min(got) >= 0
    assert max(got) > 120


def test_in_order_means_that_nothing_overtakes() -> None:
    def order(in_order: bool) -> list[float]:
        line = Impairment(delay_ms=100, jitter_ms=40, in_order=in_order)
        return [number * 0.02 + at for number, at in enumerate(arrivals(line)) if at is not None]

    assert order(True) == sorted(order(True))
    assert order(False) != sorted(order(False))


def test_named_packets_are_lost_and_no_others() -> None:
    fates = arrivals(Impairment(lose=frozenset({3, 5})), packets=10)

    assert [number for number, at in enumerate(fates) if at is None] == [3, 5]


@pytest.mark.parametrize(
    ("data", "rtp_or_not"),
    [
        (rtp(1), True),
        (bytes([0x80, 0xE0]) + bytes(10), True),  # marker bit and payload type 96
        (bytes([0x80, 200]) + bytes(10), False),  # RTCP sender report
        (bytes([0, 1]) + bytes(18), False),  # STUN
        (bytes([22, 254]) + bytes(18), False),  # DTLS
        (b"\x80", False),
    ],
)
def test_rtp_is_told_from_what_shares_its_port(data: bytes, rtp_or_not: bool) -> None:
    assert is_rtp(data) is rtp_or_not


async def test_the_relay_carries_both_ways_and_loses_what_it_was_told_to() -> None:
    server, caller = await end(), await end()
    relay = Relay(server.transport.get_extra_info("sockname"))
    front = await relay.open()
    caller.transport.sendto(b"hello", front)
    await until_got(server, 1)
    server.transport.sendto(b"answer", server.sources[0])
    await until_got(caller, 1)
    relay.impair(Impairment(lose=frozenset({1})), seed=1)
    for number in range(4):
        caller.transport.sendto(rtp(number), front)
        caller.transport.sendto(bytes([0x80, 200]) + bytes(10), front)  # RTCP is not counted as RTP
    await until_got(server, 8)
    relay.close()
    for socket in (server, caller):
        socket.transport.close()

    assert (server.got[0], caller.got, caller.sources) == (b"hello", [b"answer"], [front])
    assert [data for data in server.got if is_rtp(data)] == [rtp(0), rtp(2), rtp(3)]
    assert (relay.to_server.carried, relay.to_server.lost) == (4, 1)


async def test_a_line_in_order_stays_in_order_through_timers() -> None:
    server, caller = await end(), await end()
    relay = Relay(server.transport.get_extra_info("sockname"))
    front = await relay.open()
    relay.impair(Impairment(delay_ms=20, jitter_ms=15, in_order=True), seed=3)
    for number in range(60):
        caller.transport.sendto(rtp(number), front)
        await asyncio.sleep(0.001)
    await until_got(server, 60)
    relay.close()
    for socket in (server, caller):
        socket.transport.close()

    assert server.got == [rtp(number) for number in range(60)]


async def test_one_way_leaves_the_other_clean() -> None:
    server, caller = await end(), await end()
    relay = Relay(server.transport.get_extra_info("sockname"))
    front = await relay.open()
    caller.transport.sendto(b"hello", front)
    await until_got(server, 1)
    relay.impair(Impairment(loss=1.0), seed=1, both_ways=False)
    for number in range(5):
        caller.transport.sendto(rtp(number), front)
        server.transport.sendto(rtp(number), server.sources[0])
    await until_got(caller, 5)
    relay.close()
    for socket in (server, caller):
        socket.transport.close()

    assert len(server.got) == 1
    assert relay.to_server.lost == 5
    assert relay.to_caller.lost == 0


def test_the_offer_names_nobody_and_the_answer_only_the_relay() -> None:
    offer, answer = without_candidates(ANSWER), through(ANSWER, ("127.0.0.1", 999))

    assert "candidate" not in offer
    assert "a=ice-ufrag:u" in offer
    assert [line for line in answer.splitlines() if line.startswith("a=candidate:")] == [
        "a=candidate:abc 1 udp 2130706431 127.0.0.1 999 typ host"
    ]
    assert server_address(ANSWER) == ("192.0.2.7", 5000)
    with pytest.raises(BadOffer):
        server_address(offer)
