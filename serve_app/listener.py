"""Each host's own small HTTP listener, and the passing on of requests to the host that owns a call.

Serve balances requests over replicas and knows nothing of calls; so a replica that does not own the call hands the
request to the owner's listener, whose address is in the signed call token.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator

import aiohttp
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from deployments.contracts.errors import CallOver, StageTimeout

log = logging.getLogger(__name__)

FORWARDED = "x-dukat-forwarded"
"""Set on what was passed on once already: it is answered where it arrives, so that nothing goes in circles."""
_PASSED_HEADERS = ("content-type", "authorization", "if-match")
_RETURNED_HEADERS = ("content-type", "location", "retry-after", "etag")


class _Server(uvicorn.Server):
    """uvicorn inside somebody else's process: it must leave the signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Listener:
    """Serves `app` on an address of its own."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind((host, 0))
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{shown}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="websockets-sansio")
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Take nothing more and close WebSockets, without waiting; a request under way may still be answered."""
        if self._serving is None:
            self._socket.close()
            return
        self._server.should_exit = self._server.force_exit = True
        await self._serving


class Forwarder:
    """Passes requests on to owners."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=1.0)
        self._session: aiohttp.ClientSession | None = None

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout, auto_decompress=False)
        return self._session

    async def request(self, owner: str, request: Request, body: bytes) -> Response:
        """The owner's answer. Raises `CallOver` when nobody is there, `StageTimeout` when it takes too long."""
        headers = {name: value for name in _PASSED_HEADERS if (value := request.headers.get(name)) is not None}
        url = f"http://{owner}{request.url.path}"
        try:
            async with self._http().request(
                request.method,
                url,
                params=request.query_params,
                data=body,
                headers={**headers, FORWARDED: "1"},
                allow_redirects=False,
            ) as answer:
                content = await answer.read()
                kept = {name: value for name in _RETURNED_HEADERS if (value := answer.headers.get(name)) is not None}
                return Response(content, answer.status, kept)
        except aiohttp.ClientError as error:
            raise _gone() from error
        except TimeoutError as error:
            raise StageTimeout("call_owner_slow", "the host that holds this call takes too long", "calls") from error

    async def websocket(self, owner: str, socket_: WebSocket) -> None:
        """Join the client's WebSocket with the owner's until one of them closes."""
        try:
            url = f"ws://{owner}{socket_.url.path}"
            async with self._http().ws_connect(url, headers={FORWARDED: "1"}) as upstream:
                await socket_.accept()
                async with asyncio.TaskGroup() as group:
                    down = group.create_task(_down(upstream, socket_))
                    up = group.create_task(_up(socket_, upstream))
                    await asyncio.wait([down, up], return_when=asyncio.FIRST_COMPLETED)
                    down.cancel()
                    up.cancel()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _gone() from error

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _gone() -> CallOver:
    return CallOver("call_owner_gone", "the host that held this call does not answer", "calls")


async def _down(upstream: aiohttp.ClientWebSocketResponse, client: WebSocket) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # the client has closed already
        async for message in upstream:
            if message.type is aiohttp.WSMsgType.TEXT:
                await client.send_text(message.data)
        if upstream.close_code in (None, aiohttp.WSCloseCode.ABNORMAL_CLOSURE):  # must not be sent (RFC 6455 §7.4.1)
            await client.close(aiohttp.WSCloseCode.INTERNAL_ERROR, "call_owner_gone")
        else:
            await client.close(upstream.close_code)


async def _up(client: WebSocket, upstream: aiohttp.ClientWebSocketResponse) -> None:
    with contextlib.suppress(WebSocketDisconnect, ConnectionError):  # either side has gone; `_down` tells the client
        while (received := await client.receive())["type"] == "websocket.receive":
            text = received.get("text")
            await (upstream.send_bytes(received["bytes"]) if text is None else upstream.send_str(text))
