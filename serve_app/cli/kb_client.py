"""The knowledge base of a running Dukat, as the commands reach it over HTTP.

In: address, tenant, token, files. Out: what the server answered; whatever goes wrong is a `DukatError` with the
server's own code, or one of server_unreachable, server_lost, not_dukat, job_lost, job_timeout. A busy server (503) is
asked again when it says so, for a bounded time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit

import httpx
import typer

from deployments.contracts.errors import (
    BadInput,
    DukatError,
    NotAllowed,
    NotFound,
    StageBusy,
    StageFailed,
    StageTimeout,
)

JOB_TIMEOUT_S = 300.0
"""Two documents of 2 MB, which is what may stand before one, take less than a minute on two cores."""
_ASK_AFTER_S = 0.02
_ASK_AT_MOST_EVERY_S = 0.5
_TRIES = 3
"""A connection may break by chance; sending a document twice does no harm, it replaces itself."""
_TRY_AGAIN_AFTER_S = 0.5
_LONGEST_PAUSE_S = 10.0
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

Url = Annotated[str, typer.Option(help="Where the product is.")]
TenantId = Annotated[str, typer.Option(help="Whose documents.")]
Token = Annotated[str | None, typer.Option(envvar="DUKAT_TOKEN", help="Bearer token, where one is needed.")]
StateDir = Annotated[
    Path, typer.Option(help="The state folder of `dukat up`: its token is used for a server on this machine.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One object as the last line.")]


class KnowledgeBase:
    """One tenant's documents. `async with` opens it: server, tenant and token are tried before anything is sent."""

    def __init__(
        self, url: str, tenant: str, token: str | None, state_dir: Path, busy_patience_s: float = 60.0
    ) -> None:
        on_loopback = _check_url(url)
        self._url = url.rstrip("/")
        self._tenant = tenant
        self._tokens = (
            [_check_token(token)] if token else ([*_stored_token(state_dir), None] if on_loopback else [None])
        )
        self._busy_patience_s = busy_patience_s
        self._met = False
        """The server has answered once."""
        # A proxy set for the Internet must not be asked for a server on this machine.
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=not on_loopback)

    async def __aenter__(self) -> Self:
        try:
            await self._enter()
        except BaseException:
            await self._http.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def put(self, content: bytes, path: str) -> tuple[str, int]:
        """Send one document and wait until it can be found: (document, chunks)."""
        sent = await self._ask(
            "POST", "", files={"file": (path.rpartition("/")[2], content)}, data={"tenant": self._tenant, "path": path}
        )
        pause_s, waited_s = _ASK_AFTER_S, 0.0
        while waited_s < JOB_TIMEOUT_S:
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            pause_s = min(2 * pause_s, _ASK_AT_MOST_EVERY_S)
            try:
                job = await self._ask("GET", f"/{sent['job']}")
            except NotFound:
                detail = "the server took the file and forgot it: it was restarted; send the file again"
                raise StageFailed("job_lost", detail, "ingest") from None
            if job["status"] == "failed":
                raise BadInput(job["error"]["code"], job["error"]["detail"], "ingest")
            if job["status"] == "done":
                return job["document"], job["chunks"]
        raise StageTimeout(
            "job_timeout", f"not taken in after {JOB_TIMEOUT_S:g} s; the server still works on it", "ingest"
        )

    async def documents(self) -> list[dict[str, Any]]:
        """All documents, by title."""
        return list((await self._ask("GET", ""))["documents"])

    async def forget(self, document: str) -> None:
        """Take a document out. Raises `NotFound`."""
        await self._ask("DELETE", f"/{quote(document, safe='')}")

    async def _enter(self) -> None:
        """Ask for the list with each token there is. The one found on disk may be another installation's."""
        for number, token in enumerate(self._tokens, 1):
            if token:
                self._http.headers["Authorization"] = f"Bearer {token}"
            else:
                self._http.headers.pop("Authorization", None)
            try:
                await self.documents()
                return
            except NotAllowed:
                if number == len(self._tokens):
                    raise

    async def _ask(self, method: str, path: str, **what: Any) -> dict[str, Any]:
        """One request, asked again while the server is busy."""
        address = f"{self._url}/v1/kb/documents{path}"
        waited_s = 0.0
        while True:
            answer = await self._send(method, address, params={"tenant": self._tenant}, **what)
            if answer.status_code != 503:
                return self._read(answer)
            pause_s = _retry_after_s(answer)
            waited_s += pause_s
            if waited_s > self._busy_patience_s:
                raise self._problem(answer)
            await asyncio.sleep(pause_s)

    async def _send(self, method: str, address: str, **what: Any) -> httpx.Response:
        for number in range(1, _TRIES + 1):
            try:
                answer = await self._http.request(method, address, **what)
                self._met = True
                return answer
            except httpx.RequestError as error:
                if not self._met and isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    detail = f"no Dukat at {self._url}: start it with make run"
                    raise StageFailed("server_unreachable", detail, "ingest") from None
                if number == _TRIES:
                    detail = f"{self._url} does not answer any more ({type(error).__name__})"
                    raise StageFailed("server_lost", detail, "ingest") from None
            await asyncio.sleep(_TRY_AGAIN_AFTER_S)
        raise AssertionError("the last try returns or raises")

    def _read(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code == 204:
            return {}
        try:
            body = answer.json() if answer.is_success else None
        except ValueError:
            body = None
        if not isinstance(body, dict) or not ({"job", "documents"} & body.keys()):
            raise self._problem(answer)
        return body

    def _problem(self, answer: httpx.Response) -> DukatError:
        """The server's own words, or that they are not Dukat's."""
        try:
            said = answer.json()
            code, detail = str(said["code"]), str(said["detail"])
        except (ValueError, KeyError, TypeError):
            code, detail = "not_dukat", f"what answers at {self._url} is not Dukat (HTTP {answer.status_code})"
        kinds: dict[int, type[DukatError]] = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 503: StageBusy}
        kind = kinds.get(answer.status_code, BadInput if answer.is_client_error else StageFailed)
        return kind(code, detail, "", answer.status_code)


def _retry_after_s(answer: httpx.Response) -> float:
    """What the server asks for, within reason; a date (which HTTP allows) counts as one second."""
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), _LONGEST_PAUSE_S) if asked.isdigit() and asked.isascii() else 1.0


def _check_url(url: str) -> bool:
    """Whether it leads to this machine. Raises a usage error for what is no address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable:
        raise typer.BadParameter(f"{url!r} is no address like http://127.0.0.1:8000", param_hint="--url")
    return parts.hostname in _LOOPBACK


def _check_token(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise typer.BadParameter("a token has no such characters", param_hint="--token")
    return token.strip()


def _stored_token(state_dir: Path) -> list[str]:
    """The token of `dukat up` on this machine; none when it never ran here, or runs as somebody else."""
    try:
        text = (state_dir / "keys" / "api.token").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return []
    return [text] if text.isprintable() and text else []
