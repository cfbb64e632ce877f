"""Errors over HTTP: every kind becomes a problem document with a stable code."""

from __future__ import annotations

import logging

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

from deployments.contracts.errors import CallOver, DukatError, NotAllowed, NotFound, StageBusy
from serve_app import problems


class Wanted(BaseModel):
    count: int


def app_that_raises(error: Exception) -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/it")
    async def raise_it() -> None:
        raise error

    @app.post("/wanted")
    async def take(wanted: Wanted) -> int:
        return wanted.count

    @app.websocket("/ws")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        raise error

    return app


async def answer(app: Starlette, method: str = "GET", path: str = "/it", **rest: object) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.request(method, path, **rest)  # type: ignore[arg-type]


async def test_our_error_is_answered_with_its_status_code_and_stage() -> None:
    error = DukatError("llm_refused", "the model refused", "llm", 502)

    response = await answer(app_that_raises(error))

    assert response.status_code == 502
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "urn:dukat:llm_refused",
        "title": "Llm refused",
        "status": 502,
        "code": "llm_refused",
        "detail": "the model refused",
        "stage": "llm",
    }


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("tenant_unknown", "no such tenant"), 404),
        (NotAllowed("token_missing", "send a token"), 401),
        (NotAllowed("tenant_foreign", "not yours", status=403), 403),
        (CallOver("call_over", "the call has ended"), 410),
        (StageBusy("full", "no line is free"), 503),
    ],
)
async def test_the_class_of_an_error_gives_its_status(error: DukatError, status: int) -> None:
    response = await answer(app_that_raises(error))

    assert (response.status_code, response.json()["code"]) == (status, error.code)
    assert "stage" not in response.json()


async def test_busy_says_when_to_try_again_and_missing_credentials_say_which() -> None:
    busy = await answer(app_that_raises(StageBusy("full", "no line is free")))
    too_many = await answer(app_that_raises(DukatError("rate_limited", "slower", status=429)))
    missing = await answer(app_that_raises(NotAllowed("token_missing", "send a token")))

    assert int(busy.headers["retry-after"]) >= 1
    assert int(too_many.headers["retry-after"]) >= 1
    assert missing.headers["www-authenticate"] == "Bearer"
    assert "retry-after" not in missing.headers


async def test_a_wrong_body_names_the_field_and_does_not_repeat_its_value() -> None:
    response = await answer(app_that_raises(ValueError()), "POST", "/wanted", json={"count": "my secret"})

    assert response.status_code == 422
    assert response.json()["code"] == "request_invalid"
    assert response.json()["errors"][0]["where"] == "body.count"
    assert "my secret" not in response.text


async def test_a_value_our_own_models_refuse_is_the_senders_mistake() -> None:
    async def parse(_: Request) -> Response:
        return PlainTextResponse(str(Wanted.model_validate({"count": None})))

    app = Starlette(routes=[Route("/it", parse)])
    problems.install(app)

    response = await answer(app)

    assert (response.status_code, response.json()["code"]) == (422, "request_invalid")


async def test_unknown_routes_and_methods_have_codes_of_their_own() -> None:
    app = app_that_raises(ValueError())

    unknown = await answer(app, path="/nowhere")
    wrong_method = await answer(app, "PUT")

    assert (unknown.status_code, unknown.json()["code"]) == (404, "route_unknown")
    assert (wrong_method.status_code, wrong_method.json()["code"]) == (405, "method_not_allowed")
    assert wrong_method.headers["allow"] == "GET"


async def test_the_unforeseen_is_logged_under_an_id_and_shows_nothing_of_the_inside(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR, "serve_app.problems"):
        response = await answer(app_that_raises(RuntimeError("password=hunter2")))

    body = response.json()
    assert (response.status_code, body["code"]) == (500, "internal")
    assert "hunter2" not in response.text
    assert [getattr(record, "error_id", None) for record in caplog.records] == [body["error_id"]]
    assert "hunter2" in str(caplog.records[0].exc_info)


async def test_a_failure_in_the_middle_of_an_answer_breaks_the_connection() -> None:
    async def half(_: Request) -> Response:
        async def pieces():  # type: ignore[no-untyped-def]
            yield b"half of"
            raise RuntimeError("broke")

        return StreamingResponse(pieces())

    app = Starlette(routes=[Route("/it", half)])
    problems.install(app)

    with pytest.raises(RuntimeError, match="broke"):
        await answer(app)


async def test_a_web_socket_is_closed_with_the_code_as_reason() -> None:
    app = app_that_raises(CallOver("call_over", "the call has ended"))
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/ws", "headers": [], "query_string": b""}, receive, send)

    assert sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "call_over"}
