"""A phrase is accepted when a voice can have said it so, and free phones do not fit much better."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.engines.phrase_acceptance import Heard, confidence, loud_beside, plausible, spoken

QUIET, LOUD = 20.0, 60.0


def path(*words: tuple[str, int, float, int]) -> list[Heard]:
    """(word, frames, score a frame, phones), one after the other."""
    made, at = [], 0
    for word, frames, score, phones in words:
        made.append(Heard(word, at, frames, score * frames, phones))
        at += frames
    return made


def levels(*stretches: tuple[int, float]) -> np.ndarray:
    return np.concatenate([np.full(frames, level) for frames, level in stretches])


GOOD = path(("<sil>", 30, -1, 1), ("pay", 30, -3, 2), ("my", 20, -3, 2), ("bill", 40, -3, 6), ("<sil>", 40, -1, 1))
LEVELS = levels((30, QUIET), (90, LOUD), (40, QUIET))


def phones(score: float = -2.0) -> list[Heard]:
    return [Heard("++AA++", at, 10, 10 * score, 1) for at in range(0, 160, 10)]


def test_what_a_voice_can_say_is_plausible() -> None:
    assert plausible(spoken(GOOD), LEVELS)


@pytest.mark.parametrize(
    "said",
    [
        path(("pay", 8, -3, 2), ("my", 8, -3, 2), ("bill", 30, -3, 6)),
        path(("hello", 33, -3, 4)),
        path(("aaa", 14, -1, 1)),
        path(("pay", 30, -3, 2), ("my", 200, -3, 4), ("bill", 40, -3, 6)),
        path(("pay", 30, -8, 2), ("my", 20, -8, 2), ("bill", 40, -6, 6)),
    ],
    ids=["too fast", "short and quick", "no word", "stretched", "other sounds"],
)
def test_what_no_voice_says_is_not(said: list[Heard]) -> None:
    frames = sum(heard.frames for heard in said)

    assert not plausible(said, levels((frames, LOUD)))


def test_a_short_phrase_said_slowly_is_plausible() -> None:
    assert plausible(path(("hello", 35, -3, 4)), levels((35, LOUD)))


def test_speech_beside_the_words_is_found() -> None:
    """A word that the grammar lacks lies in what it calls a silence."""
    said = spoken(GOOD)

    assert loud_beside(said, LEVELS) == 0
    assert loud_beside(said, levels((120, LOUD), (40, QUIET))) == 28
    assert loud_beside(said, np.empty(0)) == 0
    assert not plausible(said, levels((120, LOUD), (40, QUIET)))


def test_the_edges_of_words_are_not_exact() -> None:
    assert loud_beside(spoken(GOOD), levels((28, QUIET), (94, LOUD), (38, QUIET))) == 0


def test_confidence_falls_with_what_free_phones_do_better() -> None:
    found = [confidence(GOOD, range(3), phones(score)) for score in (-3.0, -2.0, -1.0, 0.0)]

    assert found[0] == 1.0
    assert found == sorted(found, reverse=True)
    assert found[2] > 0.6 > found[3] > 0


def test_a_phrase_that_phones_beat_by_far_is_refused() -> None:
    bad = path(("<sil>", 30, -1, 1), ("pay", 30, -6, 2), ("my", 20, -6, 2), ("bill", 40, -4.5, 6))

    assert confidence(bad, range(3), phones(-1)) == 0.0


def test_a_phrase_with_another_end_is_refused() -> None:
    """The first words fit as well as anything; the last one does not."""
    other_end = path(
        ("<sil>", 30, -1, 1), ("pay", 30, -2, 2), ("my", 20, -2, 2), ("bill", 40, -8, 6), ("<sil>", 40, -1, 1)
    )

    assert confidence(other_end, range(3), phones(-2)) == 0.0
    assert confidence(other_end, range(2), phones(-2)) > 0


def test_what_is_said_behind_the_phrase_is_not_its_end() -> None:
    """ "Please" is: the last word of the phrase itself is judged."""
    polite = path(("pay", 30, -2, 2), ("my", 20, -2, 2), ("bill", 40, -8, 6), ("please", 60, -1, 5))

    assert confidence(polite, range(3), phones(-2)) == 0.0
    assert confidence(polite, range(4), phones(-2)) > 0
