"""Other accents than the dictionary's."""

import pytest

from deployments.engines.accents import variants


@pytest.mark.parametrize(
    ("word", "american", "other"),
    [
        ("how", "HH AW", "HH AH UW"),
        ("water", "W AO T ER", "W AO T AH"),
        ("hours", "AW ER Z", "AW AH Z"),
        ("report", "R IH P AO R T", "R IH P AO T"),
        ("charge", "CH AA R JH", "CH AA JH"),
        ("here", "HH IY R", "HH IY AH"),
        ("copy", "K AA P IY", "K AO P IY"),
        ("back", "B AE K", "B AA K"),
        ("new", "N UW", "N Y UW"),
        ("due", "D UW", "D Y UW"),
    ],
)
def test_a_word_is_said_so_too(word: str, american: str, other: str) -> None:
    assert other in variants(word, american)


@pytest.mark.parametrize(
    ("word", "american"),
    [
        ("do", "D UW"),
        ("bill", "B IH L"),
        ("you", "Y UW"),
        ("through", "TH R UW"),
        ("service", "S ER V AH S"),
        ("very", "V EH R IY"),
        ("dubai", "D UW B AY"),
    ],
)
def test_what_is_alike_everywhere_has_one_way(word: str, american: str) -> None:
    """An r before a vowel is spoken, "do" has no y, and in a first syllable "er" stays. "Dubai" gets its y alone."""
    assert set(variants(word, american)) <= {"D Y UW B AY"}


def test_only_the_vowel_of_copy_is_rounded() -> None:
    """That of "charge" is another one, though the dictionary writes both alike."""
    assert variants("charge", "CH AA R JH") == ("CH AA JH",)


def test_the_dictionarys_own_way_is_not_repeated() -> None:
    found = variants("hours", "AW ER Z")

    assert "AW ER Z" not in found and len(set(found)) == len(found) <= 5
