"""A host that cannot take a call hands the offer to one that can; hosts see each other on a board."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from deployments.host_board import STALE_S, HostState, fresh
from serve_app.host_peers import HostPeers
from tests.fakes.fake_host import OFFER, SDP, FakeBoard, client, open_host, post_offer, refused

ME = HostState("10.0.0.1:1", 1, 20, 1.0, True, 0.0)


def peers(board: FakeBoard, *others: HostState) -> HostPeers:
    for other in others:
        board.states[other.address] = other
    return HostPeers(board, lambda: ME)


async def test_the_emptiest_host_that_takes_calls_comes_first_and_never_oneself() -> None:
    half = replace(ME, address="b", calls=10)
    small = replace(ME, address="c", calls=1, most_calls=10)
    full = replace(ME, address="d", calls=20)
    closed = replace(ME, address="e", calls=0, open=False)
    known = peers(FakeBoard(), half, small, full, closed)

    await known.refresh()

    assert known.freest() == ["c", "b"]


async def test_a_board_that_cannot_be_reached_leaves_the_host_alone_and_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    board = FakeBoard()
    known = peers(board, replace(ME, address="b"))
    await known.refresh()
    assert known.freest() == ["b"]
    board.broken = RuntimeError("no GCS")

    with caplog.at_level(logging.WARNING):
        await known.refresh()
        await known.refresh()

    assert known.freest() == []
    assert [record.message for record in caplog.records] == ["host_board_unreachable"]
    board.broken = None
    await known.refresh()
    assert known.freest() == ["b"]


def test_what_is_stale_or_of_another_version_is_passed_over() -> None:
    now = time.time()
    states = [replace(ME, address=name, written_s=now - age) for name, age in (("a", 0), ("b", STALE_S + 1), ("c", -2))]
    values = [json.dumps(asdict(state)).encode() for state in states]

    found = fresh([*values, b"{}", b"nonsense", b'{"address": "z", "mood": 1}'], now)

    assert [state.address for state in found] == ["a", "c"]


async def test_a_full_host_passes_the_offer_on(tmp_path: Path) -> None:
    board = FakeBoard()
    one = {"limits": {"max_calls_per_host": 1}}
    async with (
        open_host(tmp_path, board=board, **one) as first,
        open_host(tmp_path, board=board, **one) as second,
        client(first) as http,
    ):
        for host in (first, second):
            await host.ready_for_calls()
        await first.peers.refresh()
        await post_offer(http)
        passed = await post_offer(http)
        third = await http.post("/v1/calls?tenant=fake", content=OFFER.encode(), headers=SDP)
        ended = await http.delete(passed)

        assert (first.calls, second.calls) == (1, 0)
        assert refused(third) == (503, "host_full")
        assert ended.status_code == 204
        assert second.told("call.ended")


async def test_a_host_that_was_passed_an_offer_does_not_pass_it_further(tmp_path: Path) -> None:
    board = FakeBoard()
    none = {"limits": {"max_calls_per_host": 1}}
    async with (
        open_host(tmp_path, board=board, **none) as first,
        open_host(tmp_path, board=board, **none) as second,
        client(first) as http,
        client(second) as other,
    ):
        for host in (first, second):
            await host.ready_for_calls()
        await first.peers.refresh()
        await post_offer(http)
        await post_offer(other)
        # Both believe that the other is free.
        full = await http.post("/v1/calls?tenant=fake", content=OFFER.encode(), headers=SDP)

        assert refused(full) == (503, "host_full")
        assert (first.calls, second.calls) == (1, 1)


async def test_a_peer_that_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    board = FakeBoard()
    one = {"limits": {"max_calls_per_host": 1}}
    async with (
        open_host(tmp_path, board=board, **one) as first,
        open_host(tmp_path, board=board, **one) as second,
        client(first) as http,
    ):
        board.states["127.0.0.1:9"] = replace(ME, address="127.0.0.1:9", calls=0, written_s=time.time())
        for host in (first, second):
            await host.ready_for_calls()
        await first.peers.refresh()
        await post_offer(http)
        await post_offer(http)

        assert (first.calls, second.calls) == (1, 1)


async def test_a_host_that_is_late_takes_no_further_call(tmp_path: Path) -> None:
    async with open_host(tmp_path) as host, client(host) as http:
        await post_offer(http)
        for _ in range(100):
            host._clock._lags_s.append(0.3)
        late = await http.post("/v1/calls?tenant=fake", content=OFFER.encode(), headers=SDP)

        assert refused(late) == (503, "host_late")
        assert late.headers["retry-after"] == "5"
        assert not host._state().open
