"""Every error that leaves over HTTP is `application/problem+json` (RFC 9457) with a stable `code`.

In: an exception raised anywhere below a Starlette or FastAPI application (Api and CallHost share this).
Out: `{type, title, status, code, detail, stage?}`, where `type` is `urn:dukat:<code>`; 503 and 429 carry `Retry-After`.
What we did not foresee becomes 500 `internal` with an `error_id` that is also in the log; the stack stays in the log.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from deployments.contracts.errors import DukatError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
"""A queue that is full now is usually not full a second later (a stage takes well under a second a request)."""
RETRY_AFTER_OF = {"host_full": 5, "host_late": 5, "host_draining": 5}
"""A place becomes free when a call ends; a new replica is there in some seconds."""

_CODES = {400: "request_invalid", 404: "route_unknown", 405: "method_not_allowed", 413: "body_too_large"}


def install(app: Starlette) -> None:
    """Make `app` (Starlette or FastAPI) answer every error as a problem."""
    app.add_exception_handler(DukatError, _on_dukat_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_middleware(_Unexpected)


def problem(
    status: int,
    code: str,
    detail: str,
    stage: str = "",
    headers: Mapping[str, str] | None = None,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """One problem document; `members` are extension members beside the standard ones."""
    body: dict[str, Any] = {
        "type": f"urn:dukat:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if stage:
        body["stage"] = stage
    body.update(members or {})
    sent = dict(headers or {})
    if status in (429, 503):
        sent.setdefault("Retry-After", str(RETRY_AFTER_S))
    if status == 401:
        sent.setdefault("WWW-Authenticate", "Bearer")
    return JSONResponse(body, status_code=status, headers=sent, media_type=MEDIA_TYPE)


def problem_of(error: DukatError, headers: Mapping[str, str] | None = None) -> Response:
    """The problem document of one of our own errors."""
    wait_s = RETRY_AFTER_OF.get(error.code)
    if wait_s is not None:
        headers = {"Retry-After": str(wait_s), **(headers or {})}
    return problem(error.status, error.code, error.detail, error.stage, headers)


async def _on_dukat_error(connection: Any, error: Exception) -> Any:
    assert isinstance(error, DukatError)
    if error.status >= 500:
        log.warning("request failed", extra={"code": error.code, "stage": error.stage, "path": connection.url.path})
    if isinstance(connection, WebSocket):
        # 1008: the client's mistake; 1011: ours (RFC 6455 §7.4.1). A reason longer than 123 bytes is a protocol error.
        await connection.close(1011 if error.status >= 500 else 1008, error.code[:120])
        return None
    return problem_of(error)


async def _on_validation_error(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | ValidationError)
    # The rejected values are left out on purpose: they may be what a caller said.
    wrong = [{"where": _path(item["loc"]), "message": str(item["msg"])} for item in error.errors()]
    detail = "; ".join(f"{item['where']}: {item['message']}" for item in wrong)
    return problem(422, "request_invalid", detail, members={"errors": wrong})


async def _on_http_exception(_: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, f"http_{error.status_code}")
    detail = error.detail or HTTPStatus(error.status_code).phrase
    return problem(error.status_code, code, detail, headers=error.headers)


def _path(location: Iterable[int | str]) -> str:
    return ".".join(str(part) for part in location)


class _Unexpected:
    """Answers what no handler foresaw. Starlette's own place for this raises again afterwards, which logs it twice."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        except ClientDisconnect:
            log.info("client left", extra={"path": scope["path"]})
        except Exception:
            error_id = uuid.uuid4().hex
            log.exception("unexpected error", extra={"error_id": error_id, "path": scope["path"]})
            if started:
                raise  # half an answer is out: the connection must break, or the client would take it for whole
            detail = f"Something went wrong on our side. Please quote error {error_id}."
            await problem(500, "internal", detail, members={"error_id": error_id})(scope, receive, send)
