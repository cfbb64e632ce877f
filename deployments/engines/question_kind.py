"""What kind of answer a question wants: a time, a place, an amount, a way, a person, a reason.

Text in, the kinds it asks for out; none for "what", for yes-or-no questions and for statements, so that "none" means
unknown and fits everything. Pure rules on question words of English and Arabic, written and spoken (متى, وين, بكم):
the coarse classes of question answering (Li and Roth, "Learning Question Classifiers", 2002) as far as single words
can tell them. "when" inside a sentence ("my account when I move out") asks nothing.
"""

from __future__ import annotations

import re
from enum import Enum

from deployments.engines.arabic import normalise


class QuestionKind(Enum):
    """What the answer must tell."""

    TIME = "time"
    PLACE = "place"
    AMOUNT = "amount"
    WAY = "way"
    PERSON = "person"
    REASON = "reason"


_HELPERS = "do|does|did|is|are|was|am|can|could|will|would|should|must|may|shall|have|has"
_THE = r"(?:\ is|\ are|\ was|\ ?s)\ (?:\w+\ ){0,3}"
"""Between "what" and the word that says what it asks for: "what is the new", "what are your"."""
_TIMES = "time|times|timings|day|days|date|hours|deadline"
_PRICES = "price|prices|cost|costs|fee|fees|rate|rates|tariff|tariffs|charge|charges|amount|penalty|fine"
_LENGTHS = "times|days|hours|weeks|months|minutes|years"
_ARABIC_LENGTHS = (
    "ساع|وقت|يوم|ايام|اسبوع|اسابيع|شهر|مده|مهل|دقي|دوام|الدوام|مره|مرات|يستغرق|تستغرق|يطول|تطول|باقي|انتظر"
)

# The first that fits at a place is taken, so what is narrower stands before what is wider.
_ASKS = re.compile(
    rf"""\b(?:
      (?P<TIME>
          when(?=\ (?:exactly\ )?(?:{_HELPERS})\b|$) | (?:by|until|till|since|know|me|find\ out|exactly)\ when
        | (?:what|which)\ (?:{_TIMES}) | what{_THE}(?:{_TIMES})
        | how\ (?:long|late|early|often|soon|fast|quickly|many\ (?:{_LENGTHS}))
        | و?(?:متي|امتي|ايمتي|متا)
        | (?:اي|شو|وش|ايش|ما)\ (?:ه[وي]\ )?(?:ال)?(?:وقت|ساعه|اوقات|ساعات|مواعيد|موعد|اخر|مهله)
        | (?:ال)?ساع(?:ه|ات)\ (?:\w+\ ){{0,2}}كا?م | كل\ كم | كا?م\ (?:(?:{_ARABIC_LENGTHS})\w*|[يت]اخذ)
      )
    | (?P<PLACE>
          where | which\ (?:street|road|place) | what{_THE}(?:address|location)
        | و?(?:وين|اين|فين|وينه|وينكم|منين) | (?:اي|شو|وش|ايش|ما)\ (?:ه[وي]\ )?(?:ال)?(?:عنوان|شارع|مكان|موقع)\w*
      )
    | (?P<AMOUNT>
          how\ (?:much|many|big|high|large|expensive) | what{_THE}(?:{_PRICES})
        | what\ (?:{_HELPERS})\ (?:\w+\ ){{1,3}}(?:cost|charge|pay)
        | و?ب?(?:كم|كام|جم) | قديش | اديش | شكثر
      )
    | (?P<REASON> why | how\ come | reason | و?(?:ليش|ليه|لماذا|علاش) | (?:ال)?سبب )
    | (?P<PERSON> (?:who|whom)(?=\ (?:{_HELPERS})\b) | مين | بمن | منو )
    | (?P<WAY> how | و?(?:كيف|شلون|ازاي) | كيفيه )
    )(?!\w)""",
    re.VERBOSE,
)
_SENTENCE = re.compile(r"([^.!?؟\n]*)([.!?؟\n]|$)")
_COMMA = re.compile("[,،]")


def kinds(text: str) -> frozenset[QuestionKind]:
    """What a text asks for, as a whole."""
    plain = " ".join(re.findall(r"\w+", normalise(text).lower()))
    return frozenset(QuestionKind[found.lastgroup] for found in _ASKS.finditer(plain) if found.lastgroup)


def questions_in(text: str) -> list[str]:
    """The questions that a text asks, cut at their commas: "How fast is it, and when do you come?" are two.

    Its statements are left out: there, "where" and "how" tell rather than ask.
    """
    return [part for said, end in _SENTENCE.findall(text) if end in {"?", "؟"} for part in _COMMA.split(said)]
