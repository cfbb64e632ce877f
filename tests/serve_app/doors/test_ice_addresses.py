"""Addresses and ports of a host's calls, and the address it is known by outside."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import aioice.ice
import pytest
from pydantic import ValidationError

from configs.settings import Media
from serve_app.doors.ice_addresses import announce, use_addresses

LOOPBACK = "127.0.0.1"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    gather = aioice.ice.get_host_addresses
    yield
    aioice.ice.get_host_addresses = gather
    aioice.ice.asyncio = asyncio  # type: ignore[assignment]


async def gathered(media: Media) -> list[int]:
    """The ports of one connection's candidates."""
    use_addresses(media)
    connection = aioice.Connection(ice_controlling=False)
    await connection.gather_candidates()
    try:
        return [candidate.port for candidate in connection.local_candidates]
    finally:
        await connection.close()


async def test_sockets_are_opened_in_the_range_of_ports() -> None:
    ports = [await gathered(Media(host_addresses=(LOOPBACK,), ports=(42000, 42009))) for _ in range(5)]

    assert all(42000 <= port <= 42009 for found in ports for port in found)
    assert len(ports[0]) == 1


async def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 42011))
        media = Media(host_addresses=(LOOPBACK,), ports=(42011, 42012))
        ports = [await gathered(media) for _ in range(6)]

    assert ports == [[42012]] * 6


async def test_when_all_are_taken_there_is_no_candidate_of_that_address() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 42013))

        assert await gathered(Media(host_addresses=(LOOPBACK,), ports=(42013, 42013))) == []


async def test_without_a_range_any_port_will_do() -> None:
    (port,) = await gathered(Media(host_addresses=(LOOPBACK,)))

    assert port > 0
    assert aioice.ice.asyncio is asyncio


def test_the_announced_address_is_offered_beside_the_machine_s_own() -> None:
    answer = (
        "v=0\r\n"
        "a=candidate:1 1 udp 2130706431 10.0.0.7 40000 typ host\r\n"
        "a=candidate:2 1 udp 2130706431 127.0.0.1 40001 typ host\r\n"
        "a=candidate:3 1 udp 1694498815 192.0.2.1 40000 typ srflx raddr 10.0.0.7 rport 40000\r\n"
        "a=end-of-candidates\r\n"
    )

    announced = announce(answer, "203.0.113.5")

    assert announced.replace("a=candidate:announced1 1 udp 2130706431 203.0.113.5 40000 typ host\r\n", "") == answer
    assert announced != answer
    assert announce(answer, None) == answer


@pytest.mark.parametrize(
    "wrong", [{"turn_urls": ["turn:x:3478"]}, {"ports": [80, 90]}, {"ports": [5000, 4000]}, {"ports": [1, 2, 3]}]
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Media.model_validate(wrong)


def test_no_stranger_s_server_is_asked_by_default() -> None:
    assert Media().stun_urls == Media().turn_urls == ()
