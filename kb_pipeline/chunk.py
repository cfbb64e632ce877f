"""A document is cut into pieces that are found as one: along its headings, and where a section is long, by sentences.

In: a `Document`. Out: its `Chunk`s in order; each lies under one heading, holds at most `MOST_TOKENS`, and its text is
exactly `document.text[begin:end]` of its span. A question-and-answer section ("## question", answer) is one chunk whose
heading is the question. Long sections are cut by `semchunk` at the largest break that fits. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import semchunk

from deployments.contracts.errors import BadInput
from deployments.contracts.knowledge import Chunk, Document
from kb_pipeline.markdown import headings

MOST_TOKENS = 512
OVERLAP_TOKENS = 128
MOST_CHUNKS = 5_000
"""A document of more is refused when it is stored; it need not be cut to the end before."""

_CHARS_A_TOKEN = 16
"""A run of characters without spaces counts as several words, so that no chunk is longer than 8,192 characters."""
_MOST_HEADING_CHARS = 300


@dataclass(frozen=True, slots=True)
class Section:
    """What stands under one heading, without the heading itself."""

    heading: str
    """"" before the first heading."""
    begin: int
    end: int


def chunk_document(document: Document) -> list[Chunk]:
    """All chunks of the document. Raises `BadInput` when it has nothing under its headings, or too much."""
    chunks: list[Chunk] = []
    for section in sections(document.text):
        for begin, end in _cut(document.text[section.begin : section.end]):
            span = (section.begin + begin, section.begin + end)
            chunks.append(_chunk(document, section.heading, span))
        if len(chunks) > MOST_CHUNKS:
            raise BadInput("document_too_many_chunks", f"{document.source}: more than {MOST_CHUNKS} chunks", "ingest")
    if not chunks:
        raise BadInput("document_empty", f"{document.source} has no text under its headings", "ingest")
    return chunks


def sections(text: str) -> Iterator[Section]:
    """The parts between Markdown headings, in order; lines in fenced code are no headings."""
    heading, begin = "", 0
    for found in headings(text):
        yield Section(heading, begin, found.begin)
        heading, begin = found.text[:_MOST_HEADING_CHARS], found.end
    yield Section(heading, begin, len(text))


def _cut(text: str) -> list[tuple[int, int]]:
    """Spans of the chunks of one section."""
    if not text.strip():
        return []
    if _tokens(text) <= MOST_TOKENS:
        return [_trim(text, 0, len(text))]
    cut: Any = semchunk.chunk(text, MOST_TOKENS, _tokens, memoize=False, offsets=True, overlap=OVERLAP_TOKENS)
    _, spans = cut
    return [_trim(text, begin, end) for begin, end in spans]


def _trim(text: str, begin: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends."""
    piece = text[begin:end]
    return end - len(piece.lstrip()), begin + len(piece.rstrip())


def _tokens(text: str) -> int:
    """Words, as a stand-in for a model's tokens."""
    return max(len(text.split()), -(-len(text) // _CHARS_A_TOKEN))


def _chunk(document: Document, heading: str, span: tuple[int, int]) -> Chunk:
    return Chunk(
        tenant=document.tenant,
        document=document.document,
        title=document.title,
        source=document.source,
        language=document.language,
        heading=heading,
        text=document.text[span[0] : span[1]],
        span=span,
    )
