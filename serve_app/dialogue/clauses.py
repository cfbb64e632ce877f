"""From a stream of tokens to clauses that can be spoken, the first one as early as it makes sense.

In: text in pieces of any size. Out: clauses. The first may end at a comma (3 words or 12 characters are enough: speech
can begin while the model still writes); later ones end at a sentence's end, at a comma once they are longer than
60 characters, and at a space before character 200. Pure: how the stream is cut into pieces does not change the clauses.

A mark ends a clause only when white space follows, which keeps numbers, times, URLs and addresses whole. `RawCutter`
keeps every character that is not white space; `ClauseCutter` is what a voice wants: its clauses without markdown.
"""

from __future__ import annotations

import re

from deployments.contracts.errors import BadInput

FIRST_WORDS = 3
FIRST_CHARS = 12
COMMA_CHARS = 60
LONGEST_CHARS = 200
LONGEST_WORD_CHARS = 1_000
"""A "word" longer than this is cut anywhere; the voices refuse texts of more than 2,000 characters."""

_MARK = re.compile(r"([.!?…؟۔,;:–—،؛]+)[\"'”’»)\]}*_`]*(?=\s)|\n")
_ENDS = ".!?…؟۔"
_DASHES = "–—"
_SPACES = re.compile(r"\s+")

# Before a name or in the middle of a sentence: never an end.
_NEVER_LAST = frozenset(["dr", "mr", "mrs", "ms", "prof", "st", "eng", "messrs", "approx", "incl", "vs", "ca"])
# An end, unless a number or a lower-case word follows: "No. 5" but "No. We are closed."
_MONTHS = ["jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"]
_DAYS = ["mon", "tue", "tues", "wed", "thu", "thurs", "fri", "sat", "sun"]
_COUNTED = ["no", "nos", "tel", "ext", "fig", "vol", "p", "pp", "art", "sec", "min", "max", "hr", "hrs"]
_SELDOM_LAST = frozenset([*_MONTHS, *_DAYS, *_COUNTED, "dept", "inc", "ltd", "co", "etc", "est"])
# "a.m.", "e.g.", "U.A.E.", "J."; in Arabic also a title with a prefix written together, "ود. سارة" (and Dr Sara).
# Not any letter after a prefix: "لك." (for you) ends many a sentence.
_INITIALS = {
    "en": re.compile(r"(?:[^\W\d_]\.)+"),
    "ar": re.compile(r"(?:[^\W\d_]\.)+|[ولبف](?:[أدم]\.)+"),
}
_NUMBER = re.compile(r"\d[\d.,٫٬]*\.")
_OPENING = "\"'“‘«([{*_`"


