"""What is known and how it is asked: documents, chunks, passages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a tenant, as text."""

    tenant: str
    document: str
    """Stable identity within the tenant, e.g. "tariffs.en"."""
    title: str
    source: str
    """Where it came from, shown in citations: a file name or an address."""
    language: str
    """"en" or "ar"."""
    text: str
    """Markdown or plain text."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a document that is embedded and found as one."""

    tenant: str
    document: str
    title: str
    source: str
    language: str
    heading: str
    """The heading the chunk stands under; "" when there is none."""
    text: str
    span: tuple[int, int]
    """Characters [from, to) of the document's text."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Dense and sparse vectors of one text, made in one pass."""

    dense: np.ndarray
    """(dimensions,) float32, unit length."""
    sparse: dict[int, float] = field(default_factory=dict)
    """Term id → weight."""


@dataclass(frozen=True, slots=True)
class KnowledgeQuery:
    """A question put to one tenant's documents."""

    tenant: str
    text: str
    k: int = 3
    language: str | None = None
    """Prefer documents in this language; None = any."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that may answer a question."""

    text: str
    score: float
    """In [0, 1], from the reranker; what counts as an answer is the profile's `dialogue.min_passage_score`."""
    document: str
    title: str
    source: str
    span: tuple[int, int]
    heading: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class KnowledgeAnswer:
    """Passages, best first, and what the engines (embedder, index, reranker) themselves took."""

    passages: tuple[Passage, ...]
    engine_ms: float = 0.0
