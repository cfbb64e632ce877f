"""A host's own listener, and the passing on of requests: what goes over, what comes back, what becomes of failures."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from serve_app import problems
from serve_app.listener import FORWARDED, Forwarder, Listener

LOOPBACK = "127.0.0.1"
ANYTHING = "/v1/calls/{call:path}"


@asynccontextmanager
async def listening(app: Any, host: str = LOOPBACK) -> AsyncIterator[str]:
    listener = Listener(app, host)
    await listener.start()
    try:
        yield listener.address
    finally:
        await listener.stop()


@asynccontextmanager
async def passing_on(owner: str, timeout_s: float = 10.0) -> AsyncIterator[str]:
    """A server that passes everything on to `owner`; its address."""
    forwarder = Forwarder(timeout_s)

    async def request(request: Request) -> Response:
        return await forwarder.request(owner, request, await request.body())

    async def events(socket: WebSocket) -> None:
        await forwarder.websocket(owner, socket)

    routes = [Route(ANYTHING, request, methods=["GET", "PATCH", "DELETE"]), WebSocketRoute(ANYTHING, events)]
    app = Starlette(routes=routes)
    problems.install(app)
    async with listening(app) as address:
        yield address
    await forwarder.close()


@asynccontextmanager
async def owning(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """An owner that answers as `handle` does."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    yield "{}:{}".format(*runner.addresses[0][:2])
    await runner.cleanup()


async def ask(address: str, method: str = "GET", path: str = "/v1/calls/c1", **more: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.request(method, f"http://{address}{path}", **more)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# ---------------------------------------------------------------- the listener


async def where(request: Request) -> Response:
    return JSONResponse({"path": request.url.path})


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
async def test_a_listener_serves_on_an_address_of_its_own(host: str) -> None:
    app = Starlette(routes=[Route("/{rest:path}", where)])
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with listening(app, host) as first, listening(app, host) as second:
        answer = await ask(first)
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers

    assert first != second
    assert answer.json() == {"path": "/v1/calls/c1"}
    with pytest.raises(httpx.ConnectError):
        await ask(first)


async def test_stopping_does_not_wait_for_a_request_that_hangs() -> None:
    began, released = asyncio.Event(), asyncio.Event()

    async def hang(request: Request) -> Response:
        began.set()
        await released.wait()
        return Response("late")

    listener = Listener(Starlette(routes=[Route("/{rest:path}", hang)]), LOOPBACK)
    await listener.start()
    asking = asyncio.create_task(ask(listener.address, timeout=60))
    await began.wait()

    async with asyncio.timeout(20):
        await listener.stop()
    assert not asking.done()
    released.set()

    assert (await asking).text == "late"


async def test_a_listener_that_was_never_started_gives_its_port_back() -> None:
    listener = Listener(Starlette(), LOOPBACK)

    await listener.stop()

    with pytest.raises(httpx.ConnectError):
        await ask(listener.address)


# ---------------------------------------------------------------- passing on


async def test_a_request_arrives_whole_and_marked() -> None:
    async def show(request: web.Request) -> web.Response:
        seen = {
            "method": request.method,
            "path": request.raw_path,
            "body": (await request.read()).decode(),
            **{name: request.headers.get(name) for name in ("content-type", "authorization", "cookie", FORWARDED)},
        }
        headers = {"Location": "/v1/calls/x", "Retry-After": "3", "Set-Cookie": "a=b"}
        return web.Response(status=418, text=json.dumps(seen), content_type="application/problem+json", headers=headers)

    async with owning(show) as owner, passing_on(owner) as address:
        headers = {"content-type": "application/sdp", "authorization": "Bearer t", "cookie": "private"}
        answer = await ask(address, "PATCH", "/v1/calls/c1?a=1&b=%20", content="v=0", headers=headers)

    assert answer.status_code == 418
    assert answer.json() == {
        "method": "PATCH",
        "path": "/v1/calls/c1?a=1&b=+",
        "body": "v=0",
        "content-type": "application/sdp",
        "authorization": "Bearer t",
        "cookie": None,
        FORWARDED: "1",
    }
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert (answer.headers["location"], answer.headers["retry-after"]) == ("/v1/calls/x", "3")
    assert "set-cookie" not in answer.headers


async def test_an_owner_s_redirect_is_handed_back_and_not_followed() -> None:
    """Whoever listens at the address of a host that died must not send us anywhere."""
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/v1/calls/elsewhere"})

    async with owning(elsewhere) as owner, passing_on(owner) as address:
        answer = await ask(address)

    assert answer.status_code == 302
    assert asked == ["/v1/calls/c1"]


async def test_an_owner_that_is_slow_is_not_gone() -> None:
    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with owning(hang) as owner, passing_on(owner, timeout_s=0.2) as address:
        answer = await ask(address)

    assert code(answer) == (504, "call_owner_slow")


async def test_an_owner_that_breaks_off_is_gone() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"})
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    async with owning(half) as owner, passing_on(owner) as address:
        answer = await ask(address)

    assert code(answer) == (410, "call_owner_gone")


async def test_what_speaks_no_http_at_the_owner_s_address_is_no_owner() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 smtp.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, LOOPBACK, 0) as server:
        owner = "{}:{}".format(*server.sockets[0].getsockname())
        async with passing_on(owner) as address:
            answer = await ask(address)

    assert code(answer) == (410, "call_owner_gone")


