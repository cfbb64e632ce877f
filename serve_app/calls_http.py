"""The HTTP side of calls: `POST /v1/calls` and everything below a call's `Location`.

Served by Serve under `/v1/calls` and by each host's own listener. A request for a call that another host owns is passed
on to it, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from deployments.contracts.errors import BadInput, CallOver, NotAllowed, StageBusy, StageTimeout
from serve_app import problems
from serve_app.call_tokens import CallToken, CallTokens
from serve_app.doors.messages import UNREADABLE, read_message
from serve_app.doors.offer import MOST_OFFER_BYTES, Door, door_of
from serve_app.held_calls import EndedCall, LiveCall
from serve_app.host_peers import HostPeers
from serve_app.listener import FORWARDED, Forwarder
from serve_app.tenants.gate import Gate
from serve_app.tenants.models import Tenant
from serve_app.tenants.store import TenantStore

log = logging.getLogger(__name__)

PREFIX = "/v1/calls"
MOST_PASSES = 2
"""Hosts that are asked to take a call which the one it came to cannot: the caller waits meanwhile."""


class Host(Protocol):
    """What the routes need of a call host; `calls.CallHost` says what each does and raises."""

    @property
    def gate(self) -> Gate: ...
    @property
    def tenants(self) -> TenantStore: ...
    @property
    def tokens(self) -> CallTokens: ...
    @property
    def forwarder(self) -> Forwarder: ...
    @property
    def peers(self) -> HostPeers: ...

    async def open_call(self, tenant: Tenant, body: bytes, language: str | None = None) -> tuple[str, str]: ...
    def owns(self, token: CallToken) -> bool: ...
    def find(self, token: CallToken) -> LiveCall | EndedCall: ...
    def live(self, token: CallToken) -> LiveCall: ...
    async def renew(self, token: CallToken, body: bytes) -> str: ...

    async def hang_up(self, token: CallToken) -> None: ...


def build_calls_app(host: Host) -> ASGIApp:
    """The ASGI application of one host."""
    routes = _Routes(host)
    app = Starlette(
        routes=[
            Route(PREFIX, routes.open_call, methods=["POST"]),
            Route(f"{PREFIX}/{{call}}", routes.one_call, methods=["GET", "PATCH", "DELETE"]),
            Route(f"{PREFIX}/{{call}}/transcript", routes.transcript, methods=["GET"]),
            WebSocketRoute(f"{PREFIX}/{{call}}/events", routes.events),
        ]
    )
    app.router.redirect_slashes = False
    problems.install(app)

    async def full_path(scope: Scope, receive: Receive, send: Send) -> None:
        # Serve hands over `root_path=/v1/calls`; a router that strips it would answer the bare prefix with a redirect,
        # and a redirected POST loses its body in some clients. Here the whole path is matched instead.
        if scope["type"] in ("http", "websocket"):
            root, path = scope.get("root_path", ""), scope["path"]
            path = path if path.startswith(PREFIX) else root + path
            scope = {**scope, "root_path": "", "path": path.rstrip("/") or "/"}
        await app(scope, receive, send)

    return full_path


class _Routes:
    def __init__(self, host: Host) -> None:
        self._host = host

    async def open_call(self, request: Request) -> Response:
        """An SDP offer → 201, the answer and the call's `Location`."""
        _require(request, "application/sdp")
        tenant = await self._tenant(request)
        authorization = request.headers.get("authorization")
        self._host.gate.check(request.headers, tenant)
        if "resume" in request.query_params:
            raise BadInput("resume_unsupported", "calls cannot be resumed yet", "calls", 501)
        body = await _body(request)
        if authorization is None and door_of(body) is Door.RTP:
            # Such an offer has us send packets wherever it says, unasked: not for everybody who reaches an open tenant.
            raise NotAllowed("token_missing", "a call over plain RTP needs Authorization: Bearer <token>", "gate")
        try:
            token, answer = await self._host.open_call(tenant, body, request.query_params.get("lang"))
        except StageBusy:
            if (passed := await self._elsewhere(request, body)) is not None:
                return passed
            raise
        return Response(answer, 201, {"Location": f"{PREFIX}/{token}"}, "application/sdp")

    async def _elsewhere(self, request: Request, body: bytes) -> Response | None:
        """The offer answered by another host; None when none takes it."""
        if FORWARDED in request.headers:
            return None
        for peer in self._host.peers.freest()[:MOST_PASSES]:
            try:
                passed = await self._host.forwarder.request(peer, request, body)
            except (CallOver, StageTimeout) as error:
                log.info("peer_silent", extra={"peer": peer, "code": error.code})
                continue
            if passed.status_code == 201:
                return passed
        return None

    async def one_call(self, request: Request) -> Response:
        """State and ledger (GET), trickled candidates (PATCH), hang-up (DELETE)."""
        token = self._host.tokens.read(request.path_params["call"])
        body = await _body(request)
        if (passed := await self._pass_on(token, request, body)) is not None:
            return passed
        if request.method in ("GET", "HEAD"):
            return JSONResponse(self._host.find(token).snapshot())
        if request.method == "DELETE":
            await self._host.hang_up(token)
            return Response(status_code=204)
        if _media_type(request) == "application/sdp":
            return Response(await self._host.renew(token, body), 200, media_type="application/sdp")
        _require(request, "application/trickle-ice-sdpfrag")
        await self._host.live(token).line.add_candidates(body.decode("utf-8", "replace"))
        return Response(status_code=204)

    async def transcript(self, request: Request) -> Response:
        """What was said and heard so far."""
        token = self._host.tokens.read(request.path_params["call"])
        if (passed := await self._pass_on(token, request, b"")) is not None:
            return passed
        events = self._host.find(token).events()
        lines = [line for event in events if (line := _transcript_line(event)) is not None]
        return JSONResponse({"call": token.call, "tenant": token.tenant, "lines": lines})

    async def events(self, socket: WebSocket) -> None:
        """The call's events as they happen; inbound `caller.text`."""
        token = self._host.tokens.read(socket.path_params["call"])
        if not self._host.owns(token) and FORWARDED not in socket.headers:
            await self._host.forwarder.websocket(token.owner, socket)
            return
        call = self._host.find(token)
        await socket.accept()
        if isinstance(call, EndedCall):
            await _tell(socket, call.events())
            return
        session = call.session
        queue = session.record.watch()
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(_send_events(socket, queue))
                hearing = group.create_task(_hear(socket, session.on_message))
                await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
                sending.cancel()
                hearing.cancel()
        finally:
            session.record.unwatch(queue)

    async def _tenant(self, request: Request) -> Tenant:
        dialled, tenant = request.query_params.get("to"), request.query_params.get("tenant")
        if tenant is not None:
            return await self._host.tenants.by_id(tenant)
        if dialled is not None:
            return await self._host.tenants.by_number(dialled)
        raise BadInput("tenant_missing", "say whom you call: ?to=<dialled number> or ?tenant=<id>", "calls")

    async def _pass_on(self, token: CallToken, request: Request, body: bytes) -> Response | None:
        if self._host.owns(token) or FORWARDED in request.headers:
            return None
        return await self._host.forwarder.request(token.owner, request, body)


