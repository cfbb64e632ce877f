"""Arabic spelling, brought to one form: the same word written two ways becomes the same letters.

Text in, text out; other scripts pass through. What is unified: vowel signs and the stretching stroke are dropped, the
alef, ya and ta-marbuta forms become one letter each, Arabic-Indic digits become ASCII ones. `stem` also takes off the
article, common endings and, as callers in the Gulf and the Levant speak, their "this" (هالشهر) and the b of the
present (بترجع). The choices are those of the "light" stemmers of Arabic retrieval (Larkey, Ballesteros and
Connell, "Light Stemming for Arabic Information Retrieval", 2007): roots are not looked for.
"""

from __future__ import annotations

import re
import unicodedata

_SIGNS = re.compile("[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed\u200b-\u200f\u202a-\u202e\u2066-\u2069]")
"""Vowel and recitation signs, the stretching stroke, and marks of writing direction."""
_LETTERS = str.maketrans({**dict.fromkeys("أإآٱ", "ا"), **dict.fromkeys("ىیئ", "ي"), "ة": "ه", "ؤ": "و", "ک": "ك"})
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789")

_ARTICLE = re.compile(r"^(?:وال|فال|بال|كال|ولل|لل|ال)(?=\w{2})|^هال(?=\w{3})")
_AND = re.compile(r"^و(?=\w{5})")
"""Only before long words: many short ones begin with this letter of their own (ورقة, وصول)."""
_ENDING = re.compile(r"(?<=\w{3})(?:توا|تكم|تنا|تها|يات|وا|يه|ات|ين|ون|تي|تك|ته|كم|نا|ها|هم|ت|ا|ه|ي|ك)$")
_PRESENT = re.compile(r"^ب(?=[يتن]\w{3})")
"""What the spoken language puts before a verb; looked for without its ending, so that بيت and بنك are left whole."""
_PERSON = re.compile(r"^[ايتن](?=\w{3})")
"""Who does it, in the present tense: تدفع, ندفع and أدفع become دفع. A noun loses such a letter in all its forms."""


def normalise(text: str) -> str:
    """The text with one spelling for each word; digits in ASCII. Idempotent."""
    return _SIGNS.sub("", unicodedata.normalize("NFKC", text)).translate(_LETTERS).translate(_DIGITS)


def is_arabic(word: str) -> bool:
    """Whether a word begins with an Arabic letter."""
    return "\u0600" <= word[:1] <= "\u06ff"


def stem(word: str) -> str:
    """A normalised word without article, "and", person and common endings: الفاتورة, فاتورتي, والفاتورة become one."""
    bare = _ARTICLE.sub("", word)
    if bare == word:
        bare = _ARTICLE.sub("", _AND.sub("", word))
    return _PERSON.sub("", _PRESENT.sub("", _ENDING.sub("", bare.removesuffix("ء")))).removesuffix("ء")


def arabic_share(text: str) -> float:
    """Share of Arabic letters among the letters of `text`; 0.0 when it has none."""
    letters = [char for char in text if char.isalpha()]
    return sum(is_arabic(char) for char in letters) / len(letters) if letters else 0.0
