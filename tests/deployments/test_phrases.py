"""Headings as callers say them."""

import pytest

from deployments.contracts.knowledge import Chunk
from deployments.phrases import MOST_PHRASES, make_phrasebook, spoken_form

WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "red",
    "green",
    "blue",
    "black",
    "white",
    "grey",
    "pink",
    "gold",
    "sand",
    "rose",
]


def chunk(heading: str, language: str = "en", document: str = "d") -> Chunk:
    return Chunk("demo", document, "", "", language, heading, "text", (0, 4))


@pytest.mark.parametrize(
    ("heading", "spoken"),
    [
        ("What are your opening hours?", "what are your opening hours"),
        ("Opening hours", "opening hours"),
        ("What’s the check-in time?", "what's the check in time"),
        ("Terms & conditions", "terms and conditions"),
        ("Is 24 hour service free?", "is twenty four hour service free"),
        ("Call 905 or 7", "call nine zero five or seven"),
        ("A 5% tax", "a five percent tax"),
        ("Overview", ""),
        ("", ""),
        ("ما هي ساعات العمل؟", ""),
        ("The café on the corner", ""),
        ("word " * 21, ""),
    ],
)
def test_spoken_form(heading: str, spoken: str) -> None:
    assert spoken_form(heading) == spoken


def test_each_english_heading_is_one_phrase() -> None:
    chunks = [chunk("Pay my bill?"), chunk("Opening hours"), chunk("pay my bill"), chunk("ساعات العمل", "ar")]

    assert make_phrasebook("demo", chunks).phrases == ("opening hours", "pay my bill")


def test_the_key_changes_with_the_phrases_only() -> None:
    one = make_phrasebook("demo", [chunk("Opening hours"), chunk("Pay my bill")])

    assert one.key.startswith("demo-")
    assert make_phrasebook("demo", [chunk("Pay my bill?"), chunk("opening hours")]).key == one.key
    assert make_phrasebook("demo", [chunk("Opening hours")]).key != one.key
    assert make_phrasebook("other", [chunk("Opening hours"), chunk("Pay my bill")]).key != one.key


def test_a_long_document_does_not_silence_the_others() -> None:
    names = [f"{tens} {ones}" for tens in WORDS for ones in WORDS]
    long = [chunk(f"How do I do {first} {second}", document="long") for first in names for second in WORDS[:3]]
    short = [chunk(heading, document="short") for heading in ("What are your opening hours?", "Where is your office?")]

    for chunks in (long + short, short + long):
        phrases = make_phrasebook("demo", chunks).phrases
        assert len(phrases) == MOST_PHRASES
        assert {"what are your opening hours", "where is your office"} <= set(phrases)
