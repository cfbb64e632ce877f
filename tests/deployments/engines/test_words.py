"""Words in the form in which they are compared, and what they weigh."""

import pytest

from deployments.engines.words import words


@pytest.mark.parametrize(
    "forms",
    [
        "open opens opened opening Opening",
        "bill bills billed billing Bill's",
        "pay pays paying payment payments",
        "move moves moved moving",
        "supply supplies supplied",
        "leak leaks leaking",
        "address addresses",
        "month monthly",
    ],
)
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({word.stem for word in words(forms)}) == 1


def test_words_that_only_look_alike_stay_apart() -> None:
    stems = [word.stem for word in words("water meter outage address status gas bus class price power paper")]

    assert len(set(stems)) == 11


def test_question_words_say_nothing_in_either_language() -> None:
    assert not [word for word in words("What's the … I'd like to know, please? Don't") if word.informative]
    assert not [word for word in words("ما هي، مِن فضلك، أُريد متى؟") if word.informative]


def test_topic_words_weigh_more_than_general_ones_and_those_more_than_stop_words() -> None:
    the, time, bill = words("the time bill")

    assert the.weight < time.weight < bill.weight


def test_an_endless_word_is_cut() -> None:
    (word,) = words("x" * 100_000)

    assert len(word.stem) <= 64
