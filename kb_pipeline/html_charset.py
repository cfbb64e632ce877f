"""The bytes of a web page become text.

In: the file's bytes and name. Out: its text, or `BadInput` document_not_utf8, which says what the page declares. A page
that is UTF-8 is read as that, whatever it declares (pages are converted and keep their old declaration; the reverse
does not happen by chance: text of another charset is hardly ever valid UTF-8). Otherwise the declaration counts, in
`<meta>` or the XML head, for the charsets in which Arabic and English pages are found.
"""

from __future__ import annotations

import codecs
import re

from deployments.contracts.errors import BadInput

CHARSETS = {
    "windows-1256": "cp1256",
    "cp1256": "cp1256",
    "x-cp1256": "cp1256",
    "iso-8859-6": "iso8859-6",
    "arabic": "iso8859-6",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "us-ascii": "cp1252",
}
"""Declared name → Python's codec. Browsers take the last three for windows-1252 (https://encoding.spec.whatwg.org)."""

_LOOKED_AT_BYTES = 4_096
"""Where the declaration stands; the standard wants it in the first 1,024."""
_DECLARED = re.compile(
    rb"""<(?:meta\b[^<>]{0,500}?[\s;"']charset|\?xml\b[^<>]{0,200}?\sencoding)\s*=\s*["']?\s*([\w.:-]{1,40})""",
    re.IGNORECASE,
)
_OTHER_UNICODE = {codecs.BOM_UTF16_LE: "utf-16le", codecs.BOM_UTF16_BE: "utf-16be"}


def decode_page(content: bytes, filename: str) -> str:
    """The page's text without byte order mark. Raises `BadInput`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = error
    declared = declared_charset(content)
    codec = CHARSETS.get(declared)
    if codec is None:
        said = f"declares {declared}, which is not read" if declared else "declares no charset"
        detail = f"{filename}: byte {wrong.start} is not UTF-8, and the page {said}"
        raise BadInput("document_not_utf8", detail, "ingest") from wrong
    try:
        return content.decode(codec)
    except UnicodeDecodeError as error:
        detail = f"{filename} declares {declared}, but byte {error.start} is neither that nor UTF-8"
        raise BadInput("document_not_utf8", detail, "ingest") from error


def declared_charset(content: bytes) -> str:
    """What the page says its charset is, in lower case; "" when it says nothing."""
    for mark, name in _OTHER_UNICODE.items():
        if content.startswith(mark):
            return name
    found = _DECLARED.search(content[:_LOOKED_AT_BYTES])
    return found[1].decode("ascii", "replace").lower() if found else ""
