"""The public interface of calls on one host, over a real uvicorn: statuses, codes, headers, and who may."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from starlette.types import Receive, Scope, Send

from deployments.contracts.errors import StageFailed
from serve_app.call_tokens import AUDIENCE, CallToken, CallTokens
from serve_app.doors.offer import MOST_OFFER_BYTES
from serve_app.listener import Listener
from tests.fakes.fake_host import (
    CANDIDATE,
    NUMBER,
    OFFER,
    SDP,
    TRICKLE,
    FakeHost,
    client,
    open_host,
    post_offer,
    refused,
)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[FakeHost]:
    async with open_host(tmp_path) as opened:
        yield opened


@pytest.fixture
async def http(host: FakeHost) -> AsyncIterator[httpx.AsyncClient]:
    async with client(host) as opened:
        yield opened


# ---------------------------------------------------------------- opening


@pytest.mark.parametrize("path", ["/v1/calls", "/v1/calls/"])
async def test_an_offer_is_answered_without_a_redirect(host: FakeHost, http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(f"{path}?tenant=fake", content=OFFER, headers=SDP)

    assert answer.status_code == 201
    assert answer.headers["content-type"].startswith("application/sdp")
    assert answer.text.startswith("v=0") and "m=audio" in answer.text
    token = host.tokens.read(answer.headers["location"].removeprefix("/v1/calls/"))
    assert (token.tenant, token.owner, token.epoch) == ("fake", host.address, 1)
    assert host.calls == 1


@pytest.mark.parametrize("whole_path", [True, False])
async def test_behind_the_route_prefix_of_serve_nothing_is_redirected(host: FakeHost, whole_path: bool) -> None:
    """Serve sets `root_path`, and the path with it (ASGI) or without it (older servers)."""
    app = host.__serve_build_asgi_app__()

    async def as_serve(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if whole_path else scope["path"].removeprefix("/v1/calls")
        await app({**scope, "root_path": "/v1/calls", "path": path}, receive, send)

    listener = Listener(as_serve, "127.0.0.1")
    await listener.start()
    async with httpx.AsyncClient(base_url=f"http://{listener.address}", trust_env=False) as http:
        call = await post_offer(http)
        state = await http.get(call)
        transcript = await http.get(f"{call}/transcript/")
    await listener.stop()

    assert state.json()["state"] == "connecting"
    assert transcript.status_code == 200


async def test_the_dialled_number_finds_the_tenant(host: FakeHost, http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/calls", params={"to": NUMBER}, content=OFFER, headers=SDP)

    assert answer.status_code == 201
    assert host.told("call.started")[0]["tenant_name"] == "Fake Utility"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (400, "tenant_missing")),
        ("?tenant=nobody", (404, "tenant_unknown")),
        ("?to=%2B15550000000", (404, "tenant_unknown")),
        ("?to=nonsense", (404, "tenant_unknown")),
        ("?tenant=asleep", (403, "tenant_inactive")),
        ("?tenant=locked", (401, "token_missing")),
        ("?tenant=fake&resume=x", (501, "resume_unsupported")),
    ],
)
async def test_a_call_to_nobody_is_refused(
    host: FakeHost, http: httpx.AsyncClient, query: str, expected: tuple[int, str]
) -> None:
    answer = await http.post(f"/v1/calls{query}", content=OFFER, headers=SDP)

    assert refused(answer) == expected
    assert host.calls == 0


async def test_the_installation_s_token_opens_a_locked_tenant(tmp_path: Path, http: httpx.AsyncClient) -> None:
    key = (tmp_path / "keys" / "api.token").read_text()
    answers = [
        await http.post("/v1/calls?tenant=locked", content=OFFER, headers={**SDP, "authorization": value})
        for value in (f"Bearer {key}", f"Bearer {key[:-1]}", "Bearer", key)
    ]

    assert [answer.status_code for answer in answers] == [201, 401, 401, 401]
    assert refused(answers[1])[1] == "token_invalid"
    assert answers[1].headers["www-authenticate"] == "Bearer"


async def test_a_wrong_body_is_refused_before_a_line_is_built(host: FakeHost, http: httpx.AsyncClient) -> None:
    post = "/v1/calls?tenant=fake"
    answers = [
        await http.post(post, content=OFFER, headers={"content-type": "application/json"}),
        await http.post(post, content=OFFER),
        await http.post(post, content=b"hello", headers=SDP),
        await http.post(post, content=OFFER.replace("UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"), headers=SDP),
        await http.post(post, content=b"v" * (MOST_OFFER_BYTES + 1), headers=SDP),
    ]

    assert [refused(answer) for answer in answers] == [
        (415, "content_type_wrong"),
        (415, "content_type_wrong"),
        (400, "offer_unreadable"),
        (415, "offer_profile_unsupported"),
        (413, "body_too_large"),
    ]
    assert host.calls == 0
    assert host.sink.events == []


async def test_a_content_type_with_parameters_is_the_same_type(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/calls?tenant=fake", content=OFFER, headers={"content-type": "Application/SDP; charset=utf-8"}
    )

    assert answer.status_code == 201


async def test_a_full_host_says_when_to_come_again(tmp_path: Path) -> None:
    async with open_host(tmp_path, limits={"max_calls_per_host": 1}) as host, client(host) as http:
        call = await post_offer(http)
        full = await http.post("/v1/calls?tenant=fake", content=OFFER, headers=SDP)
        await http.delete(call)
        again = await http.post("/v1/calls?tenant=fake", content=OFFER, headers=SDP)

    assert refused(full) == (503, "host_full")
    assert int(full.headers["retry-after"]) >= 1
    assert again.status_code == 201


# ---------------------------------------------------------------- a call that is there


async def test_a_call_s_state_its_transcript_and_its_end(host: FakeHost, http: httpx.AsyncClient) -> None:
    call = await post_offer(http)
    state, head, transcript = await http.get(call), await http.head(call), await http.get(f"{call}/transcript")
    ended = await http.delete(call)
    over = await http.delete(call)
    after = await http.get(call)

    assert state.json() | {"call": ""} == {
        "call": "",
        "tenant": "fake",
        "state": "connecting",
        "reason": None,
        "quality": None,
        "turns": [],
        "messages": [],
    }
    assert (head.status_code, head.content) == (200, b"")
    assert transcript.json() == {"call": state.json()["call"], "tenant": "fake", "lines": []}
    assert (ended.status_code, ended.content) == (204, b"")
    assert refused(over) == (410, "call_over")
    assert (after.json()["state"], after.json()["reason"]) == ("ended", "caller_hung_up")
    assert host.told("call.ended")[0]["reason"] == "caller_hung_up"


async def test_candidates_are_taken_and_so_is_a_new_offer(http: httpx.AsyncClient) -> None:
    call = await post_offer(http)
    answers = [
        await http.patch(call, content=body, headers=headers)
        for body, headers in [
            (b"v=0 nonsense", SDP),
            (CANDIDATE, {"content-type": "text/plain"}),
            (b"a=candidate:nonsense", TRICKLE),
            (b"x" * (MOST_OFFER_BYTES + 1), TRICKLE),
        ]
    ]
    taken = await http.patch(call, content=CANDIDATE, headers=TRICKLE)
    renewed = await http.patch(call, content=OFFER.encode(), headers=SDP)
    twice = await http.patch(call, content=OFFER.encode(), headers=SDP)
    await http.delete(call)
    late = await http.patch(call, content=CANDIDATE, headers=TRICKLE)

    assert [refused(answer) for answer in answers] == [
        (400, "offer_unreadable"),
        (415, "content_type_wrong"),
        (400, "candidate_unreadable"),
        (413, "body_too_large"),
    ]
    assert (taken.status_code, taken.content) == (204, b"")
    assert (renewed.status_code, renewed.headers["content-type"]) == (200, "application/sdp")
    assert renewed.text.startswith("v=0")
    assert refused(twice) == (503, "renewal_under_way")
    assert refused(late) == (410, "call_over")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/nowhere", (404, "route_unknown")),
        ("GET", "/v1/calls/a/b/c", (404, "route_unknown")),
        ("GET", "/v1/calls", (405, "method_not_allowed")),
        ("PUT", "/v1/calls/x", (405, "method_not_allowed")),
    ],
)
async def test_an_unknown_route_is_a_problem_too(
    http: httpx.AsyncClient, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert refused(await http.request(method, path)) == expected


# ---------------------------------------------------------------- tokens


def claims(host: FakeHost, **changes: Any) -> dict[str, Any]:
    return {
        "aud": AUDIENCE,
        "sub": "c1",
        "ten": "fake",
        "own": host.address,
        "epo": 1,
        "exp": int(time.time()) + 60,
    } | changes


async def test_a_token_that_is_none_of_ours_opens_nothing(
    host: FakeHost, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    key, other = (tmp_path / "keys" / "calls.key").read_text(), "o" * 43
    good = (await post_offer(http)).removeprefix("/v1/calls/")
    head, body, signature = good.split(".")
    expired = CallTokens(key, -1).sign(CallToken("c1", "fake", host.address, 1))
    bad = [
        "nonsense",
        "é",
        "a.b.c",
        good[:-1],
        good[:-5],
        f"{head}.{body}.",
        f"{head}.{body[:-2]}AA.{signature}",
        f"{good}.x",
        "x" * 5000,
        expired,
        jwt.encode(claims(host), "", algorithm="none"),
        jwt.encode(claims(host), other, algorithm="HS256"),
        jwt.encode(claims(host, aud="another"), key, algorithm="HS256"),
        jwt.encode({"sub": "c1"}, key, algorithm="HS256"),
    ]
    answers = [await http.get(f"/v1/calls/{token}") for token in bad]
    answers += [await http.delete(f"/v1/calls/{bad[5]}"), await http.get(f"/v1/calls/{bad[5]}/transcript")]

    assert [refused(answer) for answer in answers] == [(403, "call_token_invalid")] * len(answers)
    assert (await http.get(f"/v1/calls/{good}")).status_code == 200


async def test_a_token_of_an_older_owner_is_refused(host: FakeHost, http: httpx.AsyncClient) -> None:
    token = host.tokens.read((await post_offer(http)).removeprefix("/v1/calls/"))
    older = host.tokens.sign(CallToken(token.call, token.tenant, token.owner, epoch=0))

    assert refused(await http.get(f"/v1/calls/{older}")) == (409, "epoch_stale")
    assert refused(await http.delete(f"/v1/calls/{older}")) == (409, "epoch_stale")


async def test_a_call_that_was_never_here_is_over(host: FakeHost, http: httpx.AsyncClient) -> None:
    token = host.tokens.sign(CallToken("another", "fake", host.address, 1))

    assert refused(await http.get(f"/v1/calls/{token}")) == (410, "call_over")


async def test_the_disk_refusing_events_ends_no_call(host: FakeHost, http: httpx.AsyncClient) -> None:
    host.sink.fails = StageFailed("disk_full", "no space", "spool")

    call = await post_offer(http)

    assert (await http.get(call)).json()["state"] == "connecting"
