"""The control plane: the caller's page, health, metrics and the knowledge base over HTTP. No call passes through here.

In: `Services`, everything it needs from the graph. Out: a FastAPI application; errors are `application/problem+json`.

Built inside the replica, because `Services` holds handles that cannot be pickled:

    @serve.deployment
    @serve.ingress()
    class Api:
        async def __init__(self, ...): self._services = Services(...)
        def __serve_build_asgi_app__(self): return build_api(self._services)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fastapi import FastAPI, Request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from deployments.contracts.errors import NotAllowed, NotFound
from serve_app import problems
from serve_app.http_rim import HttpRim
from serve_app.ingest_jobs import IngestDocument, IngestJobs
from serve_app.knowledge_api import DEFAULT_TENANT, MOST_UPLOAD_BYTES, Knowledge, knowledge_routes
from serve_app.readiness import Readiness, ReadinessCall

PAGES = Path(__file__).parent / "pages"

LIVENESS_WAIT_S = 0.25
"""A liveness probe gives up after 1 s by default; a part that hangs must not get this process killed."""

_STATIC_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_RIGHT_TO_LEFT = frozenset({"ar"})
_PAGE_LANGUAGES = frozenset({"en", "ar"})
_HTML_TAG = '<html lang="en" dir="ltr">'


class PageTenant(Protocol):
    """What the page needs to know of a tenant."""

    @property
    def languages(self) -> Sequence[str]:
        """The first is the default."""
        ...


class Tenants(Protocol):
    """Where tenants are looked up."""

    async def by_id(self, tenant: str) -> PageTenant:
        """Raises `NotFound` `tenant_unknown` and `NotAllowed` `tenant_inactive`."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What the control plane is handed."""

    profile: str
    version: str
    parts: Mapping[str, ReadinessCall]
    """Stage → readiness call of its deployment: gives {"engine", "nature", …} or raises."""
    knowledge: Knowledge
    ingest_document: IngestDocument
    tenants: Tenants
    allow: Callable[[Request, Any], None]
    """(request, tenant) → None; raises `NotAllowed`. Knows tokens, and whether a tenant is open on loopback."""
    pages: Path = PAGES
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


def build_api(services: Services) -> FastAPI:
    """The application; its lifespan owns the ingestion jobs and the readiness round."""
    readiness = Readiness(services.parts)
    jobs = IngestJobs(services.ingest_document)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await jobs.close()
            await readiness.close()

    async def admit(request: Request, tenant: str) -> None:
        services.allow(request, await services.tenants.by_id(tenant))

    # FastAPI's own documentation pages load scripts from a CDN; ours must work without the Internet.
    app = FastAPI(
        title="Dukat",
        version=services.version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    ProcessCollector(registry=services.registry)
    PlatformCollector(registry=services.registry)
    problems.install(app)
    app.add_middleware(HttpRim, registry=services.registry, most_body_bytes=MOST_UPLOAD_BYTES)
    app.include_router(knowledge_routes(services.knowledge, jobs, admit))
    _add_health(app, services, readiness)
    _add_page(app, services)
    return app


def _add_health(app: FastAPI, services: Services, readiness: Readiness) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, Any]:
        """This process lives; which engines run, as far as known."""
        states = await readiness.known(LIVENESS_WAIT_S)
        engines = {
            stage: {"engine": state.facts.get("engine"), "nature": state.facts.get("nature")}
            for stage, state in states.items()
            if state.facts
        }
        return {"status": "ok", "version": services.version, "profile": services.profile, "engines": engines}

    @app.get("/readyz", tags=["health"])
    async def readyz() -> Response:
        """200 when every part answers; otherwise 503 and which do not."""
        states = await readiness.states()
        parts = {
            name: {"ready": True} if state.ready else {"ready": False, "code": state.code, "detail": state.detail}
            for name, state in states.items()
        }
        late = [name for name, state in states.items() if not state.ready]
        if late:
            return problems.problem(503, "not_ready", f"not ready: {', '.join(late)}", members={"parts": parts})
        return JSONResponse({"status": "ready", "parts": parts})

    @app.get("/metrics", tags=["health"])
    async def metrics() -> Response:
        """Prometheus text."""
        return Response(generate_latest(services.registry), media_type=CONTENT_TYPE_LATEST)


def _add_page(app: FastAPI, services: Services) -> None:
    page = (services.pages / "caller.html").read_text(encoding="utf-8")
    assert _HTML_TAG in page, "the page's language is set by replacing this tag"
    # A fixed list made at start: no request can name a file outside it.
    static = {file.name: file for file in services.pages.iterdir() if file.suffix in _STATIC_TYPES}

    @app.get("/", include_in_schema=False)
    async def caller_page(tenant: str = DEFAULT_TENANT, lang: str | None = None) -> HTMLResponse:
        """The caller's page in the asked language, else in the tenant's."""
        language = lang if lang in _PAGE_LANGUAGES else await _language_of(tenant)
        direction = "rtl" if language in _RIGHT_TO_LEFT else "ltr"
        return HTMLResponse(page.replace(_HTML_TAG, f'<html lang="{language}" dir="{direction}">'))

    async def _language_of(tenant: str) -> str:
        try:
            found = (await services.tenants.by_id(tenant)).languages[0]
        except (NotFound, NotAllowed):
            return "en"  # the page still opens; the call itself will say what is wrong with the tenant
        return found if found in _PAGE_LANGUAGES else "en"

    @app.get("/static/{name}", include_in_schema=False)
    async def static_file(name: str) -> FileResponse:
        """A script, style or picture of the page."""
        file = static.get(name)
        if file is None:
            raise NotFound("route_unknown", f"there is no file {name!r}")
        # no-cache = ask first (by ETag): after an upgrade nobody runs the old script against the new server.
        return FileResponse(file, media_type=_STATIC_TYPES[file.suffix], headers={"Cache-Control": "no-cache"})
