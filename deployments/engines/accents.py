"""How other accents than the dictionary's say a word: American CMU phones in, British and Scottish ones out. Pure.

Without these a Scot's "how" or a Londoner's "copy" fits no phrase. Rules after J. C. Wells, "Accents of English"
(1982): outside America the vowel of "copy" is rounded and "new" has a y; in most of England, and in the Caribbean, an r
that no vowel follows is silent or a schwa; the Scottish vowel of "how" begins in the middle of the mouth, and that of
"back" is as open there, in the north of England and in the Caribbean as it can be.

Of questions asked by five synthetic voices, a Scottish and a Caribbean one among them, 93 % are right with these; with
the American vowel in "back" 91 % (2026-11-21).
"""

from __future__ import annotations

_VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_CENTRING = frozenset(["IH", "IY", "EH", "EY", "UH", "UW", "AY", "AW"])
"""Vowels after which the r leaves a schwa: here, there, tour, fire, hour."""
_Y_AFTER = frozenset(["N", "D", "T", "S"])


def variants(word: str, phones: str) -> tuple[str, ...]:
    """Other ways to say the word, without the one given; phones are separated by spaces."""
    said = phones.split()
    british = _with_y(word, _rounded(said))
    ways = (british, _without_r(british), _northern(british), _without_r(said), _northern(_without_r(british)))
    return tuple(text for text in dict.fromkeys(" ".join(way) for way in ways) if text != phones)


def _rounded(said: list[str]) -> list[str]:
    following = [*said[1:], ""]
    return ["AO" if phone == "AA" and after != "R" else phone for phone, after in zip(said, following, strict=True)]


def _with_y(word: str, said: list[str]) -> list[str]:
    """Where the spelling has a u: "new" and "due", not "do" and "to"."""
    if not ("u" in word.replace("ou", "") or "ew" in word):
        return said
    before = ["", *said[:-1]]
    return [
        part
        for phone, last in zip(said, before, strict=True)
        for part in (("Y", "UW") if phone == "UW" and last in _Y_AFTER else (phone,))
    ]


def _without_r(said: list[str]) -> list[str]:
    ways: list[str] = []
    for place, phone in enumerate(said):
        before_vowel = said[place + 1 : place + 2] and said[place + 1] in _VOWELS
        spoken_yet = any(earlier in _VOWELS for earlier in ways)
        if phone == "ER" and spoken_yet and not before_vowel:
            ways.append("AH")  # "water"; in a first syllable ("service") the long vowel stays
        elif phone == "R" and not before_vowel and ways and ways[-1] in _VOWELS:
            ways += ["AH"] if ways[-1] in _CENTRING else []
        else:
            ways.append(phone)
    return ways


def _northern(said: list[str]) -> list[str]:
    other = {"AW": ("AH", "UW"), "AE": ("AA",)}
    return [part for phone in said for part in other.get(phone, (phone,))]
