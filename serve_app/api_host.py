"""The ingress of the control plane: builds the API inside its replica and gives new tenants their first documents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from starlette.requests import Request
from starlette.types import ASGIApp

from configs.settings import AppArgs, load_profile
from deployments.clients import DEPLOYMENTS, KnowledgeClient, readiness
from deployments.contracts.errors import DukatError, StageBusy
from serve_app.api import Services, build_api
from serve_app.ingest_jobs import Ingested
from serve_app.tenants.gate import Gate, secret
from serve_app.tenants.models import Tenant
from serve_app.tenants.store import YamlTenantStore

log = logging.getLogger(__name__)

RETRY_S = 0.5


class FileResult(Protocol):
    """What became of one file."""

    @property
    def file(self) -> str: ...

    @property
    def code(self) -> str | None: ...


IngestDocument = Callable[[Any, bytes, str, str], Awaitable[Ingested]]
IngestFolder = Callable[[Any, str, Path], Awaitable[list[Any]]]


class ApiHost:
    """One replica of the control plane. What ingestion is, it is told by `graph.py`."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, args: AppArgs, ingest_document: IngestDocument, ingest_folder: IngestFolder
    ) -> None:
        profile = load_profile(args.profile)
        self._tenants = YamlTenantStore(args.tenants)
        self._gate = Gate(secret(Path(args.state_dir) / "keys", "api.token"), open_on_loopback=args.open_on_loopback)
        self._knowledge = KnowledgeClient()
        self._seeded = Path(args.state_dir) / "seeded"
        self._ingest_folder = ingest_folder
        self._services = Services(
            profile=profile.name,
            version=version("dukat"),
            parts={**{name: partial(readiness, name) for name in DEPLOYMENTS}, "documents": self._documents_ready},
            knowledge=self._knowledge,
            ingest_document=partial(ingest_document, self._knowledge),
            tenants=self._tenants,
            allow=self._allow,
        )
        self._seeding = asyncio.create_task(self._seed())

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return build_api(self._services)

    def _allow(self, request: Request, tenant: Tenant) -> None:
        self._gate.check(request.headers, tenant)

    async def _documents_ready(self) -> dict[str, Any]:
        if not self._seeding.done():
            raise StageBusy("documents_loading", "the tenants' documents are being taken in", "documents")
        self._seeding.result()
        return {}

    async def _seed(self) -> None:
        """A tenant without any document gets those of the folder its file names: once, since all may be forgotten."""
        for tenant in await self._tenants.all():
            while tenant.active and tenant.documents is not None and not _is_there(mark := self._seeded / tenant.id):
                try:
                    if not await self._knowledge.documents(tenant.id):
                        _report(tenant, await self._ingest_folder(self._knowledge, tenant.id, tenant.documents))
                    _make(mark)
                except DukatError as error:
                    if not error.retryable:
                        raise
                    # The knowledge application is still starting; `/readyz` says so meanwhile.
                    log.info("documents_wait", extra={"tenant": tenant.id, "code": error.code})
                    await asyncio.sleep(RETRY_S)


def _is_there(mark: Path) -> bool:
    return mark.exists()


def _make(mark: Path) -> None:
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _report(tenant: Tenant, results: list[FileResult]) -> None:
    bad = {result.file: result.code for result in results if result.code is not None}
    log.info("documents_taken_in", extra={"tenant": tenant.id, "files": len(results), "refused": bad})
