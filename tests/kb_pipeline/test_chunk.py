"""Chunks are exact pieces of the text, one heading each, of bounded size, and nothing is lost."""

import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.errors import BadInput
from deployments.contracts.knowledge import Document
from kb_pipeline.chunk import MOST_CHUNKS, MOST_TOKENS, chunk_document

BASE = Document("demo", "d", "Title", "d.md", "en", "")


def document(text: str) -> Document:
    return replace(BASE, text=text)


LINES = st.sampled_from(
    ["# One", "## Two?", "word " * 300, "Short line.", "", "```", "كلمة " * 200, "a" * 5000, "x\u2028y"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_spans_are_exact_and_no_word_is_lost(lines: list[str]) -> None:
    text = "\n".join([*lines, "The end."])

    chunks = chunk_document(document(text))

    covered = bytearray(len(text))
    for chunk in chunks:
        begin, end = chunk.span
        assert chunk.text == text[begin:end]
        assert chunk.text == chunk.text.strip() != ""
        assert len(chunk.text.split()) <= MOST_TOKENS
        assert len(chunk.text) <= MOST_TOKENS * 16
        covered[begin:end] = b"\1" * (end - begin)
    left = "".join(char for char, seen in zip(text, covered, strict=True) if not seen)
    assert all(not line.strip() or line.startswith("#") for line in left.split("\n"))


def test_a_question_and_its_answer_are_one_chunk() -> None:
    text = "# FAQ\n\n## When are you open?\nFrom eight.\nTo six.\n\n## Where?\nIn Dubai.\n"

    chunks = chunk_document(document(text))

    assert [(chunk.heading, chunk.text) for chunk in chunks] == [
        ("When are you open?", "From eight.\nTo six."),
        ("Where?", "In Dubai."),
    ]
    assert {(c.tenant, c.document, c.title, c.source, c.language) for c in chunks} == {
        ("demo", "d", "Title", "d.md", "en")
    }


def test_text_before_the_first_heading_has_none() -> None:
    assert [chunk.heading for chunk in chunk_document(document("Hello.\n# One\nText."))] == ["", "One"]


def test_a_long_section_is_cut_with_overlap_and_keeps_its_heading() -> None:
    sentences = [f"Sentence number {n} has some eight words in it." for n in range(300)]
    text = "## Long\n" + " ".join(sentences) + "\n## Next\nShort."

    chunks = chunk_document(document(text))

    long = [chunk for chunk in chunks if chunk.heading == "Long"]
    assert len(long) > 3
    assert chunks[-1].heading == "Next"
    for before, after in pairwise(long):
        shared = text[after.span[0] : before.span[1]]
        assert 64 <= len(shared.split()) <= 160


def test_a_document_of_headings_only_is_empty() -> None:
    with pytest.raises(BadInput, match="document_empty"):
        chunk_document(document("# One\n\n## Two\n"))


def test_too_many_chunks_are_refused() -> None:
    with pytest.raises(BadInput, match="document_too_many_chunks"):
        chunk_document(document("# A\nb\n" * (MOST_CHUNKS + 1)))


@pytest.mark.parametrize("text", ["a" * 1_000_000, "\n" * 1_000_000 + "a", " a" * 500_000, "?!" * 500_000])
def test_the_largest_strange_documents_are_cut_in_bounded_time(text: str) -> None:
    began_s = time.process_time()

    chunks = chunk_document(document(text))

    assert chunks
    assert time.process_time() - began_s < 30
