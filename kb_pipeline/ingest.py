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
from kb_pipeline.load import MOST_BYTES, document_id, load_document


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
    files = await asyncio.to_thread(_files, folder)
    results: list[FileResult] = []
    taken: dict[str, str] = {}
    for name in files:
        try:
            content = await asyncio.to_thread(_read, folder / name)
            twin = taken.setdefault(document_id(name), name)
            if twin != name:
                # Otherwise the second of "tariffs.md" and "tariffs.txt" would silently take the place of the first.
                raise BadInput("document_duplicate", f"{name} and {twin} would be the same document", "ingest")
            done = await ingest_document(store, content, name, tenant)
            result = FileResult(name, done.document, done.chunks)
        except DukatError as error:
            result = FileResult(name, code=error.code, detail=error.detail)
        results.append(result)
        if on_progress is not None:
            on_progress(len(results), len(files), result)
    return results


def _prepare(content: bytes, filename: str, tenant: str) -> tuple[Document, list[Chunk]]:
    document = load_document(content, filename, tenant)
    return document, chunk_document(document)


def _files(folder: Path) -> list[str]:
    """Names relative to the folder, in order. Raises `BadInput` when there is no such folder."""
    if not folder.is_dir():
        raise BadInput("folder_missing", f"{folder} is not a folder", "ingest")
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput("document_unreadable", f"{path.name}: {error.strerror}", "ingest") from error
