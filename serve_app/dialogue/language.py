"""Which language a text is in, by its letters: English and Arabic do not share any.

Pure. A turn is answered in the language it was put in, and every stretch of an answer is spoken by the voice of its own
language: an Arabic voice cannot read Latin letters, nor an English one Arabic.
"""

from __future__ import annotations

from collections.abc import Sequence

from deployments.engines.arabic import is_arabic


def language_of(text: str, told: str | None, before: str) -> str:
    """The language of a turn: as the recogniser tells, else that of most of its words, else the one spoken before."""
    if told is not None:
        return told
    words = [language for word in text.split() if (language := _language_of_word(word)) is not None]
    if not words:
        return before
    return "ar" if 2 * words.count("ar") >= len(words) else "en"


def by_language(text: str, language: str, spoken: Sequence[str]) -> list[tuple[str, str]]:
    """(language, stretch) in order; the stretches joined by spaces are the text.

    `language` is that of a text without letters; only languages that are `spoken` are told
    apart. What has no letters belongs to what it follows.
    """
    stretches: list[tuple[str, list[str]]] = []
    before: list[str] = []
    for word in text.split():
        found = _language_of_word(word)
        if found is not None and found in spoken and (not stretches or stretches[-1][0] != found):
            stretches.append((found, before))
            before = []
        (stretches[-1][1] if stretches else before).append(word)
    if not stretches and before:
        return [(language, " ".join(before))]
    return [(found, " ".join(words)) for found, words in stretches]


def _language_of_word(word: str) -> str | None:
    """By its first letter; None for a number or a sign."""
    letter = next((char for char in word if char.isalpha()), "")
    if not letter:
        return None
    return "ar" if is_arabic(letter) else "en"
