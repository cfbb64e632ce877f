"""Two hosts of one installation: a request that reaches the wrong one is passed on, once, or ends in a clear answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from serve_app.caller.line import CallerLine
from serve_app.listener import FORWARDED
from tests.fakes.fake_host import CANDIDATE, LOOPBACK, TRICKLE, FakeHost, client, open_host, post_offer, refused


@dataclass
class TwoHosts:
    """`ours` owns the calls; `other` is where the requests arrive."""

    ours: FakeHost
    other: FakeHost
    http: httpx.AsyncClient
    """Talks to `other`."""
    to_owner: httpx.AsyncClient


async def read_until(socket: aiohttp.ClientWebSocketResponse, kind: str) -> list[dict[str, Any]]:
    """Events up to the first of that type."""
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] != kind:
        events.append(await socket.receive_json(timeout=20))
    return events


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[TwoHosts]:
    async with (
        open_host(tmp_path) as ours,
        open_host(tmp_path) as other,
        client(other) as http,
        client(ours) as to_owner,
    ):
        yield TwoHosts(ours, other, http, to_owner)


async def test_requests_reach_the_owner_and_its_answers_come_back(two: TwoHosts) -> None:
    call = await post_offer(two.to_owner)

    state, transcript = await two.http.get(call), await two.http.get(f"{call}/transcript")
    patched = await two.http.patch(call, content=CANDIDATE, headers=TRICKLE)
    wrong = await two.http.patch(call, content=CANDIDATE)
    ended = await two.http.delete(call)
    again = await two.http.delete(call)

    assert state.json()["state"] == "connecting"
    assert state.headers["content-type"] == "application/json"
    assert transcript.json()["lines"] == []
    assert (patched.status_code, ended.status_code) == (204, 204)
    assert refused(wrong) == (415, "content_type_wrong")
    assert refused(again) == (410, "call_over")
    assert two.ours.calls == 0


async def test_events_and_typed_turns_pass_through_the_other_host(two: TwoHosts) -> None:
    async with CallerLine(host_addresses=(LOOPBACK,)) as line, aiohttp.ClientSession() as http:
        await line.connect(two.ours.url, "fake")
        path = httpx.URL(line.location or "").path
        async with http.ws_connect(f"{two.other.url}{path}/events") as socket:
            events = await read_until(socket, "call.state")
            await socket.send_bytes(b"\x00")
            await socket.send_json({"type": "caller.text", "text": "what are your opening hours"})
            events += await read_until(socket, "transcript.final")
            await line.hang_up()
            async for message in socket:
                events.append(json.loads(message.data))

    kinds = [event["type"] for event in events]
    assert kinds[0] == "call.started"  # what was before we came
    assert kinds[-1] == "call.ended"
    assert "message_unreadable" in [event.get("code") for event in events]
    assert socket.close_code == 1000


async def test_a_client_that_leaves_is_let_go_by_both_hosts(two: TwoHosts) -> None:
    async with CallerLine(host_addresses=(LOOPBACK,)) as line, aiohttp.ClientSession() as http:
        await line.connect(two.ours.url, "fake")
        before = asyncio.all_tasks()
        path = httpx.URL(line.location or "").path
        async with http.ws_connect(f"{two.other.url}{path}/events") as socket:
            await socket.receive_json(timeout=20)
        async with asyncio.timeout(20):
            # The events' own tasks at both hosts; those of the call and of the connection pool stay.
            while any("_down" in repr(task) or "_hear" in repr(task) for task in asyncio.all_tasks() - before):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        state = await two.http.get(path)

    assert state.json()["state"] != "ended"


async def test_when_the_owner_is_gone_the_call_is_too(two: TwoHosts) -> None:
    call = await post_offer(two.to_owner)
    await two.ours.drain()

    answers = [await two.http.get(call), await two.http.delete(call), await two.http.get(f"{call}/transcript")]

    assert [refused(answer) for answer in answers] == [(410, "call_owner_gone")] * 3


async def test_events_of_a_call_whose_owner_is_gone_are_refused(two: TwoHosts) -> None:
    call = await post_offer(two.to_owner)
    await two.ours.drain()

    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await http.ws_connect(f"{two.other.url}{call}/events")

    assert error.value.status == 403


async def test_an_owner_that_stops_in_the_middle_closes_the_events(two: TwoHosts) -> None:
    async with CallerLine(host_addresses=(LOOPBACK,)) as line, aiohttp.ClientSession() as http:
        await line.connect(two.ours.url, "fake")
        path = httpx.URL(line.location or "").path
        async with http.ws_connect(f"{two.other.url}{path}/events") as socket:
            await socket.receive_json(timeout=20)
            await two.ours.drain()
            kinds = [json.loads(message.data)["type"] async for message in socket]

    assert kinds[-1] == "call.ended"
    assert socket.close_code in (1000, 1011, 1012)


async def test_what_was_passed_on_once_is_not_passed_on_again(two: TwoHosts) -> None:
    call = await post_offer(two.to_owner)
    marked = {FORWARDED: "1"}

    answer = await two.http.get(call, headers=marked)
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(f"{two.other.url}{call}/events", headers=marked)

    assert refused(answer) == (410, "call_over")
