"""Hybrid search in memory: dense vectors and sparse terms of each tenant's chunks, documents kept as files.

In: documents with their chunks and embeddings. Out: chunks, best first. Dense ranks (cosine) and sparse ranks (BM25 of
Robertson and Zaragoza, 2009) are fused by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009, k = 60).
Every tenant has matrices of its own: no search ever touches another's. A change leaves the matrices to be joined anew
by the next search, so taking in a hundred documents joins them once. The folder belongs to one replica: run one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from configs.engines import LocalIndex as LocalIndexSettings
from deployments.contracts.errors import BadInput
from deployments.contracts.knowledge import Chunk, Document, Embedding
from deployments.engines.stored_documents import StoredDocuments, check_tenant

_RRF_K = 60
_BM25_K1 = 1.2
_BM25_B = 0.75
_LEAST_COSINE = 0.15
"""Without a shared term, a chunk counts as found only from here on: over three times what hashing to 512 places yields
by chance (1/√512 = 0.044). Real embedding models lie above it for nearly all pairs, and so are left to their ranks."""
_MOST_CHUNKS_A_TENANT = 100_000
"""About 200 MB of vectors at 512 dimensions; what is larger wants a vector database."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One document in memory."""

    document: Document
    chunks: tuple[Chunk, ...]
    dense: np.ndarray
    """(chunks, dimensions) float32."""
    terms: np.ndarray
    """(entries,) int64: term ids of all chunks, one entry a term and chunk."""
    rows: np.ndarray
    """(entries,) int64: the chunk of each entry."""
    counts: np.ndarray
    """(entries,) float32: weighted count of the term in the chunk."""


@dataclass(frozen=True, slots=True)
class _Joined:
    """All of one tenant's documents, ready to be searched."""

    chunks: tuple[Chunk, ...]
    dense: np.ndarray
    terms: np.ndarray
    """Sorted, so that a term's entries are one slice."""
    rows: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray
    """(chunks,) float32: sum of a chunk's counts."""
    languages: np.ndarray


class LocalIndex:
    """An `IndexEngine`. What lay in the folder is `unembedded` at first: hand it to `replace` with vectors."""

    def __init__(self, settings: LocalIndexSettings, folder: str) -> None:
        self._settings = settings
        self._stored = StoredDocuments(folder)
        self._tenants: dict[str, dict[str, _Piece]] = {}
        self._joined: dict[str, _Joined] = {}
        self._unembedded = {
            (document.tenant, document.document): (document, chunks) for document, chunks in self._stored.read_all()
        }

    def unembedded(self) -> list[tuple[Document, list[Chunk]]]:
        """Documents found on disk that cannot be searched until `replace` brings their vectors."""
        return list(self._unembedded.values())

    def replace(self, document: Document, chunks: Sequence[Chunk], embeddings: Sequence[Embedding]) -> None:
        """Atomically put these chunks in the place of the document's earlier ones, on disk and then in memory."""
        others = sum(
            len(piece.chunks)
            for name, piece in self._tenants.get(document.tenant, {}).items()
            if name != document.document
        )
        if others + len(chunks) > _MOST_CHUNKS_A_TENANT:
            raise BadInput("tenant_full", f"a tenant may have {_MOST_CHUNKS_A_TENANT} chunks in this index", "index")
        piece = _piece(document, chunks, embeddings)
        self._stored.write(document, chunks)
        self._tenants.setdefault(document.tenant, {})[document.document] = piece
        self._changed(document.tenant, document.document)

    def delete(self, tenant: str, document: str) -> bool:
        """Remove every chunk of the document; False when there was none."""
        was_there = self._stored.remove(tenant, document)
        self._tenants.get(tenant, {}).pop(document, None)
        self._changed(tenant, document)
        return was_there

    def search(self, tenant: str, embedding: Embedding, limit: int, language: str | None) -> list[tuple[Chunk, float]]:
        """At most `limit` chunks that share something with the text, best first; other languages only if none does."""
        check_tenant(tenant)
        joined = self._join(tenant)
        if joined is None:
            return []
        cosines = joined.dense @ embedding.dense
        sparse = _bm25(joined, embedding.sparse)
        found = (sparse > 0) | (cosines >= _LEAST_COSINE)
        if language is not None and np.any(found & (joined.languages == language)):
            found &= joined.languages == language
        rows = np.flatnonzero(found)
        near, shared = cosines[rows], sparse[rows]
        fused = _reciprocal_ranks(near) * (near >= _LEAST_COSINE) + _reciprocal_ranks(shared) * (shared > 0)
        best = np.argsort(-fused, kind="stable")[:limit]
        return [(joined.chunks[rows[place]], float(fused[place])) for place in best]

    def documents(self, tenant: str) -> list[Document]:
        """The tenant's documents by id, searchable or not."""
        check_tenant(tenant)
        waiting = [document for (owner, _), (document, _) in self._unembedded.items() if owner == tenant]
        ready = [piece.document for piece in self._tenants.get(tenant, {}).values()]
        return sorted(waiting + ready, key=lambda document: document.document)

    def chunks(self, tenant: str) -> list[Chunk]:
        """All chunks of the tenant, by document, in the order of their texts."""
        check_tenant(tenant)
        pieces = self._tenants.get(tenant, {})
        return [chunk for name in sorted(pieces) for chunk in pieces[name].chunks]

    def _changed(self, tenant: str, document: str) -> None:
        self._unembedded.pop((tenant, document), None)
        self._joined.pop(tenant, None)

    def _join(self, tenant: str) -> _Joined | None:
        pieces = [piece for piece in self._tenants.get(tenant, {}).values() if piece.chunks]
        if pieces and tenant not in self._joined:
            self._joined[tenant] = _join(pieces)
        return self._joined.get(tenant)


