"""Words of English and Arabic text as the embedded engines compare them: one form a word, and how much it says.

Text in, `Word`s out; pure and the same in every process. Stemming is crude on purpose: both sides of a comparison go
through it, and only equality counts. English endings follow the first steps of M. F. Porter, "An algorithm for suffix
stripping" (1980), without its measure of syllables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from deployments.engines.arabic import is_arabic, normalise
from deployments.engines.arabic import stem as arabic_stem

_WORD = re.compile(r"[^\W_]+(?:['’ʼ][^\W_]+)*")
_LONGEST_WORD = 64
"""Characters; what is longer is not a word of a language, and must not cost more than one."""

_SILENT_WORDS = """
    a an the and or but if so than then as at by for from in into of on onto over to up down with without about
    after before i me my mine we us our ours you your yours he him his she her it its they them their this that these
    those there here what when where which who whom whose why how be am is are was were been being do does did doing
    done have has had having can could will would shall should may might must not no yes don doesn didn isn aren wasn
    won't couldn wouldn ll ve re please thank thanks hello hi hey okay ok well just also very too any some all each
    every such only like want need wish tell know say said let give get got getting help find ask asking question
    whats wanna gonna sorry
    ما ماهي ماهو ماذا متي كيف كم اين هل من في علي الي عن مع هو هي هم ان انا نحن انت انتم او ثم قد لا لم لن ليس هذا هذه
    ذلك تلك التي الذي الذين اذا لو كل اي ايه كان يكون تكون اكون اريد نريد ابغي ابغا ابي بدي عايز ممكن يمكن يمكنني
    يمكنك استطيع اقدر تقدر لي لك لكم لديكم لدي عندكم عندي سمحت فضلك شو وش ايش ليش لماذا هنا هناك وين فين بعد قبل عند بين
    حتي يجب علينا عليكم منكم وهل ومتي وكيف وكم واين وما وماذا اخبرني احتاج نعم شكرا مرحبا السلام عليكم"""
_WEAK_WORDS = """
    time times day days today tomorrow now much many long new old good best more most other one way thing things make
    take go going went come use work people person happen happens someone anyone something anything still again ever out
    off back
    وقت يوم اليوم غدا الان جديد اكثر شيء شي احد شخص طريقه افعل اعمل يحدث يتم"""

_SILENT_WEIGHT = 0.05
_WEAK_WEIGHT = 0.4
"""Words that help to tell two passages apart, but do not make a topic by themselves."""

_UNDOUBLED = re.compile(r"([bdgkmnprtv])\1$")


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text."""

    stem: str
    """What is compared."""
    weight: float
    """How much it says about the topic: 1 for most words, next to nothing for "the" and "how"."""

    @property
    def informative(self) -> bool:
        """Whether the word says anything about the topic."""
        return self.weight > _SILENT_WEIGHT


def words(text: str) -> list[Word]:
    """The words of `text` in order, each in the one form that is compared."""
    return [_word(found[:_LONGEST_WORD]) for found in _WORD.findall(normalise(text).lower())]


def plain_words(text: str) -> list[str]:
    """The words of `text` as they stand, lower-cased, with ASCII apostrophes."""
    return [re.sub("[’ʼ]", "'", found) for found in _WORD.findall(text.lower())]


@lru_cache(maxsize=50_000)
def _word(written: str) -> Word:
    # "what's" and "don't" are compared without their tails; "won't" must not become "won".
    whole = re.sub("[’ʼ]", "'", written)
    word = whole if whole in _SILENT else whole.split("'", 1)[0]
    if word in _SILENT or (len(word) == 1 and word.isalpha()):
        return Word(word, _SILENT_WEIGHT)
    return Word(stem(word), _WEAK_WEIGHT if stem(word) in _WEAK else 1.0)


def stem(word: str) -> str:
    """A normalised, lower-cased word without its ending: opening and open, payments and pay become one."""
    if is_arabic(word):
        return arabic_stem(word)
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    word = re.sub(r"(?<=\w{2})ies$", "y", word)
    word = re.sub(r"(?<=ss|sh|ch)es$|(?<=x)es$", "", word)
    word = re.sub(r"(?<=\w{2}[^su])s$", "", word)
    word = re.sub(r"(?<=\w{2})ied$", "y", word)
    shorter = re.sub(r"(?<=\w{3})(?:ment|ing|ed)$|(?<=\w{4})ly$|(?<=\w{4}[ts])ion$", "", word)
    if shorter != word:
        shorter = _UNDOUBLED.sub(r"\1", shorter)
    return shorter.removesuffix("e") if len(shorter) > 3 else shorter


_SILENT = frozenset(normalise(_SILENT_WORDS).split())
_WEAK = frozenset(stem(word) for word in normalise(_WEAK_WORDS).split())