def _require(request: Request, media_type: str) -> None:
    given = _media_type(request)
    if given != media_type:
        raise BadInput("content_type_wrong", f"the body must be {media_type}, not {given or 'unnamed'}", "calls", 415)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_OFFER_BYTES:
            raise BadInput("body_too_large", f"a body may have {MOST_OFFER_BYTES} bytes", "calls", 413)
    return bytes(body)


def _transcript_line(event: dict[str, Any]) -> dict[str, Any] | None:
    if event["type"] == "transcript.final":
        return {"turn": event["turn"], "speaker": "caller", "text": event["text"], "at_ms": event["at_ms"]}
    if event["type"] == "agent.heard":
        return {"turn": event["turn"], "speaker": "agent", "text": event["text"], "at_ms": event["at_ms"]}
    return None


async def _tell(socket: WebSocket, events: Sequence[dict[str, Any]]) -> None:
    """What a call was that is over."""
    with contextlib.suppress(WebSocketDisconnect):
        for event in events:
            await socket.send_text(json.dumps(event, ensure_ascii=False))
        await socket.close()


async def _send_events(socket: WebSocket, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while (event := await queue.get()) is not None:
            await socket.send_text(json.dumps(event, ensure_ascii=False))
        await socket.close()


async def _hear(socket: WebSocket, on_message: Callable[[dict[str, object]], None]) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while (received := await socket.receive())["type"] == "websocket.receive":
            message = read_message(received.get("text"))
            if message is None:
                await socket.send_text(json.dumps(UNREADABLE))
            else:
                on_message(message)
