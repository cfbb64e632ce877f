"""How well a passage answers a question, judged by words alone: no model.

In: a question and passages; the first line of a passage is its heading when more lines follow. Out: scores in [0, 1].
The score is the share of the question's informative words that the passage holds, raised to a power so that half of
them is not half an answer, and lifted where the heading asks for little else. Question words and courtesies count
nothing in this, but they tell what kind of answer is wanted (`engines.question_kind`): a passage whose heading asks
"how" is cut for a caller who asks "when", unless one of the questions in its text, which are other ways to ask it, asks
"when" too; such a question counts nearly as the heading does. A misspelt or misheard word counts in part, by the Dice
coefficient of its letter pairs (Dice 1945). Where headings tie, nothing is an answer: better none than a wrong one.
Synonyms are unknown: documents must use the words that callers use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from configs.engines import LexicalReranker as LexicalRerankerSettings
from deployments.engines.question_kind import QuestionKind, kinds, questions_in
from deployments.engines.words import words

_MOST_QUESTION_WORDS = 40
_MOST_PASSAGE_WORDS = 2_000
"""Distinct words looked at: a passage is some 512 words, and a sent one must not hold the replica."""
_MOST_PASSAGE_CHARS = 20_000
_MOST_QUESTIONS = 20
"""Questions in a passage that count."""

_IN_TEXT = 0.9
"""Credit of a word that is found in the text only; one in the heading has all of it."""
_SIMILAR = 0.75
"""Credit of a similar word, times the similarity."""
_LEAST_SIMILARITY = 0.6
_POWER = 1.5
_HEADING_SHARE = 0.2
"""Part of the score that depends on how much of the heading the question asks for."""
_LEAST_EVIDENCE = 0.5
"""Weight of the words found below which there is no topic ("what time is it")."""
_NO_ANSWER = 3
"""A score is divided by this where it must stay below what counts as an answer (`dialogue.min_passage_score`)."""
_TIE = 0.005
_RIVALS = 3
"""Headings with the same score from which on nothing is an answer: "my bill" alone asks for none of five."""
_WEAK = 0.6
"""Best score below which two such headings are enough."""
_KIND_UNKNOWN = 0.93
_OTHER_KIND = 0.7
"""What is left of the score where the heading asks for something else ("how" for "when"), or does not say for what."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question: the caller's, a heading, or one of the questions in a passage, which are other ways to ask it."""

    words: dict[str, float]
    kinds: frozenset[QuestionKind]


@dataclass(frozen=True, slots=True)
class _Passage:
    heading: _Asked
    text: dict[str, float]
    questions: tuple[_Asked, ...]


class LexicalReranker:
    """A `RerankEngine` without state."""

    def __init__(self, settings: LexicalRerankerSettings) -> None:
        self._settings = settings

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score in [0, 1] a passage; all 0 for a question without an informative word."""
        asked = _ask(question)
        split = [_split(passage[:_MOST_PASSAGE_CHARS]) for passage in passages]
        scores = [_score(asked, passage) for passage in split]
        return [score / _NO_ANSWER for score in scores] if _undecided(asked, split, scores) else scores


def _undecided(asked: _Asked, passages: Sequence[_Passage], scores: Sequence[float]) -> bool:
    """Whether several headings have the same part in the best score: which of them is meant would be a guess."""
    best = max(scores, default=0.0)
    rivals = {
        frozenset(passage.heading.words)
        for passage, score in zip(passages, scores, strict=True)
        if best - score < _TIE and asked.words.keys() & passage.heading.words.keys()
    }
    return len(rivals) >= (_RIVALS if best >= _WEAK else 2)


def _score(asked: _Asked, passage: _Passage) -> float:
    if not asked.words:
        return 0.0
    same_kind = [other.words for other in passage.questions if asked.kinds & other.kinds]
    titles = (passage.heading.words, *same_kind)
    credits = {stem: _credit(stem, titles, passage) for stem in asked.words}
    found = sum(weight * credits[stem] for stem, weight in asked.words.items())
    share = found / sum(asked.words.values())
    covered = _covered(passage.heading.words, asked.words)
    lift = max([covered, *((covered + _dice(words, asked.words)) / 2 for words in same_kind)])
    score = share**_POWER * (1 - _HEADING_SHARE + _HEADING_SHARE * lift) * _agreement(asked, passage)
    return score if found >= _LEAST_EVIDENCE else score / _NO_ANSWER


def _covered(words: dict[str, float], by: dict[str, float]) -> float:
    """Share of the words' weight that another text has, in [0, 1]."""
    return sum(weight for stem, weight in words.items() if stem in by) / (sum(words.values()) or 1.0)


def _dice(one: dict[str, float], other: dict[str, float]) -> float:
    """How far two questions are about the same, in [0, 1]."""
    shared = sum(min(weight, other[stem]) for stem, weight in one.items() if stem in other)
    return 2 * shared / (sum(one.values()) + sum(other.values()))


def _agreement(asked: _Asked, passage: _Passage) -> float:
    """What is left of a score, seeing the kinds of question that are asked and answered."""
    if not asked.kinds or any(asked.kinds & other.kinds for other in (passage.heading, *passage.questions)):
        return 1.0
    return _OTHER_KIND if passage.heading.kinds else _KIND_UNKNOWN


def _credit(stem: str, titles: Iterable[dict[str, float]], passage: _Passage) -> float:
    """How much of a word of the question the passage holds, in [0, 1]."""
    if any(stem in words for words in titles):
        return 1.0
    if stem in passage.text:
        return _IN_TEXT
    nearest = max(
        (_similarity(stem, other) for part in (passage.heading.words, passage.text) for other in part), default=0.0
    )
    return _SIMILAR * nearest if nearest >= _LEAST_SIMILARITY else 0.0


@lru_cache(maxsize=500)
def _split(passage: str) -> _Passage:
    """Kept, since the same passages of a tenant are candidates again and again; some 30 kB each at most."""
    heading, newline, text = passage.partition("\n")
    if not newline:
        heading, text = "", passage
    asks = tuple(_ask(question) for question in questions_in(text)[:_MOST_QUESTIONS])
    return _Passage(_ask(heading), _informative(text, _MOST_PASSAGE_WORDS), asks)


def _ask(question: str) -> _Asked:
    return _Asked(_informative(question, _MOST_QUESTION_WORDS), kinds(question))


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
