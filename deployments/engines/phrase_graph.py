"""What the PocketSphinx engine searches: a tenant's phrases, polite words around them, and speech beside them.

In: phrases and a function that says how the decoder's dictionary knows a word. Out: the transitions of a finite-state
grammar, the phrases it holds, and those left out because a word cannot be pronounced. The graph is built from numbers
and dictionary words, never from grammar text: a hostile phrase has no syntax to break.

From every state of the phrases a costly transition leads to `_BESIDE`, a loop of single phones. Speech that is no
phrase takes it: the best path then contains phones, and the engine rejects it. Both costs are likelihoods that the
phrases must lose by: `_LEAVE` once, `_PHONE` for each phone said. A high price of leaving and a low one of the phones
lets the last word of a phrase stand for any other word; the other way round costs right sentences.

Polite words are what other speech is most easily taken for ("my taxes": "my bill please"), so they are costly too,
they are few, a phrase of up to three words stands alone, and "can you tell me" leads to questions only. "Um" and "okay"
as openers took every noise, and "thanks" at the end most last words.

Tuned 2026-11-21 together with `phrase_acceptance.py` and `accents.py`, on 53 questions to a utility, 30 to a hotel and
the phrases of every call, and on 190 other texts, most of them near to a phrase, fragments or half sentences. Spoken by
the espeak-ng voices en-us, en-us+f2, en-us+m3, en+f3, en-gb-x-gbclan+f5 and +m8, en-gb-x-gbcwmd+m5, en-gb-scotland,
en-029, en-gb-x-rp and en-us-nyc; before that by +f2, +f3, +m3 and +m4 of others. Dearer ways out (1e-50) find more
questions and as many more wrong ones, cheaper ones (1e-30) fewer of both. Words of other topics beside the phones
were no better for twice the time. `dukat bench recognition` measures with other speakers and other texts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

# fmt: off
GREETINGS = (
    "please", "hello", "hi", "excuse me", "good morning", "good afternoon", "good evening",
)
LEADS = (
    "can you tell me", "could you tell me", "please tell me", "i would like to know", "i want to know",
)
QUESTION_WORDS = frozenset((
    "what", "what's", "when", "where", "who", "why", "how", "which", "is", "are", "do", "does", "did", "can", "could",
    "will", "would", "may", "must", "should", "have", "has",
))
# fmt: on
CLOSERS = ("please", "thank you")
"""Said around a phrase: a greeting, a lead or both before it, a closer behind it."""
STANDS_ALONE_WORDS = 3
"""A phrase of so many words or fewer has nothing around it."""

SILENCE = "<sil>"
# fmt: off
PHONES = (
    "AA", "AE", "AH", "EH", "ER", "IH", "IY", "OW", "UW", "S", "SH", "F", "CH", "D", "B", "K", "T", "HH", "L", "R",
    "W", "N", "M", "V", "Z",
)
# fmt: on
"""25 of the model's 39: the others sound like one of these, and leaving them out saves a third of the time."""

START, FINAL = 0, 6
_GREETED, _LED, _PHRASE, _END, _BESIDE = 1, 2, 3, 4, 5
_P_SILENCE = 1e-2
_P_POLITE = 1e-8
_LEAVE = 1e-45
_PHONE = 1e-9
MOST_PHRASES = 2_000
MOST_WORDS = 40
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")

Transition = tuple[int, int, float] | tuple[int, int, float, str]
Words = tuple[str, ...]


