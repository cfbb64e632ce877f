"""Answers without a model: the sentences of the found passages that fit the question best, word for word.

In goes a `GenerationRequest`, of which the last message, the passages and the language are used; out come groups of
words. The method is extractive. First a passage is chosen: above all by the retriever's score, then by the share of the
question's informative words (`engines.words`) that it holds. Then, within that passage, every run of up to
`max_sentences` neighbouring sentences is weighed by the same share. A heading speaks for the sentences under it: where
it asks what the caller asks, they are the answer from the first one on. There is no table of questions and answers;
what no passage says is not said.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from configs.engines import ResponderLlm
from deployments.contracts.dialogue import GenerationRequest, TokenGroup
from deployments.contracts.knowledge import Passage
from deployments.engines.sentences import sentences
from deployments.engines.words import plain_words, words

NOT_KNOWN = {
    "en": "I am sorry, I do not have that in my documents.",
    "ar": "عذرًا، لا أجد ذلك في مستنداتي.",
}

# Bounds of the work, whatever is sent: a call must not wait for a megabyte of text.
_MOST_QUESTION_CHARS = 2_000
_MOST_PASSAGE_CHARS = 10_000
_MOST_PASSAGES = 8
_WORDS_A_GROUP = 8
"""A group is a message between processes; the words are all there at once, so few large groups are cheapest."""

_ASKS = re.compile(r"[?؟][\"'”’)»]*$")

# What makes one passage better than another: the retriever's score, and then the words of the question that it holds,
# be it in its heading, its questions or its statements: all of them outweigh a third of the score.
_PASSAGE_SCORE = 3.0
_OTHER_LANGUAGE = -2.0

# What makes one run of its sentences a better answer than another. The words found decide; a word that only the heading
# has counts a little less, and the last two only break ties.
_IN_HEADING = 0.8
_LATER_START = -0.01
_LONGER = -0.02
_MOST_WEIGHT = 12.0
"""Words of weight 1; in a longer question one word must still outweigh the ties."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    weight: float
    text: str


@dataclass(frozen=True, slots=True)
class _Answer:
    text: str
    passage: int


class Responder:
    """An `LlmEngine` without state, safe for any number of threads."""

    def __init__(self, settings: ResponderLlm) -> None:
        self._max_sentences = settings.max_sentences

    def generate(self, request: GenerationRequest) -> Iterator[TokenGroup]:
        """The answer in groups of words; their texts joined are the answer."""
        began_s = time.perf_counter()
        best = self._best(request)
        said = _text(best, request).split()[: max(1, request.max_tokens)]
        used = () if best is None else (best.passage,)
        engine_ms = (time.perf_counter() - began_s) * 1000
        for first in range(0, len(said), _WORDS_A_GROUP):
            group = said[first : first + _WORDS_A_GROUP]
            last = first + _WORDS_A_GROUP >= len(said)
            yield TokenGroup(" ".join(group) + ("" if last else " "), len(group), last, engine_ms, used)
            engine_ms = 0.0

    def answer(self, request: GenerationRequest) -> str:
        """The whole answer."""
        return _text(self._best(request), request)

    def _best(self, request: GenerationRequest) -> _Answer | None:
        question = request.messages[-1].text[:_MOST_QUESTION_CHARS] if request.messages else ""
        asked = _informative(question)
        whole = max(1.0, min(sum(asked.values()), _MOST_WEIGHT))

        def share(found: Iterable[str]) -> float:
            return sum(asked[word] for word in found) / whole

        def fit(passage: Passage) -> float:
            held = _informative(f"{passage.heading}\n{passage.text[:_MOST_PASSAGE_CHARS]}")
            foreign = bool(passage.language) and passage.language != request.language
            return _PASSAGE_SCORE * passage.score + share(asked.keys() & held.keys()) + _OTHER_LANGUAGE * foreign

        # The passage is chosen first, and then its sentences: one shared word in a sentence of another passage is no
        # reason to answer from there.
        passages = list(enumerate(request.passages[:_MOST_PASSAGES]))
        for place, passage in sorted(passages, key=lambda numbered: -fit(numbered[1])):
            candidates = self._candidates(passage, question, asked, share)
            if best := max(candidates, key=lambda candidate: candidate.weight, default=None):
                return _Answer(best.text, place)
        return None

    def _candidates(
        self, passage: Passage, question: str, asked: dict[str, float], share: Callable[[Iterable[str]], float]
    ) -> Iterator[_Candidate]:
        """Every run of sentences of one passage that could be the answer."""
        lines = _statements(passage, question)
        held = [asked.keys() & _informative(line).keys() for line in lines]
        heading = _informative(passage.heading)
        titled = frozenset(asked.keys() & heading.keys())
        heading_asks = _same_question(heading, asked)
        for first in range(len(lines)):
            here: frozenset[str] = frozenset()
            # Under a heading that asks the question, what follows the first sentence belongs to the answer.
            longer = -_LONGER if heading_asks and first == 0 else _LONGER
            for more, found in enumerate(held[first : first + self._max_sentences]):
                here |= found
                # Where the heading asks, echoing its words is no reason for an answer to start later.
                words_found = share(titled | here) if heading_asks else share(here) + _IN_HEADING * share(titled - here)
                weight = words_found + longer * more + _LATER_START * min(first, 10)
                yield _Candidate(weight, " ".join(lines[first : first + more + 1]))


def _text(best: _Answer | None, request: GenerationRequest) -> str:
    return best.text if best else NOT_KNOWN.get(request.language, NOT_KNOWN["en"])


def _informative(text: str) -> dict[str, float]:
    """Stem → weight of the words that say what a text is about."""
    return {word.stem: word.weight for word in words(text) if word.informative}


def _same_question(heading: dict[str, float], asked: dict[str, float]) -> bool:
    """Whether a heading asks what the caller asks: they share at least half of what each is about."""
    both = sum(asked[word] for word in asked.keys() & heading.keys())
    return both > 0 and 2 * both >= sum(heading.values()) and 2 * both >= sum(asked.values())


def _statements(passage: Passage, question: str) -> list[str]:
    """The sentences of a passage without its heading, the caller's own question, and other questions."""
    echoes = {_plain(passage.heading), _plain(question), _plain(passage.title)}
    lines = passage.text[:_MOST_PASSAGE_CHARS].splitlines()
    text = "\n".join(line for line in lines if not line.strip() or _plain(line) not in echoes)
    return [line for line in sentences(text) if _plain(line) not in echoes and not _ASKS.search(line)]


def _plain(text: str) -> str:
    return " ".join(plain_words(text))
