"""Foreign text on a terminal: what could steer it, or turn its lines round, is shown by its code instead of sent.

In: what callers said, documents, file names, servers' answers. Out: one line of text in which control characters, ends
of lines, halves of characters and Unicode's direction marks (UAX #9) stand as `\\x1b`, `\\n`, `\\u202e`; and JSON in
which they are escaped too (`json.dumps` leaves DEL, C1 and the direction marks as they are).
"""

from __future__ import annotations

import json
import re
from typing import Any

_STEERING = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: 0x9b begins an escape sequence as "\x1b[" does
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction: marks, embeddings and overrides, isolates
    "\u2028\u2029\ud800-\udfff]"  # ends of lines, and halves of characters, which no terminal's encoding has
)


def plain(text: object) -> str:
    """The text as one line that is safe to print; nothing for None."""
    return "" if text is None else _STEERING.sub(_by_code, str(text))


def json_line(value: Any) -> str:
    """One object on one line, letters of every script readable. What is not JSON's is written as text."""
    # These characters stand inside strings only, where `\\u` and four digits mean the same.
    return _STEERING.sub(_as_json, json.dumps(value, ensure_ascii=False, default=str))


def _by_code(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _as_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