def phone_word(phone: str) -> str:
    """The dictionary's name for a phone said on its own; no caller's word looks like it."""
    return f"++{phone}++"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A phrase that cannot be recognised."""

    phrase: str
    words: Words
    """Those that nobody said how to pronounce; empty when the phrase is empty, too long or one too many."""


@dataclass(frozen=True, slots=True)
class PhraseGraph:
    """A compiled phrasebook."""

    transitions: tuple[Transition, ...]
    phrases: frozenset[Words]
    left_out: tuple[LeftOut, ...]

    def phrase_in(self, words: Sequence[str]) -> range | None:
        """Where in the words the phrase lies, with or without polite words around it; None when they are no phrase."""
        said = tuple(words)
        if said in self.phrases:
            return range(len(said))
        for greeting, lead, closer in itertools.product(_around(GREETINGS), _around(LEADS), _around(CLOSERS)):
            opener = greeting + lead
            begin, end = len(opener), len(said) - len(closer)
            core = said[begin:end]
            fits = said[:begin] == opener and said[end:] == closer and core in self.phrases
            if fits and len(core) > STANDS_ALONE_WORDS and (not lead or core[0] in QUESTION_WORDS):
                return range(begin, end)
        return None


def words_of(phrase: str) -> Words:
    """A phrase as the dictionary spells it: lower case, no punctuation."""
    return tuple(re.sub(r"[^\w']+", " ", phrase.lower().replace("’", "'")).replace("_", " ").split())


def build(phrases: Iterable[str], name_of: Callable[[str], str | None]) -> PhraseGraph:
    """Compile. `name_of` gives the dictionary's name of a word, None when it has no pronunciation."""
    names: dict[str, str | None] = {}
    kept: dict[Words, None] = {}
    left_out: list[LeftOut] = []
    for phrase in phrases:
        words = words_of(phrase)
        fits = 0 < len(words) <= MOST_WORDS and len(kept) < MOST_PHRASES
        for word in words if fits else ():
            if word not in names:
                names[word] = name_of(word) if _WORD.fullmatch(word) else None
        unknown = tuple(word for word in words if fits and names[word] is None)
        if unknown or not fits:
            left_out.append(LeftOut(phrase, unknown))
        else:
            kept[words] = None
    named = [tuple(names[word] or word for word in words) for words in kept]
    return PhraseGraph(tuple(_transitions(named)), frozenset(kept), tuple(left_out))


def _around(polite: tuple[str, ...]) -> list[Words]:
    return [(), *(tuple(words.split()) for words in polite)]


def _transitions(phrases: list[Words]) -> list[Transition]:
    numbers = itertools.count(FINAL + 1)
    graph: list[Transition] = [(START, _PHRASE, 1.0), (_GREETED, _PHRASE, 1.0), (_END, FINAL, 1.0)]
    speaking = [START, _GREETED, _PHRASE, _LED, _END, FINAL]
    shared: dict[frozenset[tuple[str, int]], int] = {}

    def between(start: int, choices: Iterable[Words], end: int, likelihood: float) -> None:
        """All choices from `start` to `end`; those that begin or go on alike share their states."""

        def state_of(endings: Iterable[Words]) -> frozenset[tuple[str, int]]:
            leads: dict[str, list[Words]] = {}
            arcs = set()
            for words in endings:
                if len(words) == 1:
                    arcs.add((words[0], end))
                else:
                    leads.setdefault(words[0], []).append(words[1:])
            for word, rest in leads.items():
                after = state_of(rest)
                if after not in shared:
                    shared[after] = next(numbers)
                    speaking.append(shared[after])
                    graph.extend((shared[after], to, 1.0, next_word) for next_word, to in sorted(after))
                arcs.add((word, shared[after]))
            return frozenset(arcs)

        graph.extend((start, to, likelihood, word) for word, to in sorted(state_of(choices)))

    one_of_all = 1 / max(1, len(phrases)) ** 0.5
    between(START, _around(GREETINGS)[1:], _GREETED, _P_POLITE)
    between(START, _around(LEADS)[1:], _LED, _P_POLITE)
    between(_GREETED, _around(LEADS)[1:], _LED, _P_POLITE)
    between(START, [words for words in phrases if len(words) <= STANDS_ALONE_WORDS], FINAL, one_of_all)
    longer = [words for words in phrases if len(words) > STANDS_ALONE_WORDS]
    between(_PHRASE, longer, _END, one_of_all)
    between(_LED, [words for words in longer if words[0] in QUESTION_WORDS], _END, one_of_all)
    between(_END, _around(CLOSERS)[1:], FINAL, _P_POLITE)
    graph += [(state, state, _P_SILENCE, SILENCE) for state in (*speaking, _BESIDE)]
    # One empty transition at a time: the decoder does not follow a chain of them.
    graph += [(state, _BESIDE, _LEAVE) for state in speaking if state != FINAL]
    graph += [(_BESIDE, _BESIDE, _PHONE, phone_word(phone)) for phone in PHONES]
    graph.append((_BESIDE, FINAL, 1.0))
    return graph
