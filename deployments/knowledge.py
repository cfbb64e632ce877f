"""The knowledge base as a deployment: documents go in, the passages that may answer a question come out.

In: `Document`s with their `Chunk`s, `KnowledgeQuery`s. Out: `KnowledgeAnswer`s, best passage first, and a tenant's
`Phrasebook`. A plain class; `graph.py` binds it to Ray Serve. Embedder and reranker are deployments of their own; the
index is an engine of this one and runs in one thread: the replica's loop stays free.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from configs.engines import LocalIndex
from deployments.contracts.errors import BadInput, DukatError, StageFailed
from deployments.contracts.knowledge import Chunk, Document, Embedding, KnowledgeAnswer, KnowledgeQuery, Passage
from deployments.contracts.ports import IndexEngine
from deployments.contracts.speech import Phrasebook
from deployments.loading import load
from deployments.phrases import make_phrasebook

T = TypeVar("T")

LANGUAGES = ("en", "ar")
MOST_QUERY_CHARS = 2_000
MOST_PASSAGES = 20
MOST_DOCUMENT_BYTES = 2_000_000
MOST_CHUNKS = 5_000
MOST_CHUNK_CHARS = 16_000
MOST_NAME_CHARS = 500
"""Of a title, a source or a heading."""
_TEXTS_AT_ONCE = 16
"""Embedded together when a document comes in; between two batches the questions of live calls have their turn."""

_log = logging.getLogger(__name__)


class EmbedderPort(Protocol):
    """The embedder: (embeddings, ms the engine took)."""

    async def embed(self, texts: list[str]) -> tuple[list[Embedding], float]: ...


class RerankerPort(Protocol):
    """The reranker: (scores, ms the engine took)."""

    async def score(self, question: str, passages: list[str]) -> tuple[list[float], float]: ...


class StoringIndex(IndexEngine, Protocol):
    """An index that can say what it holds."""

    def unembedded(self) -> list[tuple[Document, list[Chunk]]]:
        """Documents kept from before whose vectors must be made again."""
        ...

    def chunks(self, tenant: str) -> list[Chunk]: ...


class Knowledge:
    """Holds one index. `find` is a `KnowledgePort`, `put` and `remove` a `KnowledgeStore`."""

    def __init__(
        self,
        index_settings: LocalIndex,
        folder: str,
        embedder: EmbedderPort,
        reranker: RerankerPort,
        candidates: int,
    ) -> None:
        self._settings = index_settings
        self._index: StoringIndex = load(index_settings, folder)
        self._embedder = embedder
        self._reranker = reranker
        self._candidates = candidates
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="index")
        self._writing = asyncio.Lock()
        """Changes take place in the order in which they were asked for."""
        self._opened = False

    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer:
        """At most `query.k` passages, best first. Raises `BadInput`, `StageFailed`."""
        _check_query(query)
        await self._open()
        embeddings, embed_ms = await self._embedder.embed([query.text])
        limit = max(self._candidates, query.k)
        found, search_ms = await self._run(
            lambda: self._index.search(query.tenant, embeddings[0], limit, query.language)
        )
        if not found:
            return KnowledgeAnswer((), embed_ms + search_ms)
        chunks = [chunk for chunk, _ in found]
        scores, rerank_ms = await self._reranker.score(query.text, [f"{c.heading}\n{c.text}" for c in chunks])
        passages = tuple(_passage(chunk, score) for score, chunk in _best_first(scores, chunks)[: query.k])
        return KnowledgeAnswer(passages, embed_ms + search_ms + rerank_ms)

    async def put(self, document: Document, chunks: Sequence[Chunk]) -> int:
        """Replace the document and all its chunks at once; returns their number. The old ones are found until then."""
        _check_document(document, chunks)
        await self._open()
        async with self._writing:
            await self._embed_and_replace(document, chunks)
        _log.info("knowledge.put", extra={"tenant": document.tenant, "document": document.document, "n": len(chunks)})
        return len(chunks)

    async def remove(self, tenant: str, document: str) -> bool:
        """Remove every chunk of the document; False when there was none."""
        async with self._writing:
            removed, _ = await self._run(lambda: self._index.delete(tenant, document))
        _log.info("knowledge.remove", extra={"tenant": tenant, "document": document, "removed": removed})
        return removed

    async def documents(self, tenant: str) -> list[Document]:
        """The tenant's documents, by id."""
        found, _ = await self._run(lambda: self._index.documents(tenant))
        return found

    async def phrasebook(self, tenant: str) -> Phrasebook:
        """What callers may say about the documents as they are now."""
        await self._open()
        book, _ = await self._run(lambda: make_phrasebook(tenant, self._index.chunks(tenant)))
        return book

    async def ready(self) -> dict[str, str]:
        """Which index answers. Returns when the documents kept from before can be searched."""
        await self._open()
        return {"engine": self._settings.kind, "nature": self._settings.nature}

    async def check_health(self) -> None:
        """Returns while the index's thread still works; the other deployments have checks of their own."""
        await self._run(int)

    async def _open(self) -> None:
        """Once: make the vectors of what the index kept from before. A failure is tried again by the next request."""
        if self._opened:
            return
        async with self._writing:
            if self._opened:
                return
            kept, _ = await self._run(self._index.unembedded)
            for document, chunks in kept:
                await self._embed_and_replace(document, chunks)
            self._opened = True

    async def _embed_and_replace(self, document: Document, chunks: Sequence[Chunk]) -> None:
        texts = [f"{chunk.title}\n{chunk.heading}\n{chunk.text}" for chunk in chunks]
        embeddings: list[Embedding] = []
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            made, _ = await self._embedder.embed(texts[first : first + _TEXTS_AT_ONCE])
            embeddings += made
        await self._run(lambda: self._index.replace(document, chunks, embeddings))

    async def _run(self, work: Callable[[], T]) -> tuple[T, float]:
        """Do it in the index's thread; the result and the ms it took there."""

        def timed() -> tuple[T, float]:
            began_s = time.perf_counter()
            result = work()
            return result, (time.perf_counter() - began_s) * 1000

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, timed)
        except DukatError:
            raise
        except Exception as error:
            _log.exception("knowledge.index_failed")
            raise StageFailed("index_failed", f"the index raised {type(error).__name__}", "knowledge") from error


