"""Files go into the knowledge base: load → chunk → store, one file after the other.

In: a file's bytes, or a folder. Out: what became of each file; one bad file is reported and never stops the others.
`load_document` and `chunk_document` are pure functions of one record, so a Ray Data job can map them over many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deployments.contracts.errors import BadInput, DukatError
from deployments.contracts.knowledge import Chunk, Document
from deployments.contracts.ports import KnowledgeStore
from kb_pipeline.chunk import chunk_document
from kb_pipeline.files import find_files, read_file, shown
from kb_pipeline.load import document_id, load_document


@dataclass(frozen=True, slots=True)
class Ingested:
    """A document that can be found from now on."""

    document: str
    chunks: int


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file: its document and number of chunks, or the code and detail of an error."""

    file: str
    """Relative to the folder."""
    document: str | None = None
    chunks: int = 0
    code: str | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the file's document can be found."""
        return self.code is None


async def ingest_document(store: KnowledgeStore, content: bytes, filename: str, tenant: str) -> Ingested:
    """Take one file in, in the place of its earlier form. Raises `BadInput` for a file that cannot be used."""
    document, chunks = await asyncio.to_thread(_prepare, content, filename, tenant)
    return Ingested(document.document, await store.put(document, chunks))


async def ingest_folder(
    store: KnowledgeStore,
    tenant: str,
    folder: Path,
    on_progress: Callable[[int, int, FileResult], None] | None = None,
) -> list[FileResult]:
    """Take every file of a folder in, hidden ones aside; `on_progress` hears (done, all, result) after each."""
    files, skipped = await asyncio.to_thread(find_files, folder)
    results = [FileResult(each.file, code=each.code, detail=each.detail) for each in skipped]
    of_all = len(files) + len(skipped)
    if on_progress is not None:
        for number, passed_over in enumerate(results, 1):
            on_progress(number, of_all, passed_over)
    taken: dict[str, str] = {}
    for name in files:
        try:
            content = await asyncio.to_thread(read_file, folder / name, name)
            twin = taken.setdefault(document_id(name), name)
            if twin != name:
                # Otherwise the second of "tariffs.md" and "tariffs.txt" would silently take the place of the first.
                raise BadInput("document_duplicate", f"{name} and {twin} would be the same document", "ingest")
            done = await ingest_document(store, content, name, tenant)
            result = FileResult(name, done.document, done.chunks)
        except DukatError as error:
            result = FileResult(shown(name), code=error.code, detail=error.detail)
        results.append(result)
        if on_progress is not None:
            on_progress(len(results), of_all, result)
    return results


def _prepare(content: bytes, filename: str, tenant: str) -> tuple[Document, list[Chunk]]:
    document = load_document(content, filename, tenant)
    return document, chunk_document(document)
