"""A web page becomes text with Markdown headings, so that it is cut into pieces as any other document.

In: the page's text. Out: a `Page`. Headings are h1–h6 and what pages ask questions with: <dt>, <summary>, the name of a
schema.org Question. Navigation, scripts and what is hidden are left out; a table is read row by row, "cell, cell".

lxml's tokenizer tells of tags one by one and no tree is built: a tree of the HTML standard grows with the square of a
hostile page (selectolax 1.0.2: over 15 s for 2 MB of nested tags). This takes at most 1.7 s of a core for any 2 MB
tried, 0.5 s for an ordinary page of that size (2 shared cores, 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from deployments.contracts.errors import BadInput
from kb_pipeline.html_text import PageText

MOST_DEPTH = 1_000
"""Tags open at once; browsers stop nesting at 512. The tokenizer looks through all of them at every stray end tag."""

_FED_AT_ONCE_CHARS = 8_192
# fmt: off
_DROPPED = frozenset([
    "script", "style", "nav", "footer", "aside", "template", "noscript", "svg", "canvas", "audio", "video",
    "iframe", "object", "embed", "select", "textarea", "datalist", "del", "s", "strike", "rp",
])
# fmt: on
"""del, s and strike hold what is no longer so: the old price would be read aloud beside the new one."""
_DROPPED_ROLES = frozenset(["navigation", "contentinfo", "complementary", "search"])
_PANELS = frozenset(["region", "tabpanel"])
"""Roles of what a page unfolds on a click: hidden at first, and the answers of many a question page."""
_NEVER_HIDDEN = frozenset(["html", "head", "body", "main"])
"""Some pages hide everything until their scripts have run."""
_HIDING_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
# fmt: off
_BLOCKS = frozenset([
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div",
    "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header",
    "hgroup", "hr", "html", "legend", "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table",
    "tbody", "tfoot", "thead", "tr", "ul",
])
# fmt: on
_CELLS = frozenset(["td", "th"])
_FAQS = frozenset(["dl", "details"])
_LONE = re.compile(r"<(?:wbr|source|track)\b[^<>]*>", re.IGNORECASE)
"""Tags without an end that the tokenizer does not know as such."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a web page says."""

    title: str
    """Of its <title>; "" without one."""
    language: str
    """As <html lang> says, without region ("ar-AE" → "ar"); "" when it says nothing."""
    text: str
    """Markdown headings and plain paragraphs."""


def read_page(markup: str, filename: str) -> Page:
    """Read a page, however broken. Raises `BadInput` document_too_deep."""
    reader = _Reader()
    # Charset and limits are settled before; `huge_tree` lifts the tokenizer's own.
    parser = etree.HTMLParser(target=reader, encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    markup = _LONE.sub("", markup)
    try:
        for begin in range(0, len(markup), _FED_AT_ONCE_CHARS):
            parser.feed(markup[begin : begin + _FED_AT_ONCE_CHARS].encode())
        parser.close()
    except _TooDeep:
        detail = f"{filename} has more than {MOST_DEPTH} tags inside each other"
        raise BadInput("document_too_deep", detail, "ingest") from None
    return Page(" ".join("".join(reader.title).split()), reader.language, reader.text.finish())


class _TooDeep(Exception):
    pass


@dataclass(slots=True)
class _Open:
    """A tag that is open."""

    tag: str
    scope: bool = False
    """Begins an item of schema.org."""
    question: bool = False
    """That item is a question."""
    heading: bool = False


class _Reader:
    """Hears the tags in order and tells `PageText` what they mean. Every start has its end: lxml adds missing ones."""

    def __init__(self) -> None:
        self.title: list[str] = []
        self.language = ""
        self.text = PageText()
        self._open: list[_Open] = []
        self._dropped_from = 0
        """Depth of the tag whose whole content is left out; 0 = none."""
        self._preformatted = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if len(self._open) >= MOST_DEPTH:
            raise _TooDeep
        opened = _Open(tag)
        self._open.append(opened)
        if self._dropped_from:
            return
        if tag in _BLOCKS:
            self.text.end_block()
        if _is_dropped(tag, attributes):
            self._dropped_from = len(self._open)
            return
        kind = attributes.get("itemtype", "").rstrip("/").rpartition("/")[2]
        opened.scope, opened.question = "itemscope" in attributes, kind == "Question"
        if level := _heading_level(tag, attributes):
            opened.heading = self.text.begin_heading(level)
        elif tag == "dt" or tag == "summary" or ("name" in attributes.get("itemprop", "").split() and self._asks()):
            opened.heading = self.text.begin_question(is_term=tag == "dt")
        elif tag == "html":
            self.language = attributes.get("lang", attributes.get("xml:lang", "")).strip().lower().partition("-")[0]
        elif tag == "br":
            self.text.end_line()
        elif tag == "tr":
            self.text.end_row()
        elif tag in _CELLS:
            self.text.begin_cell()
        elif tag == "li":
            self.text.begin_item()
        elif tag == "pre":
            self._preformatted += 1

    def end(self, tag: str) -> None:
        closed = self._open.pop()
        if self._dropped_from:
            if len(self._open) < self._dropped_from:
                self._dropped_from = 0
            return
        if closed.heading:
            self.text.end_heading()
        elif tag == "tr":
            self.text.end_row()
        elif tag in _CELLS:
            self.text.end_cell()
        elif tag in _BLOCKS:
            self.text.end_block()
        self._preformatted -= tag == "pre"
        if tag in _FAQS or closed.question:
            self.text.end_questions()

    def data(self, text: str) -> None:
        if self._dropped_from or not self._open:
            return
        if self._open[-1].tag == "title":
            self.title.append(text)
        else:
            self.text.add(text, keeps_lines=self._preformatted > 0)

    def close(self) -> None:
        """lxml asks for it; `read_page` looks at the fields."""

    def _asks(self) -> bool:
        """Whether what is open belongs to a question of schema.org, and not to the answer in it."""
        for each in reversed(self._open[:-1]):
            if each.scope:
                return each.question
        return False


def _heading_level(tag: str, attributes: Mapping[str, str]) -> int:
    """1 to 6; 0 = no heading."""
    if len(tag) == 2 and tag[0] == "h" and tag[1] in "123456":
        return int(tag[1])
    if attributes.get("role", "").strip().lower() == "heading":
        level = attributes.get("aria-level", "2").strip()
        return int(level) if level in ("1", "2", "3", "4", "5", "6") else 2
    return 0


def _is_dropped(tag: str, attributes: Mapping[str, str]) -> bool:
    if tag in _DROPPED:
        return True
    if not attributes or tag in _NEVER_HIDDEN:
        return tag == "dialog"
    role = attributes.get("role", "").strip().lower()
    if role in _DROPPED_ROLES or (tag == "dialog" and "open" not in attributes):
        return True
    hidden = (
        attributes.get("hidden", "until-found").strip().lower() != "until-found"
        or attributes.get("aria-hidden", "").strip().lower() == "true"
        or _HIDING_STYLE.search(attributes.get("style", "")) is not None
    )
    return hidden and role not in _PANELS