class RawCutter:
    """Cuts; drops nothing but white space between clauses."""

    def __init__(self, language: str) -> None:
        if language not in _INITIALS:
            raise BadInput("language_unknown", f"language {language!r}; there are: {', '.join(_INITIALS)}", "dialogue")
        self._initials = _INITIALS[language]
        self._text = ""
        """Not yet cut; does not begin with white space."""
        self._first = True

    def feed(self, text: str) -> list[str]:
        """Take the next piece of the stream; return the clauses that are complete with it."""
        self._text = (self._text + text).lstrip()
        clauses = []
        while end := self._next_end():
            clauses.append(self._cut(end))
        return clauses

    def finish(self) -> list[str]:
        """The stream has ended; return what is left."""
        clauses = self.feed("\n")  # white space settles every open question of the form "what follows?"
        if self._text:
            clauses.append(self._cut(len(self._text)))
        return clauses

    def _cut(self, end: int) -> str:
        clause, self._text = self._text[:end].rstrip(), self._text[end:].lstrip()
        # A rule or a list dash alone is not spoken, so the next clause is still the caller's first.
        self._first = self._first and not speakable(clause)
        return clause

    def _next_end(self) -> int | None:
        """Where the next clause ends; None while that cannot be known."""
        for mark in _MARK.finditer(self._text):
            if mark.end() > LONGEST_CHARS:
                break
            ends = self._ends_clause(mark)
            if ends is None:
                return None
            if ends:
                return mark.end()
        if len(self._text) <= LONGEST_CHARS:
            return None
        spaces = [space.start() for space in _SPACES.finditer(self._text, 0, LONGEST_CHARS + 1)]
        if spaces:
            return spaces[-1]
        space = _SPACES.search(self._text, LONGEST_CHARS, LONGEST_WORD_CHARS)
        if space:
            return space.start()
        return LONGEST_WORD_CHARS if len(self._text) >= LONGEST_WORD_CHARS else None

    def _ends_clause(self, mark: re.Match[str]) -> bool | None:
        """Whether a clause ends with this mark; None while that hangs on what follows."""
        signs = mark[1]
        if signs is None:
            return True
        before = self._text[: mark.start()]
        if before.rfind("[") > before.rfind("]"):
            return False  # inside the text of a markdown link
        if signs == ".":
            return self._full_stop_ends(before, mark.end())
        if any(sign in _ENDS for sign in signs):
            return True
        if any(sign in _DASHES for sign in signs) and before.rstrip()[-1:].isdigit():
            return False  # "9 – 17"
        if self._first:
            return len(before.split()) >= FIRST_WORDS or len(before) >= FIRST_CHARS
        return len(before) > COMMA_CHARS

    def _full_stop_ends(self, before: str, end: int) -> bool | None:
        word = before.split()[-1].lstrip(_OPENING) + "." if before and not before[-1].isspace() else "."
        if word[:-1].lower() in _NEVER_LAST or self._initials.fullmatch(word):
            return False
        if _NUMBER.fullmatch(word) or word[:-1].lower() in _SELDOM_LAST:
            if word.rstrip(".") == before.lstrip(_OPENING) and _NUMBER.fullmatch(word):
                return False  # "1. Open the app": the number of a list
            rest = self._text[end:].lstrip()
            if not rest:
                return None
            return not (rest[0].islower() or (rest[0].isdigit() and not _NUMBER.fullmatch(word)))
        return True


class ClauseCutter:
    """`RawCutter`, each clause `speakable`, and none that says nothing."""

    def __init__(self, language: str) -> None:
        self._raw = RawCutter(language)

    def feed(self, text: str) -> list[str]:
        """Take the next piece of the stream; return the clauses that are complete with it."""
        return [said for clause in self._raw.feed(text) if (said := speakable(clause))]

    def finish(self) -> list[str]:
        """The stream has ended; return what is left."""
        return [said for clause in self._raw.finish() if (said := speakable(clause))]


_UNSPOKEN = (
    (re.compile(r"^\s*```\w*", re.MULTILINE), ""),
    (re.compile(r"^\s*([-*_=]\s*){3,}$", re.MULTILINE), ""),  # a rule
    (re.compile(r"^\s*((#{1,6}|>+|[-*+•])(\s+|$))+", re.MULTILINE), ""),  # heading, quotation, list
    (re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)"), r"\1"),  # link, picture
    (re.compile(r"\]\([^()\s]*\)"), ""),  # the second half of a link that a hard cut broke
    (re.compile(r"\*{2,}|~{2,}|`+"), ""),
    (re.compile(r"(?<!\w)[*_]+(?=\S)|(?<=\S)[*_]+(?!\w)"), ""),  # emphasis, but not 5*3 or first_name
    (re.compile(r"\s*\|\s*"), " "),  # table
    (
        re.compile("[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff][\ufe0f\u200d]*|[\ufe0f\u20e3]"),
        "",
    ),  # pictographs: a voice would read their names
)


def speakable(text: str) -> str:
    """The clause without markdown and pictographs, white space made single; "" when nothing is left to say."""
    for pattern, instead in _UNSPOKEN:
        text = pattern.sub(instead, text)
    text = " ".join(text.split())
    return text if any(char.isalnum() or char in "%€$£&+@" for char in text) else ""
