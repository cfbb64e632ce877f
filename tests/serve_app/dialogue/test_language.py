"""Languages told apart by letters: of a turn, and of the stretches of an answer."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.dialogue.language import by_language, language_of

BOTH = ("en", "ar")


@pytest.mark.parametrize(
    ("text", "before", "expected"),
    [
        ("when are you open", "ar", "en"),
        ("متى تفتحون؟", "en", "ar"),
        ("كم رسوم DEWA", "en", "ar"),
        ("where is مول دبي", "en", "ar"),  # as many words of both: Arabic callers mix in names more than others do
        ("what does the word فاتورة mean", "ar", "en"),
        ("12 34", "ar", "ar"),
        ("12 34", "en", "en"),
        ("?!", "ar", "ar"),
    ],
)
def test_a_turn_has_the_language_of_most_of_its_words(text: str, before: str, expected: str) -> None:
    assert language_of(text, None, before) == expected


def test_what_the_recogniser_heard_counts_more_than_letters() -> None:
    assert language_of("salam", "ar", "en") == "ar"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We are open.", [("en", "We are open.")]),
        ("We are open. نحن مفتوحون.", [("en", "We are open."), ("ar", "نحن مفتوحون.")]),
        ("اتصل على 800 24 الآن", [("ar", "اتصل على 800 24 الآن")]),
        ("في Dubai Mall غدا", [("ar", "في"), ("en", "Dubai Mall"), ("ar", "غدا")]),
        ("- 12 open", [("en", "- 12 open")]),
        ("800 24", [("ar", "800 24")]),
        ("", []),
    ],
)
def test_each_stretch_goes_to_the_voice_that_can_read_it(text: str, expected: list[tuple[str, str]]) -> None:
    assert by_language(text, "ar", BOTH) == expected


def test_a_tenant_of_one_language_has_all_read_by_its_one_voice() -> None:
    assert by_language("We say مرحبا to all", "en", ("en",)) == [("en", "We say مرحبا to all")]


@given(st.text(alphabet="ab 1.,!-أبجد؟", max_size=60), st.sampled_from(BOTH))
def test_no_word_is_lost_or_moved(text: str, language: str) -> None:
    stretches = by_language(text, language, BOTH)

    assert " ".join(part for _, part in stretches) == " ".join(text.split())
    assert all(first != second for (first, _), (second, _) in pairwise(stretches))
