"""The little of Markdown that matters here: where headings are.

Text in, headings out. By hand and not by one expression: on a long line of blanks such an expression takes for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_DEEPEST = 6
_FENCES = ("```", "~~~")


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading line."""

    level: int
    """1 to 6."""
    text: str
    begin: int
    end: int
    """Characters [begin, end) of the text, with the line's end."""


def headings(text: str) -> Iterator[Heading]:
    """All headings ("## So") in order; lines inside fenced code are none."""
    place, fence = 0, ""
    for line in text.splitlines(keepends=True):
        begin, place = place, place + len(line)
        bare = line.strip()
        indented = line.startswith(("    ", "\t"))
        if fence:
            fence = "" if bare.startswith(fence) else fence
        elif bare.startswith(_FENCES) and not indented:
            fence = bare[:3]
        elif bare.startswith("#") and not indented:
            title = bare.lstrip("#")
            level = len(bare) - len(title)
            if level <= _DEEPEST and (not title or title[0].isspace()):
                yield Heading(level, _without_closing_marks(title), begin, place)


def _without_closing_marks(title: str) -> str:
    """ "So ##" is "So", but "C#" is "C#"."""
    bare = title.rstrip("#")
    return (bare if not bare or bare[-1].isspace() else title).strip()
