"""A file becomes a document, or is refused with a code that stays the same."""

import pytest

from deployments.contracts.errors import BadInput
from kb_pipeline.load import MOST_BYTES, document_id, load_document


@pytest.mark.parametrize(
    ("content", "name", "code"),
    [
        (b"", "a.md", "document_empty"),
        (b" \n\t ", "a.md", "document_empty"),
        ("\ufeff \n".encode(), "a.md", "document_empty"),
        (b"---\ntitle: only this\n---\n", "a.md", "document_empty"),
        (b"a" * (MOST_BYTES + 1), "a.md", "document_too_large"),
        ("ساعات".encode("cp1256"), "a.md", "document_not_utf8"),
        ("hours".encode("utf-16"), "a.md", "document_not_utf8"),
        (b"zero \0 byte", "a.txt", "document_not_utf8"),
        (b"%PDF-1.7", "a.pdf", "document_type_unknown"),
        (b"text", "noending", "document_type_unknown"),
        (b"---\nlanguage: fr\n---\nBonjour", "a.md", "document_language_unknown"),
    ],
)
def test_an_unusable_file_is_refused(content: bytes, name: str, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_document(content, name, "demo")

    assert refused.value.code == code


def test_front_matter_gives_title_and_language_and_is_not_text() -> None:
    content = b'---\ntitle: "Our hours"\nlanguage: ar\nupdated: 2026-01-05\n---\n# Hours\nOpen.'

    document = load_document(content, "hours.en.md", "demo")

    assert (document.title, document.language, document.text) == ("Our hours", "ar", "# Hours\nOpen.")
    assert (document.tenant, document.document, document.source) == ("demo", "hours.en", "hours.en.md")


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    assert load_document(b"---\nSome words.\n---\nMore.", "a.md", "demo").text == "---\nSome words.\n---\nMore."


@pytest.mark.parametrize(
    ("content", "name", "title"),
    [
        ("Intro\n\n# Paying bills #\ntext", "bills.en.md", "Paying bills"),
        ("No heading at all", "bills.en.md", "bills"),
        ("#\n\n## Second", "bills.md", "Second"),
    ],
)
def test_the_title_is_the_first_heading_or_the_files_name(content: str, name: str, title: str) -> None:
    assert load_document(content.encode(), name, "demo").title == title


@pytest.mark.parametrize(
    ("content", "name", "language"),
    [
        ("Open on Friday", "a.md", "en"),
        ("نفتح يوم الجمعة", "a.md", "ar"),
        ("نفتح يوم الجمعة في Palm Grove", "a.md", "ar"),
        ("Open (مفتوح) from Monday to Friday", "a.md", "en"),
        ("12345", "a.md", "en"),
        ("See the app: Noor", "hours.ar.md", "ar"),
    ],
)
def test_the_language_is_that_of_the_name_or_of_the_letters(content: str, name: str, language: str) -> None:
    assert load_document(content.encode(), name, "demo").language == language


def test_line_ends_and_byte_order_mark_are_made_plain() -> None:
    assert load_document("\ufeffone\r\ntwo\rthree".encode(), "a.txt", "demo").text == "one\ntwo\nthree"


def test_identities_are_stable_and_different() -> None:
    names = ["hours.md", "Hours.md", "ساعات.md", "فواتير.md", "a b.md", "a-b.md", "x/hours.md", "x-hours.md", "...md"]

    ids = [document_id(name) for name in names]

    assert ids[0] == "hours"
    assert ids == [document_id(name) for name in names]
    assert len(set(ids)) == len(ids)
