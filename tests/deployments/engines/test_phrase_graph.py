"""The graph: polite words where they are wanted, nothing around short phrases, states shared."""

from __future__ import annotations

import itertools

import pytest

from deployments.engines.phrase_graph import FINAL, START, PhraseGraph, build

BOOK = (
    "how can i pay my bill",
    "how can i pay my rent",
    "i need to talk to somebody",
    "hello",
    "thank you",
    "no thank you",
)


def graph(phrases: tuple[str, ...] = BOOK) -> PhraseGraph:
    return build(phrases, lambda word: word)


@pytest.mark.parametrize(
    ("said", "phrase"),
    [
        ("how can i pay my bill", "how can i pay my bill"),
        ("hello how can i pay my bill", "how can i pay my bill"),
        ("can you tell me how can i pay my bill please", "how can i pay my bill"),
        ("hello can you tell me how can i pay my bill thank you", "how can i pay my bill"),
        ("hi i need to talk to somebody please", "i need to talk to somebody"),
        ("hello", "hello"),
        ("no thank you", "no thank you"),
    ],
)
def test_where_the_phrase_lies(said: str, phrase: str) -> None:
    words = said.split()

    found = graph().phrase_in(words)

    assert found is not None
    assert " ".join(words[place] for place in found) == phrase
    assert accepts(graph(), words)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "how can i pay my",
        "can i pay my bill",
        "hello hello",
        "please thank you please",
        "hello no thank you",
        "can you tell me i need to talk to somebody",
        "can you tell me hello how can i pay my bill",
        "how can i pay my bill please please",
        "please",
    ],
)
def test_what_is_no_phrase(said: str) -> None:
    """Half sentences, polite words alone or around short phrases, and "can you tell me" before what is no question."""
    assert graph().phrase_in(said.split()) is None
    assert not accepts(graph(), said.split())


def test_phrases_that_end_alike_share_their_states() -> None:
    """Wishes and persons are combined by the hundred: the graph must not grow with their product."""
    wishes = [f"{wish} speak to" for wish in ("i want to", "can i", "may i", "let me", "i need to")]
    people = ["a person", "a human", "somebody", "an agent please", "the one i spoke to before"]

    combined = graph(tuple(f"{wish} {person}" for wish, person in itertools.product(wishes, people)))
    alone = graph((f"{wishes[0]} {people[0]}",))

    words = [arc for arc in combined.transitions if len(arc) == 4 and not arc[3].startswith(("+", "<"))]
    polite = [arc for arc in alone.transitions if len(arc) == 4 and not arc[3].startswith(("+", "<"))]
    assert len(words) - len(polite) <= 25


def test_an_unknown_word_leaves_its_phrase_out() -> None:
    built = build(("how can i pay", "how can i zxq"), lambda word: None if word == "zxq" else word)

    assert built.phrases == {("how", "can", "i", "pay")}
    assert [(left.phrase, left.words) for left in built.left_out] == [("how can i zxq", ("zxq",))]


def accepts(made: PhraseGraph, words: list[str]) -> bool:
    """Whether the words lead from the start to the end, without phones."""
    said: dict[tuple[int, str], set[int]] = {}
    empty: dict[int, set[int]] = {}
    for arc in made.transitions:
        if len(arc) == 4:
            said.setdefault((arc[0], arc[3]), set()).add(arc[1])
        elif arc[2] == 1.0:
            empty.setdefault(arc[0], set()).add(arc[1])

    def closed(states: set[int]) -> set[int]:
        return states | {after for state in states for after in empty.get(state, ())}

    here = closed({START})
    for word in words:
        here = closed({after for state in here for after in said.get((state, word), ())})
    return FINAL in here
