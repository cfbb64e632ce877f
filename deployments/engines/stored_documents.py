"""A tenant's documents and chunks on disk: one JSON file a document, `folder/<tenant>/<document>.json`.

Files are written beside their place, forced to the disk and renamed, so that a reader (and the next start) finds the
old document or the new one, never half of one. Vectors are not kept: they are made again at start, by whatever embedder
then runs. One process owns the folder.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deployments.contracts.errors import BadInput
from deployments.contracts.knowledge import Chunk, Document

_TENANT = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DOCUMENT = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
"""Both become parts of a path: no separators, no dot first, one case only (some disks know no other)."""
_VERSION = 1

_log = logging.getLogger(__name__)


def check_tenant(tenant: str) -> None:
    """Raise `BadInput` unless the id is a tenant's."""
    if not _TENANT.fullmatch(tenant):
        raise BadInput("tenant_invalid", f"{tenant[:80]!r} is no tenant id: a-z, 0-9 and '-', at most 63", "knowledge")


def check_document(document: str) -> None:
    """Raise `BadInput` unless the id can be a document's."""
    if not _DOCUMENT.fullmatch(document):
        detail = f"{document[:80]!r} is no document id: a-z, 0-9, '.', '_' and '-', at most 128, not '.' first"
        raise BadInput("document_id_invalid", detail, "knowledge")


class StoredDocuments:
    """The files of all tenants."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, document: Document, chunks: Sequence[Chunk]) -> None:
        """Put the document in the place of its earlier form. Durable when this returns."""
        path = self._path(document.tenant, document.document)
        content = json.dumps(_as_json(document, chunks), ensure_ascii=False).encode()
        if path.exists() and path.read_bytes() == content:
            return
        if not path.parent.exists():
            path.parent.mkdir()
            _sync(self._folder)
        beside = path.with_name(f".{path.name}.new")
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync(path.parent)

    def remove(self, tenant: str, document: str) -> bool:
        """Remove the document; False when it is not there. Durable when this returns."""
        path = self._path(tenant, document)
        if not path.exists():
            return False
        path.unlink()
        _sync(path.parent)
        return True

    def read_all(self) -> Iterator[tuple[Document, list[Chunk]]]:
        """Every stored document. A damaged file is logged and left where it is; the others are still good."""
        for path in sorted(self._folder.glob("*/*.json")):
            try:
                document, chunks = _from_json(json.loads(path.read_bytes()))
                if self._path(document.tenant, document.document) != path:
                    raise ValueError("the file holds another document than its name says")
            except (OSError, ValueError, KeyError, TypeError, BadInput) as error:
                _log.error("knowledge.document_damaged", extra={"path": str(path), "error": repr(error)})
                continue
            yield document, chunks

    def _path(self, tenant: str, document: str) -> Path:
        check_tenant(tenant)
        check_document(document)
        return self._folder / tenant / f"{document}.json"


def _as_json(document: Document, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """What chunks share with their document is stored once."""
    pieces = [{"heading": chunk.heading, "text": chunk.text, "span": list(chunk.span)} for chunk in chunks]
    return {"version": _VERSION, "document": asdict(document), "chunks": pieces}


def _from_json(values: dict[str, Any]) -> tuple[Document, list[Chunk]]:
    if values["version"] != _VERSION:
        raise ValueError(f"version {values['version']!r} of the form; this program reads {_VERSION}")
    document = Document(**values["document"])
    chunks = []
    for piece in values["chunks"]:
        begin, end = piece["span"]
        chunks.append(
            Chunk(
                document.tenant,
                document.document,
                document.title,
                document.source,
                document.language,
                piece["heading"],
                piece["text"],
                (begin, end),
            )
        )
    return document, chunks


def _sync(folder: Path) -> None:
    """Force the folder's entries to the disk: without it a rename may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
