"""What callers may say about a tenant's documents: their English headings and questions, as they are spoken.

In: chunks. Out: a `Phrasebook` for a grammar-driven recogniser. A question is taken as it stands, and so is any other
heading of two words or more. What cannot be pronounced letter by letter in English (Arabic, symbols) is left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from itertools import zip_longest

from deployments.contracts.knowledge import Chunk
from deployments.contracts.speech import Phrasebook

MOST_PHRASES = 1_000
_MOST_WORDS = 20
_LEAST_WORDS = 2
"""A grammar fits noise to a single short word too easily."""

# fmt: off
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on
_SIGNS = {"&": " and ", "%": " percent ", "-": " ", "–": " ", "/": " ", "’": "'"}
_SPOKEN = re.compile(r"[a-z]+(?:'[a-z]+)*")


def make_phrasebook(tenant: str, chunks: Iterable[Chunk]) -> Phrasebook:
    """Every heading once, in order of the alphabet; the key changes with the phrases and with nothing else.

    Where there are too many, every document keeps as many as the others, its first ones: a long one must not silence
    all that could be asked before it came.
    """
    of_document: dict[str, dict[str, None]] = {}
    for chunk in chunks:
        if chunk.language == "en" and (spoken := spoken_form(chunk.heading)):
            of_document.setdefault(chunk.document, {})[spoken] = None
    rounds = zip_longest(*(of_document[document] for document in sorted(of_document)))
    fair = dict.fromkeys(phrase for each in rounds for phrase in each if phrase is not None)
    phrases = tuple(sorted(list(fair)[:MOST_PHRASES]))
    mark = hashlib.sha256("\n".join(phrases).encode()).hexdigest()[:12]
    return Phrasebook(f"{tenant}-{mark}", phrases)


def spoken_form(heading: str) -> str:
    """Lower-case words with numbers spelt out; "" when the heading cannot be said so, or is too short or long."""
    text = heading.lower()
    for sign, said in _SIGNS.items():
        text = text.replace(sign, said)
    text = re.sub(r"\d+", lambda number: f" {_spell(number[0])} ", text)
    found = [word.strip(".,;:!?()[]\"'“”*`") for word in text.split()]
    found = [word for word in found if word]
    sayable = all(_SPOKEN.fullmatch(word) for word in found) and _LEAST_WORDS <= len(found) <= _MOST_WORDS
    return " ".join(found) if sayable else ""


def _spell(digits: str) -> str:
    """Numbers below a hundred as words, longer ones digit by digit, as callers say them."""
    number = int(digits)
    if len(digits) > 2 or digits != str(number):
        return " ".join(_ONES[int(digit)] for digit in digits)
    if number < 20:
        return _ONES[number]
    return _TENS[number // 10 - 2] + (f" {_ONES[number % 10]}" if number % 10 else "")