def _piece(document: Document, chunks: Sequence[Chunk], embeddings: Sequence[Embedding]) -> _Piece:
    if len(chunks) != len(embeddings):
        raise ValueError(f"{len(chunks)} chunks with {len(embeddings)} embeddings")
    vectors = [embedding.sparse for embedding in embeddings]
    return _Piece(
        document,
        tuple(chunks),
        np.array([embedding.dense for embedding in embeddings], np.float32).reshape(len(chunks), -1),
        np.fromiter((term for vector in vectors for term in vector), np.int64),
        np.repeat(np.arange(len(vectors)), [len(vector) for vector in vectors]),
        np.fromiter((count for vector in vectors for count in vector.values()), np.float32),
    )


def _join(pieces: Sequence[_Piece]) -> _Joined:
    chunks = tuple(chunk for piece in pieces for chunk in piece.chunks)
    starts = np.cumsum([0] + [len(piece.chunks) for piece in pieces])
    terms = np.concatenate([piece.terms for piece in pieces])
    rows = np.concatenate([piece.rows + start for piece, start in zip(pieces, starts, strict=False)])
    counts = np.concatenate([piece.counts for piece in pieces])
    order = np.argsort(terms, kind="stable")
    return _Joined(
        chunks,
        np.concatenate([piece.dense for piece in pieces]),
        terms[order],
        rows[order],
        counts[order],
        np.bincount(rows, counts, len(chunks)).astype(np.float32),
        np.array([chunk.language for chunk in chunks]),
    )


def _bm25(joined: _Joined, asked: dict[int, float]) -> np.ndarray:
    """(chunks,) float32, 0 where no term is shared. A term's rarity is counted among this tenant's chunks alone."""
    total = len(joined.chunks)
    scores = np.zeros(total, np.float32)
    crowd = _BM25_K1 * (1 - _BM25_B + _BM25_B * joined.lengths / max(float(joined.lengths.mean()), 1e-9))
    for term, weight in asked.items():
        first, last = np.searchsorted(joined.terms, [term, term + 1])
        rows, counts = joined.rows[first:last], joined.counts[first:last]
        rarity = np.log1p((total - len(rows) + 0.5) / (len(rows) + 0.5))
        scores[rows] += weight * rarity * counts * (_BM25_K1 + 1) / (counts + crowd[rows])
    return scores


def _reciprocal_ranks(values: np.ndarray) -> np.ndarray:
    """1 / (60 + rank), the largest value having rank 1."""
    ranks = np.empty(len(values), np.int64)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return 1.0 / (_RRF_K + ranks)