# ---------------------------------------------------------------- WebSockets


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    assert request.headers[FORWARDED] == "1"
    async for message in socket:
        if message.data == "bye":
            await socket.close(code=4321)
        elif message.data == "die":
            assert request.transport is not None
            request.transport.abort()
        else:
            await socket.send_str(str(message.data))
    return socket


async def test_a_websocket_goes_both_ways_for_longer_than_a_request_may() -> None:
    async with (
        owning(echo) as owner,
        passing_on(owner, timeout_s=0.3) as address,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{address}/v1/calls/c1/events") as socket,
    ):
        await socket.send_str("أهلا")
        first = await socket.receive_str(timeout=20)
        await asyncio.sleep(0.5)
        await socket.send_bytes(b"two")
        second = await socket.receive_str(timeout=20)
        await socket.send_str("bye")
        last = await socket.receive(timeout=20)

    assert (first, second) == ("أهلا", "b'two'")
    assert (last.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 4321)


async def test_an_owner_that_dies_closes_the_client_s_websocket_as_our_fault() -> None:
    async with (
        owning(echo) as owner,
        passing_on(owner) as address,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"ws://{address}/v1/calls/c1/events") as socket,
    ):
        await socket.send_str("die")
        last = await socket.receive(timeout=20)

    assert (last.type, last.data, last.extra) == (aiohttp.WSMsgType.CLOSE, 1011, "call_owner_gone")


@pytest.mark.parametrize("politely", [True, False])
async def test_a_client_that_leaves_ends_the_owner_s_websocket(politely: bool) -> None:
    left = asyncio.Event()

    async def noting(request: web.Request) -> web.WebSocketResponse:
        try:
            return await echo(request)
        finally:
            left.set()

    async with owning(noting) as owner, passing_on(owner) as address, aiohttp.ClientSession() as http:
        socket = await http.ws_connect(f"ws://{address}/v1/calls/c1/events")
        await socket.send_str("hello")
        await socket.receive_str(timeout=20)
        if politely:
            await socket.close()
        else:
            assert socket._conn is not None and socket._conn.transport is not None
            socket._conn.transport.abort()
        async with asyncio.timeout(20):
            await left.wait()


async def test_a_websocket_that_the_owner_refuses_is_refused() -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403)

    async with owning(refuse) as owner, passing_on(owner) as address, aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await http.ws_connect(f"ws://{address}/v1/calls/c1/events")

    assert error.value.status == 403
