"""Whole calls through a host, over real WebRTC with fake models; callers that never come; and the host's own end."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

import serve_app.calls
from deployments.contracts.errors import BadOffer, NotFound, StageBusy, StageFailed
from serve_app.caller.line import CallerLine
from serve_app.caller.scripted import place_call
from serve_app.caller.speech import prepare
from tests.fakes.answering_machine import until
from tests.fakes.fake_call import quiet, tone
from tests.fakes.fake_host import LOOPBACK, OFFER, FakeHost, client, open_host, post_offer

QUESTION = prepare(tone(600) + quiet(100))


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[FakeHost]:
    async with open_host(tmp_path, "what are your opening hours") as opened:
        yield opened


async def all_over(host: FakeHost) -> None:
    """No call is left here."""
    await until(lambda: not host._calls)


def freed(*references: weakref.ref[Any]) -> bool:
    gc.collect()
    return all(reference() is None for reference in references)


async def test_a_question_is_asked_and_answered_and_everything_is_told(host: FakeHost) -> None:
    report = await place_call(host.url, "fake", [QUESTION], host_addresses=(LOOPBACK,), turn_timeout_s=20)
    await all_over(host)

    assert report.failure is None
    assert report.greeting_text == "en greeting of Fake Utility"
    assert report.turns[0].transcript == "what are your opening hours"
    assert report.turns[0].answer_text.startswith("We are open from eight to eight.")
    assert report.turns[0].heard_complete
    assert [event.seq for event in host.sink.events] == list(range(1, len(host.sink.events) + 1))
    kinds = [event.type for event in host.sink.events]
    assert (kinds[0], kinds[-1]) == ("call.started", "call.ended")
    assert {"call.state", "transcript.final", "agent.text", "agent.heard", "turn.ledger"} <= set(kinds)
    assert "transcript.interim" not in kinds
    assert host.told("call.ended")[0]["reason"] == "caller_hung_up"
    assert host.told("call.started")[0]["engines"]["asr"] == {"engine": "emulated", "nature": "emulated"}
    async with client(host) as http:
        lines = (await http.get(f"{httpx.URL(report.location).path}/transcript")).json()["lines"]
    assert [line["speaker"] for line in lines] == ["agent", "caller", "agent"]


async def test_typed_turns_and_the_past_over_the_event_socket(host: FakeHost) -> None:
    async with CallerLine(host_addresses=(LOOPBACK,)) as line, aiohttp.ClientSession() as http:
        await line.connect(host.url, "fake")
        await until(lambda: "call.state" in [event.type for event in host.sink.events])
        async with http.ws_connect(f"{line.location}/events") as socket:
            for text in ("nonsense", "[" * 5000, '{"type": "caller.text", "text": "\\ud800"}', "[]"):
                await socket.send_str(text)
            await socket.send_bytes(b"\xff")
            await socket.send_json({"type": "caller.dance"})
            await socket.send_json({"type": "caller.text", "text": "متى تفتحون؟"})
            events = [await socket.receive_json(timeout=20)]
            while events[-1]["type"] != "agent.text" or events[-1]["turn"] != 1:
                events.append(await socket.receive_json(timeout=20))
            await line.hang_up()
            async for message in socket:
                events.append(message.json())

    assert events[0]["type"] == "call.started"
    codes = [event.get("code") for event in events]
    assert (codes.count("message_unreadable"), codes.count("message_unknown")) == (5, 1)
    finals = [event["text"] for event in events if event["type"] == "transcript.final"]
    assert finals == ["متى تفتحون؟"]
    assert events[-1]["type"] == "call.ended"
    assert socket.close_code == 1000


async def test_the_events_of_an_ended_call_are_told_and_the_socket_closed(host: FakeHost) -> None:
    async with client(host) as http, aiohttp.ClientSession() as sockets:
        call = await post_offer(http)
        await http.delete(call)
        async with sockets.ws_connect(f"{host.url}{call}/events") as socket:
            kinds = [message.json()["type"] async for message in socket]

    assert kinds == ["call.started", "call.state", "call.ended"]
    assert socket.close_code == 1000


async def test_an_event_socket_of_a_forged_call_is_refused(host: FakeHost) -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await http.ws_connect(f"{host.url}/v1/calls/forged/events")

    assert error.value.status == 403


async def test_text_that_comes_before_the_greeting_is_not_lost_in_silence(host: FakeHost) -> None:
    async with client(host) as http, aiohttp.ClientSession() as sockets:
        call = await post_offer(http)
        async with sockets.ws_connect(f"{host.url}{call}/events") as socket:
            await socket.send_json({"type": "caller.text", "text": "hello"})
            events = [await socket.receive_json(timeout=20), await socket.receive_json(timeout=20)]

    assert events[1]["code"] == "call_not_ready"


async def test_a_caller_that_never_connects_is_forgotten(tmp_path: Path) -> None:
    media = {"host_addresses": [LOOPBACK], "connect_timeout_s": 0.3}
    async with open_host(tmp_path, media=media) as host, client(host) as http:
        call = await post_offer(http)
        line = weakref.ref(next(iter(host._calls.values())).line)
        await all_over(host)
        state = (await http.get(call)).json()
        await until(lambda: freed(line))

    assert (state["state"], state["reason"]) == ("ended", "not_connected")
    assert [event["reason"] for event in host.told("call.ended")] == ["not_connected"]


async def test_of_an_ended_call_only_the_account_is_kept(host: FakeHost) -> None:
    """Its session would hold a megabyte of audio, and 200 ended calls are kept."""
    async with CallerLine(host_addresses=(LOOPBACK,)) as line:
        await line.connect(host.url, "fake")
        live = next(iter(host._calls.values()))
        session, door = weakref.ref(live.session), weakref.ref(live.line)
        del live
    await all_over(host)

    await until(lambda: freed(session, door))


async def test_ended_calls_are_forgotten_after_a_while(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_app.calls, "ENDED_KEPT", 2)
    async with client(host) as http:
        calls = [await post_offer(http) for _ in range(3)]
        for call in calls:
            await http.delete(call)
        statuses = [(await http.get(call)).status_code for call in calls]

    assert statuses == [410, 200, 200]


@pytest.mark.parametrize("hanging", ["voice", "knowledge"])
async def test_a_model_that_hangs_does_not_keep_the_caller_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    monkeypatch.setattr(serve_app.calls, "PREPARE_S", 0.2)
    async with open_host(tmp_path) as host, CallerLine(host_addresses=(LOOPBACK,)) as line:
        if hanging == "voice":
            host.tts.hangs = True
        else:
            monkeypatch.setattr(host.knowledge, "phrasebook", lambda tenant: asyncio.Event().wait())
        await line.connect(host.url, "fake")

        await until(lambda: any(live.session._tasks is not None for live in host._calls.values()))
        await line.hang_up()

    assert [event["reason"] for event in host.told("call.ended")] == ["caller_hung_up"]


@pytest.mark.parametrize("error", [StageFailed("knowledge_gone", "-"), NotFound("tenant_unknown", "-"), KeyError("x")])
async def test_a_knowledge_base_that_fails_ends_no_call(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fails(tenant: str) -> None:
        raise error

    monkeypatch.setattr(host.knowledge, "phrasebook", fails)
    async with CallerLine(host_addresses=(LOOPBACK,)) as line:
        await line.connect(host.url, "fake")
        await until(lambda: "call.state" in [event.type for event in host.sink.events])

    assert host.told("call.state")[0]["state"] == "greeting"


async def test_a_knowledge_base_that_fails_does_not_restart_the_replica(tmp_path: Path) -> None:
    async with open_host(tmp_path) as host:
        host.knowledge.fails = StageFailed("knowledge_gone", "-")
        await until(lambda: len(host.knowledge.queries) > 0)
        await host.check_health()
        with pytest.raises(StageBusy, match="warming_up"):
            await host.ready()

        host.knowledge.fails = None
        await until(lambda: host._warm)

        assert await host.ready() == {"calls": 0, "most_calls": 20, "loop_lag_ms": 0.0}


async def test_a_refused_offer_takes_no_place(host: FakeHost) -> None:
    tenant = await host.tenants.by_id("fake")
    with pytest.raises(BadOffer, match="offer_unusable"):
        await host.open_call(tenant, OFFER.replace("opus/48000/2", "opus/8000").encode())

    assert host.calls == 0
    assert host.sink.events == []


# ---------------------------------------------------------------- the replica's end


def patient(seconds: float) -> dict[str, object]:
    return {"call_host": {"graceful_shutdown_timeout_s": seconds + serve_app.calls.DRAIN_MARGIN_S}}


async def test_a_host_that_stops_waits_for_its_calls(tmp_path: Path) -> None:
    async with open_host(tmp_path, deployments=patient(30)) as host, client(host) as http:
        call = await post_offer(http)
        draining = asyncio.create_task(host.drain())
        await asyncio.sleep(0)
        refused = await http.post("/v1/calls?tenant=fake", content=OFFER, headers={"content-type": "application/sdp"})
        assert not draining.done() and not host.sink.closed
        assert (await http.delete(call)).status_code == 204
        async with asyncio.timeout(20):  # of thirty seconds of patience
            await draining

    assert refused.json()["code"] == "host_draining"
    assert refused.headers["retry-after"] == "5"
    assert host.told("call.ended")[0]["reason"] == "caller_hung_up"
    assert host.sink.closed


async def test_callers_are_told_that_the_host_stops(tmp_path: Path) -> None:
    async with (
        open_host(tmp_path, deployments=patient(serve_app.calls.LEAVE_S)) as host,
        CallerLine(host_addresses=(LOOPBACK,)) as line,
    ):
        await line.connect(host.url, "fake")
        await until(lambda: "agent.heard" in [event.type for event in host.sink.events])
        await host.drain()

    last = host.told("agent.heard")[-1]
    assert (last["text"], last["complete"]) == ("en closing_down of Fake Utility", True)
    assert [event["reason"] for event in host.told("call.ended")] == ["host_shutdown"]


@pytest.mark.parametrize("connected", [True, False])
async def test_a_host_that_can_wait_no_longer_says_so(tmp_path: Path, connected: bool) -> None:
    async with (
        open_host(tmp_path, deployments=patient(0)) as host,
        client(host) as http,
        CallerLine(host_addresses=(LOOPBACK,)) as line,
    ):
        if connected:
            await line.connect(host.url, "fake")
            await until(lambda: "call.state" in [event.type for event in host.sink.events])
        else:
            await post_offer(http)
        await host.drain()

    assert [event["reason"] for event in host.told("call.ended")] == ["host_shutdown"]
    assert host.sink.events[-1].type == "call.ended"
    assert host.calls == 0


async def test_an_offer_that_is_being_answered_when_the_host_stops_becomes_no_call(tmp_path: Path) -> None:
    async with open_host(tmp_path) as host:
        tenant = await host.tenants.by_id("fake")
        opening = asyncio.create_task(host.open_call(tenant, OFFER.encode()))
        await asyncio.sleep(0)
        await host.drain()

        with pytest.raises(StageBusy, match="host_draining"):
            await opening

    assert host.sink.events == []


async def test_nothing_of_a_host_outlives_it(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with open_host(tmp_path) as host, client(host) as http:
        await post_offer(http)
        address = host.address

    await until(lambda: asyncio.all_tasks() <= before)
    with pytest.raises(OSError):
        await asyncio.open_connection(*address.split(":"))


async def test_a_dead_housekeeper_makes_the_replica_unhealthy(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    await host.check_health()

    async def broken() -> None:
        raise RuntimeError("a mistake of ours")

    host._housekeeping.cancel()
    host._housekeeping = asyncio.create_task(broken())
    await asyncio.wait([host._housekeeping])

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        await host.check_health()
