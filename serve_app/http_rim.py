"""The outermost layer of the control plane: counts and times requests, limits bodies, sets the security headers.

Plain ASGI, so that streamed answers pass through untouched.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY_HEADERS = {
    # No inline script or style, nothing from elsewhere; blob: because a browser may play recorded audio from memory.
    "Content-Security-Policy": (
        "default-src 'self'; connect-src 'self'; style-src 'self'; media-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class HttpRim:
    """Wraps the whole application."""

    def __init__(
        self,
        app: ASGIApp,
        registry: CollectorRegistry,
        most_body_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self._most_body_bytes = most_body_bytes
        self._clock = clock
        self._requests = Counter(
            "dukat_http_requests", "HTTP requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "dukat_http_request_seconds", "Time from request to end of answer.", ("method", "route"), registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began_s = self._clock()
        status = 499  # the client left before we answered

        async def rim_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self.app(scope, self._limited(scope, receive), rim_send)
        finally:
            # The template, not the path: paths hold identities, and each label value costs memory for ever.
            route = getattr(scope.get("route"), "path", "unknown")
            method = scope["method"] if status not in (405, 501) else "other"
            self._requests.labels(method, route, str(status)).inc()
            self._seconds.labels(method, route).observe(self._clock() - began_s)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        declared = Headers(scope=scope).get("content-length", "")
        too_large = HTTPException(413, f"A request body may have at most {self._most_body_bytes} bytes.")
        heard_bytes = int(declared) if declared.isdigit() and int(declared) > self._most_body_bytes else 0

        async def limited_receive() -> Message:
            nonlocal heard_bytes
            if heard_bytes > self._most_body_bytes:
                raise too_large
            message = await receive()
            if message["type"] == "http.request":
                heard_bytes += len(message.get("body", b""))
                if heard_bytes > self._most_body_bytes:
                    raise too_large
            return message

        return limited_receive
