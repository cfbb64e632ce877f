"""The HTTP half of a call: offer out, answer and `Location` in; state, and hanging up.

A refusal becomes one of our errors, its code kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from deployments.contracts.errors import (
    BadInput,
    DukatError,
    NotAllowed,
    NotFound,
    StageBusy,
    StageFailed,
    StageTimeout,
)

STAGE = "caller"
MOST_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Answered:
    """The server took the call."""

    location: str
    """Absolute address of the call."""
    answer_sdp: str


class CallServer:
    """One server's call interface. Talks to it directly, never through a proxy, as the media does. `close` it."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self._base = _server_address(url)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s
        self._http = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=timeout_s))

    async def offer(self, sdp: str, tenant: str) -> Answered:
        """`POST /v1/calls`."""
        address = self._base / "v1" / "calls" % {"tenant": tenant}
        status, headers, body = await self._ask(
            "POST", address, data=sdp.encode(), headers={"Content-Type": "application/sdp"}
        )
        if status != 201:
            raise refusal(status, body)
        if "Location" not in headers:
            raise StageFailed("answer_unreadable", "the server took the call but named no Location", STAGE)
        try:
            location = str(address.join(URL(headers["Location"])))
        except ValueError as error:
            raise StageFailed("answer_unreadable", f"Location cannot be used: {error}", STAGE) from error
        return Answered(location, body)

    async def state(self, location: str) -> dict[str, Any]:
        """`GET` the call: its state and its ledger."""
        status, _, body = await self._ask("GET", URL(location))
        if status != 200:
            raise refusal(status, body)
        found = _json_object(body)
        if found is None:
            raise StageFailed("answer_unreadable", "the state of the call is not a JSON object", STAGE)
        return found

    async def hang_up(self, location: str) -> None:
        """`DELETE` the call; one that has already ended is fine."""
        status, _, body = await self._ask("DELETE", URL(location))
        if status // 100 != 2 and status not in (404, 410):
            raise refusal(status, body)

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._http.close()

    async def _ask(self, method: str, address: URL, **request: Any) -> tuple[int, Mapping[str, str], str]:
        try:
            # A redirect of a POST would lose the offer; the interface promises there is none.
            async with self._http.request(method, address, allow_redirects=False, **request) as response:
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > MOST_BODY_BYTES:
                        raise StageFailed("answer_unreadable", f"{method} {address.path}: answer too long", STAGE)
                return response.status, response.headers, body.decode("utf-8", "replace")
        except TimeoutError as error:
            detail = f"{method} {address.path}: no answer within {self._timeout_s:g} s"
            raise StageTimeout("server_slow", detail, STAGE) from error
        except aiohttp.ClientConnectorError as error:
            detail = f"nothing answers at {address.origin()}; is the server running (dukat up)?"
            raise StageFailed("server_unreachable", detail, STAGE) from error
        except aiohttp.ClientError as error:
            raise StageFailed("server_unreachable", f"{method} {address.path}: {error}", STAGE) from error


def refusal(status: int, body: str) -> DukatError:
    """The error a problem+json answer stands for; an answer of another form is one too, with a code of our own."""
    problem = _json_object(body) or {}
    code = str(problem.get("code") or f"http_{status}")
    detail = str(problem.get("detail") or problem.get("title") or body[:200].strip() or "no explanation given")
    by_status = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 503: StageBusy, 504: StageTimeout}
    kind = by_status.get(status, BadInput if 400 <= status < 500 else StageFailed)
    return kind(code, detail, STAGE, status)


def _server_address(url: str) -> URL:
    try:
        address = URL(url)
    except ValueError as error:
        raise BadInput("url_unusable", f"{url!r} is not an address: {error}", STAGE) from error
    if address.scheme not in ("http", "https") or not address.host:
        raise BadInput("url_unusable", f"{url!r} is not an http(s) address", STAGE)
    return address


def _json_object(body: str) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
