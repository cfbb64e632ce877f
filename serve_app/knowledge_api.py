"""A tenant's documents over HTTP: put in, list, look at, take out, ask. Mounted by `api.build_api` under `/v1/kb`.

In: multipart files (of at most 2 MB) and JSON. Out: JSON; errors are raised as `DukatError` and answered by `problems`.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Protocol

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.datastructures import UploadFile

from configs.strict import Strict
from deployments.contracts.errors import BadInput, NotFound
from deployments.contracts.knowledge import Document, KnowledgeAnswer, KnowledgeQuery
from serve_app.ingest_jobs import IngestJobs, Job

MOST_DOCUMENT_BYTES = 2_000_000
MOST_UPLOAD_BYTES = MOST_DOCUMENT_BYTES + 65_536
"""The document and the multipart framing around it."""

MOST_PATH_CHARS = 300

DEFAULT_TENANT = "demo"

TenantName = Annotated[str, Query(alias="tenant", max_length=64)]

_UPLOAD_SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "At most 2 MB."},
                        "path": {
                            "type": "string",
                            "maxLength": MOST_PATH_CHARS,
                            "description": 'Where the file stands in its folder, "faq/hours.html"; else its bare name. '
                            "The document's identity is made of it.",
                        },
                        "tenant": {"type": "string", "default": DEFAULT_TENANT},
                    },
                }
            }
        },
    }
}


class Knowledge(Protocol):
    """What this door needs of the knowledge deployment."""

    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer: ...

    async def remove(self, tenant: str, document: str) -> bool: ...

    async def documents(self, tenant: str) -> list[Document]: ...


class Failure(Strict):
    """Why a job failed."""

    code: str
    detail: str


class JobView(Strict):
    """A document on its way into the index."""

    job: str
    document: str | None
    """None until the document is read."""
    filename: str
    status: Literal["queued", "running", "done", "failed"]
    chunks: int | None = None
    error: Failure | None = None


class DocumentView(Strict):
    """A document in the index."""

    document: str
    title: str
    source: str
    language: str
    characters: int
    status: Literal["done"] = "done"


class DocumentList(Strict):
    """All documents of a tenant, by title."""

    documents: list[DocumentView]


class Question(Strict):
    """A question to a tenant's documents."""

    query: str = Field(min_length=1, max_length=1000)
    k: int = Field(default=3, ge=1, le=20)
    language: Literal["en", "ar"] | None = None
    tenant: str = Field(default=DEFAULT_TENANT, max_length=64)


class PassageView(Strict):
    """A piece of a document and where it stands."""

    text: str
    score: float
    """In [0, 1]."""
    document: str
    title: str
    source: str
    span: tuple[int, int]
    """Characters [from, to) of the document's text."""


class Passages(Strict):
    """What was found, best first."""

    passages: list[PassageView]
    took_ms: float


def knowledge_routes(
    knowledge: Knowledge,
    jobs: IngestJobs,
    admit: Callable[[Request, str], Awaitable[None]],
    clock: Callable[[], float] = time.monotonic,
) -> APIRouter:
    """The routes. `admit` raises when the tenant is unknown or the request may not act for it."""
    router = APIRouter(prefix="/v1/kb", tags=["knowledge"])

    @router.post("/documents", status_code=202, openapi_extra=_UPLOAD_SCHEMA)
    async def put_document(request: Request) -> JobView:
        """Take a document in; the answer names the job to ask for."""
        async with request.form(max_files=1, max_fields=4, max_part_size=1024) as form:
            tenant = form.get("tenant") or request.query_params.get("tenant") or DEFAULT_TENANT
            await admit(request, str(tenant))
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise BadInput("document_missing", "send multipart/form-data with the document as its part 'file'")
            content = await file.read(MOST_DOCUMENT_BYTES + 1)
            path = form.get("path")
            name = _plain_name(file.filename) if path is None else _plain_path(path)
        if not content:
            raise BadInput("document_empty", f"{name} has no bytes")
        if len(content) > MOST_DOCUMENT_BYTES:
            raise BadInput("body_too_large", f"a document may have at most {MOST_DOCUMENT_BYTES} bytes", status=413)
        return _job_view(jobs.start(content, name, str(tenant)))

    @router.get("/documents")
    async def list_documents(request: Request, tenant: TenantName = DEFAULT_TENANT) -> DocumentList:
        """All documents of the tenant."""
        await admit(request, tenant)
        found = sorted(await knowledge.documents(tenant), key=lambda document: (document.title, document.document))
        return DocumentList(documents=[_document_view(document) for document in found])

    @router.get("/documents/{name}")
    async def get_document(request: Request, name: str, tenant: TenantName = DEFAULT_TENANT) -> JobView | DocumentView:
        """A document, or a job by its id."""
        await admit(request, tenant)
        job = jobs.get(name, tenant)
        if job is not None:
            return _job_view(job)
        for document in await knowledge.documents(tenant):
            if document.document == name:
                return _document_view(document)
        raise NotFound("document_unknown", f"tenant {tenant} has no document or job {name!r}")

    @router.delete("/documents/{name}", status_code=204)
    async def remove_document(request: Request, name: str, tenant: TenantName = DEFAULT_TENANT) -> None:
        """Take a document and all its chunks out of the index."""
        await admit(request, tenant)
        if not await knowledge.remove(tenant, name):
            raise NotFound("document_unknown", f"tenant {tenant} has no document {name!r}")

    @router.post("/query")
    async def query(request: Request, question: Question) -> Passages:
        """The passages that may answer the question."""
        await admit(request, question.tenant)
        began_s = clock()
        answer = await knowledge.find(KnowledgeQuery(question.tenant, question.query, question.k, question.language))
        took_ms = (clock() - began_s) * 1000
        passages = [
            PassageView(text=p.text, score=p.score, document=p.document, title=p.title, source=p.source, span=p.span)
            for p in answer.passages[: question.k]
        ]
        return Passages(passages=passages, took_ms=round(took_ms, 1))

    return router


def _plain_name(sent: str | None) -> str:
    """The last part of the name the client sent: browsers may send a path, attackers will."""
    name = PurePosixPath((sent or "").replace("\\", "/")).name
    if name in ("", "..") or not _is_plain(name) or len(name) > 200:
        raise BadInput("document_name_invalid", "the file needs a name of 1 to 200 printable characters")
    return name


def _plain_path(sent: object) -> str:
    """A path inside some folder, never out of it: it is shown as the source, and tells two files of one name apart."""
    if isinstance(sent, str) and "\\" in sent:
        raise BadInput("document_name_invalid", 'the path holds a backslash; only "/" may stand between its parts')
    plain = isinstance(sent, str) and _is_plain(sent) and len(sent) <= MOST_PATH_CHARS
    if not isinstance(sent, str) or not plain or any(part in ("", ".", "..") for part in sent.split("/")):
        wanted = f'like "faq/hours.html", relative, of 1 to {MOST_PATH_CHARS} printable characters'
        raise BadInput("document_name_invalid", f"the path must be {wanted}")
    return sent


def _is_plain(name: str) -> bool:
    """No control characters, halves of characters or ends of lines. (`isprintable` refuses marks of Arabic names.)"""
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in name)


def _job_view(job: Job) -> JobView:
    error = Failure(code=job.code, detail=job.detail or "") if job.code else None
    return JobView(
        job=job.job, document=job.document, filename=job.filename, status=job.status, chunks=job.chunks, error=error
    )


def _document_view(document: Document) -> DocumentView:
    return DocumentView(
        document=document.document,
        title=document.title,
        source=document.source,
        language=document.language,
        characters=len(document.text),
    )
