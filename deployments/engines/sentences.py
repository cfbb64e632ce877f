"""Cuts a passage into its sentences, English or Arabic, word for word as they stand there.

Text in, strings out. A full stop ends a sentence only where one can begin after it: not inside numbers and times
(2.5, 8.30), nor after initials and abbreviations (Dr., P.O., د.). Markdown's headings and list marks are not sentences.
"""

from __future__ import annotations

import re

_NEVER_LAST = frozenset(
    ["mr", "mrs", "ms", "dr", "st", "prof", "eng", "vs", "approx", "ext", "tel", "dept", "e.g", "i.e"]
)
"""Abbreviations that something always follows."""
_BEFORE_NUMBER = frozenset(["no", "nos", "fig", "sec"])
_MAY_BE_LAST = frozenset(["a.m", "p.m", "u.a.e", "u.k", "u.s"])
"""Dotted abbreviations that may also close a sentence."""
_DAYS = re.compile(r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b")
_HEADING = re.compile(r"^\s*#{1,6}\s")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]\s+|\d{1,2}[.)]\s+)")
_STOP = re.compile(r"(?<![.!?؟۔])[.!?؟۔]++[\"'”’)\]»]*(?=\s)")
_LAST_WORD = re.compile(r"\S{1,40}$")


def sentences(text: str) -> list[str]:
    """The sentences of `text` in order; runs of white space become one space, nothing else is changed."""
    found: list[str] = []
    for block in _blocks(text):
        begin = 0
        for stop in _STOP.finditer(block):
            if _ends_sentence(block, stop):
                found.append(block[begin : stop.end()].strip())
                begin = stop.end()
        found.append(block[begin:].strip())
    return [sentence for sentence in found if any(char.isalnum() for char in sentence)]


def _blocks(text: str) -> list[str]:
    """Paragraphs and list items, each on one line; headings and rules are left out."""
    blocks: list[str] = []
    open_block: list[str] = []
    for line in [*text.splitlines(), ""]:
        mark = _LIST_MARK.match(line)
        if not line.strip() or _HEADING.match(line) or mark:
            blocks.append(" ".join(open_block))
            open_block = []
        if not _HEADING.match(line):
            open_block.extend((line[mark.end() :] if mark else line).split())
    blocks.append(" ".join(open_block))
    return [block for block in blocks if block]


def _ends_sentence(block: str, stop: re.Match[str]) -> bool:
    if stop[0][0] != ".":
        return True
    after = block[stop.end() :].lstrip()[:12]
    if after[:1].islower():
        return False
    before = _LAST_WORD.search(block, max(0, stop.start() - 40), stop.start())
    word = before[0].lstrip("\"'“‘([«").lower() if before else ""
    if word in _MAY_BE_LAST:
        return not _DAYS.match(after) and not after[:1].isdigit()
    if word in _BEFORE_NUMBER and after[:1].isdigit():
        return False
    initials = all(len(part) == 1 and part.isalpha() for part in word.split("."))
    return not initials and word not in _NEVER_LAST