def _best_first(scores: Sequence[float], chunks: Sequence[Chunk]) -> list[tuple[float, Chunk]]:
    """By score. Of equals, the index's order decides, and within a document its own: the general comes first there."""
    order: dict[str, int] = {}
    for place, chunk in enumerate(chunks):
        order.setdefault(chunk.document, place)
    pairs = zip(scores, chunks, strict=True)
    return sorted(pairs, key=lambda pair: (-pair[0], order[pair[1].document], pair[1].span))


def _passage(chunk: Chunk, score: float) -> Passage:
    return Passage(
        text=chunk.text,
        score=score,
        document=chunk.document,
        title=chunk.title,
        source=chunk.source,
        span=chunk.span,
        heading=chunk.heading,
        language=chunk.language,
    )


def _check_query(query: KnowledgeQuery) -> None:
    if not query.text.strip():
        raise BadInput("query_empty", "the question has no text", "knowledge")
    if len(query.text) > MOST_QUERY_CHARS:
        raise BadInput("query_too_long", f"a question may have {MOST_QUERY_CHARS} characters", "knowledge")
    if not 1 <= query.k <= MOST_PASSAGES:
        raise BadInput("query_k_invalid", f"k is 1 to {MOST_PASSAGES}, not {query.k}", "knowledge")
    if query.language is not None and query.language not in LANGUAGES:
        raise BadInput("language_unknown", f"{query.language[:20]!r} is not one of {LANGUAGES}", "knowledge")


def _check_document(document: Document, chunks: Sequence[Chunk]) -> None:
    if len(document.text.encode()) > MOST_DOCUMENT_BYTES:
        raise BadInput("document_too_large", f"a document may have {MOST_DOCUMENT_BYTES} bytes", "knowledge", 413)
    if document.language not in LANGUAGES:
        raise BadInput("language_unknown", f"{document.language[:20]!r} is not one of {LANGUAGES}", "knowledge")
    if not 1 <= len(chunks) <= MOST_CHUNKS:
        raise BadInput(
            "chunk_count_invalid", f"a document has 1 to {MOST_CHUNKS} chunks, not {len(chunks)}", "knowledge"
        )
    for chunk in chunks:
        # A chunk under another tenant's name would be found by that tenant.
        if (chunk.tenant, chunk.document) != (document.tenant, document.document):
            raise BadInput("chunk_foreign", f"a chunk of {chunk.tenant}/{chunk.document} in another", "knowledge")
        names = max(len(chunk.title), len(chunk.source), len(chunk.heading))
        if len(chunk.text) > MOST_CHUNK_CHARS or names > MOST_NAME_CHARS:
            raise BadInput("chunk_too_long", "a chunk's text, title, source or heading is too long", "knowledge")
        if not 0 <= chunk.span[0] <= chunk.span[1] <= len(document.text):
            raise BadInput("chunk_span_invalid", f"span {chunk.span} is not within the document's text", "knowledge")
