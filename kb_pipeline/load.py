"""A file becomes a `Document`: its text in Unicode, a title, a language, an identity.

In: the file's bytes and name. Out: a `Document`, or `BadInput` with one of the codes document_empty,
document_too_large, document_not_utf8, document_too_deep, document_type_unknown, document_language_unknown. Pure: one
record in, one out.

A document that is no web page may begin with a front matter block, of which `title` and `language` are read:

    ---
    title: Opening hours
    language: en
    ---
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from pathlib import PurePosixPath

from deployments.contracts.errors import BadInput
from deployments.contracts.knowledge import Document
from deployments.engines.arabic import arabic_share
from kb_pipeline.html_charset import decode_page
from kb_pipeline.html_page import read_page
from kb_pipeline.markdown import headings

MOST_BYTES = 2_000_000
PAGES = (".html", ".htm", ".xhtml")
TYPES = (".md", ".markdown", ".txt", *PAGES)
LANGUAGES = ("en", "ar")

_MOST_TITLE_CHARS = 200
_MOST_ID_CHARS = 100
_ARABIC_FROM = 0.3
"""Share of Arabic letters that makes a document Arabic: such texts often hold names and addresses in Latin letters."""
_LOOKED_AT = 20_000
"""Characters whose script decides."""
_FRONT_MATTER = re.compile(r"---[ \t]*\n((?:[A-Za-z_][\w-]*[ \t]*:[^\n]{0,500}\n|[ \t]*\n){0,50})---[ \t]*(?:\n|\Z)")


def load_document(content: bytes, filename: str, tenant: str) -> Document:
    """Read one file; `filename` may be a path relative to the folder it came from. Raises `BadInput`."""
    path = PurePosixPath(filename)
    if path.suffix.lower() not in TYPES:
        raise BadInput("document_type_unknown", f"{filename}: only {', '.join(TYPES)} can be read", "ingest")
    is_page = path.suffix.lower() in PAGES
    text = _decode(content, filename, is_page)
    title, stated, text = _read_page(text, filename) if is_page else _read_front_matter(text)
    if not text.strip():
        raise BadInput("document_empty", f"{filename} has no text", "ingest")
    title = title or next((found.text for found in headings(text) if found.text), "")
    return Document(
        tenant=tenant,
        document=document_id(filename),
        title=(title or path.name.split(".")[0])[:_MOST_TITLE_CHARS],
        source=filename,
        language=_language(stated, path, text),
        text=text,
    )


def document_id(filename: str) -> str:
    """A stable identity made of the name: "Billing/Opening Hours.en.md" → "billing.opening-hours.en-1f3a8c02".

    A name of other characters than identities have is told from its likes by a checksum.
    """
    name = str(PurePosixPath(filename).with_suffix(""))
    plain = name.replace("/", ".")
    safe = re.sub(r"[^a-z0-9._-]+", "-", plain.lower()).strip("-._")[:_MOST_ID_CHARS]
    if safe == plain:
        return safe
    mark = f"{zlib.crc32(unicodedata.normalize('NFC', name).encode()):08x}"
    return f"{safe}-{mark}" if safe else mark


def _read_page(markup: str, filename: str) -> tuple[str, str, str]:
    """Title, language, text. A language that is not ours is no ground to refuse: many pages name a wrong one."""
    page = read_page(markup, filename)
    if len(page.text.encode()) > MOST_BYTES:  # Arabic of a one-byte charset has twice the bytes as UTF-8
        raise BadInput("document_too_large", f"{filename} has more than {MOST_BYTES} bytes of text", "ingest", 413)
    return page.title, page.language if page.language in LANGUAGES else "", page.text


def _read_front_matter(text: str) -> tuple[str, str, str]:
    """Title, language, and the text after the block."""
    front = _FRONT_MATTER.match(text)
    if not front:
        return "", "", text
    lines = (line.partition(":") for line in front[1].splitlines() if line.strip())
    fields = {name.strip().lower(): value.strip().strip("\"'") for name, _, value in lines}
    return fields.get("title", ""), fields.get("language", ""), text[front.end() :]


def _decode(content: bytes, filename: str, is_page: bool) -> str:
    if len(content) > MOST_BYTES:
        raise BadInput("document_too_large", f"{filename} has more than {MOST_BYTES} bytes", "ingest", 413)
    if not content.strip():
        raise BadInput("document_empty", f"{filename} has no text", "ingest")
    try:
        text = decode_page(content, filename) if is_page else content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("document_not_utf8", f"{filename}: byte {error.start} is not UTF-8", "ingest") from error
    if "\0" in text:
        raise BadInput("document_not_utf8", f"{filename} holds zero bytes, as text never does", "ingest")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _language(stated: str, path: PurePosixPath, text: str) -> str:
    """As the document says; else as its name ends ("hours.ar.md"); else by its letters."""
    if stated:
        if stated.lower() not in LANGUAGES:
            raise BadInput("document_language_unknown", f"{path}: {stated[:20]!r} is not one of {LANGUAGES}", "ingest")
        return stated.lower()
    ending = PurePosixPath(path.stem).suffix.lower().removeprefix(".")
    if ending in LANGUAGES:
        return ending
    return "ar" if arabic_share(text[:_LOOKED_AT]) >= _ARABIC_FROM else "en"
