"""How well a passage answers a question, judged by words alone: no model.

In: a question and passages; the first line of a passage is its heading when more lines follow. Out: scores in [0, 1].
The score is the share of the question's informative words that the passage holds, raised to a power so that half of
them is not half an answer, and lifted where the heading asks for little else. Question words and courtesies count
nothing; a misspelt or misheard word counts in part, by the Dice coefficient of its letter pairs (Dice 1945). Synonyms
are unknown: documents must use the words that callers use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from configs.engines import LexicalReranker as LexicalRerankerSettings
from deployments.engines.words import words

_MOST_QUESTION_WORDS = 40
_MOST_PASSAGE_WORDS = 2_000
"""Distinct words looked at: a passage is some 512 words, and a sent one must not hold the replica."""

_IN_TEXT = 0.9
"""Credit of a word that is found in the text only; one in the heading has all of it."""
_SIMILAR = 0.75
"""Credit of a similar word, times the similarity."""
_LEAST_SIMILARITY = 0.6
_POWER = 1.5
_HEADING_SHARE = 0.2
"""Part of the score that depends on how much of the heading the question asks for."""
_LEAST_EVIDENCE = 0.5
"""Weight of the words found below which there is no topic ("what time is it"): the score is cut in half."""


@dataclass(frozen=True, slots=True)
class _Passage:
    heading: dict[str, float]
    text: dict[str, float]


class LexicalReranker:
    """A `RerankEngine` without state."""

    def __init__(self, settings: LexicalRerankerSettings) -> None:
        self._settings = settings

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score in [0, 1] a passage; all 0 for a question without an informative word."""
        asked = _informative(question, _MOST_QUESTION_WORDS)
        return [_score(asked, _split(passage)) for passage in passages]


def _score(asked: dict[str, float], passage: _Passage) -> float:
    if not asked:
        return 0.0
    credits = {stem: _credit(stem, passage) for stem in asked}
    found = sum(weight * credits[stem] for stem, weight in asked.items())
    share = found / sum(asked.values())
    about = sum(passage.heading.values())
    overlap = sum(weight for stem, weight in passage.heading.items() if stem in asked)
    heading = overlap / about if about else 0.0
    score = share**_POWER * (1 - _HEADING_SHARE + _HEADING_SHARE * heading)
    return score if found >= _LEAST_EVIDENCE else score / 2


def _credit(stem: str, passage: _Passage) -> float:
    """How much of a word of the question the passage holds, in [0, 1]."""
    if stem in passage.heading:
        return 1.0
    if stem in passage.text:
        return _IN_TEXT
    nearest = max((_similarity(stem, other) for part in (passage.heading, passage.text) for other in part), default=0.0)
    return _SIMILAR * nearest if nearest >= _LEAST_SIMILARITY else 0.0


def _split(passage: str) -> _Passage:
    heading, newline, text = passage.partition("\n")
    if not newline:
        heading, text = "", passage
    return _Passage(_informative(heading, _MOST_QUESTION_WORDS), _informative(text, _MOST_PASSAGE_WORDS))


def _informative(text: str, most: int) -> dict[str, float]:
    """Stem → weight of the informative words, in order of appearance."""
    found: dict[str, float] = {}
    for word in words(text):
        if word.informative:
            found[word.stem] = max(word.weight, found.get(word.stem, 0.0))
            if len(found) == most:
                break
    return found


def _similarity(one: str, other: str) -> float:
    """Dice coefficient of the letter pairs of two words, in [0, 1]; numbers are equal or they are not."""
    if abs(len(one) - len(other)) > 2 or one.isdigit() or other.isdigit():
        return 0.0
    left, right = _pairs(one), _pairs(other)
    return 2 * len(left & right) / (len(left) + len(right))


@lru_cache(maxsize=50_000)
def _pairs(stem: str) -> frozenset[str]:
    marked = f"<{stem}>"
    return frozenset(marked[place : place + 2] for place in range(len(marked) - 1))
