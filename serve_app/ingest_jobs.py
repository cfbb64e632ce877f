"""Documents on their way into the index: one asyncio task a document, in a bounded table.

In: the file's bytes and name. Out: a `Job` that goes queued → running → done | failed. The table lives in this process:
with several replicas of Api a job is known to the replica that took it, the document itself to all.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from deployments.contracts.errors import DukatError, StageBusy

log = logging.getLogger(__name__)

AT_ONCE = 2
"""Ingestion waits mostly for the embedder, which batches; more at once would only starve retrieval of live calls."""
MOST_UNFINISHED = 16
"""× 2 MB each: what the process may hold in memory for waiting jobs."""
MOST_KEPT = 256


class Ingested(Protocol):
    """What the ingestion of one document returns."""

    @property
    def document(self) -> str: ...

    @property
    def chunks(self) -> int: ...


IngestDocument = Callable[[bytes, str, str], Awaitable[Ingested]]
"""(file's bytes, file name, tenant) → what came of it. Raises `BadInput` for a file it cannot use."""


@dataclass(frozen=True, slots=True)
class Job:
    """One document's way into the index, as it stands."""

    job: str
    tenant: str
    filename: str
    status: Literal["queued", "running", "done", "failed"] = "queued"
    document: str | None = None
    """Known when done."""
    chunks: int | None = None
    code: str | None = None
    """Of the error, when failed."""
    detail: str | None = None


class IngestJobs:
    """Owns the tasks: `close` ends and awaits them all."""

    def __init__(
        self,
        ingest: IngestDocument,
        at_once: int = AT_ONCE,
        most_unfinished: int = MOST_UNFINISHED,
        most_kept: int = MOST_KEPT,
    ) -> None:
        self._ingest = ingest
        self._turns = asyncio.Semaphore(at_once)
        self._most_unfinished = most_unfinished
        self._most_kept = most_kept
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, content: bytes, filename: str, tenant: str) -> Job:
        """Take a document. Raises `StageBusy` when too many are unfinished."""
        if len(self._tasks) >= self._most_unfinished:
            raise StageBusy("ingest_busy", f"{len(self._tasks)} documents are being taken in; try again soon", "ingest")
        job = Job(uuid.uuid4().hex, tenant, filename)
        self._jobs[job.job] = job
        self._forget_oldest()
        task = asyncio.create_task(self._run(job, content), name=f"ingest {job.job}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def get(self, job: str, tenant: str) -> Job | None:
        """The job as it stands; None when it is unknown, forgotten or another tenant's."""
        found = self._jobs.get(job)
        return found if found is not None and found.tenant == tenant else None

    async def close(self) -> None:
        """End what is under way; those jobs fail with `shut_down`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, job: Job, content: bytes) -> None:
        try:
            async with self._turns:
                self._jobs[job.job] = job = replace(job, status="running")
                done = await self._ingest(content, job.filename, job.tenant)
            job = replace(job, status="done", document=done.document, chunks=done.chunks)
        except DukatError as error:
            job = replace(job, status="failed", code=error.code, detail=error.detail)
        except asyncio.CancelledError:
            job = replace(job, status="failed", code="shut_down", detail="the server stopped; send the document again")
            raise
        except Exception:
            log.exception("ingestion failed", extra={"job": job.job, "tenant": job.tenant})
            job = replace(
                job, status="failed", code="internal", detail="unexpected error; the log has it under this job"
            )
        finally:
            self._jobs[job.job] = job

    def _forget_oldest(self) -> None:
        for name in [name for name, job in self._jobs.items() if job.status in ("done", "failed")]:
            if len(self._jobs) <= self._most_kept:
                return
            del self._jobs[name]
