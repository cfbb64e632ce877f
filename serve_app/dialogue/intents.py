"""What a caller's sentence is for, by rules on its words: a greeting, a goodbye, a question…

Text in, `Intent` out; pure. An utterance made of courtesies alone has the intent of the weightiest of them; as soon
as anything else is left, it is a question ("hello, what are your opening hours"). Only the wish for a human being is
looked for anywhere in the sentence, since a caller who wants one must never be answered from documents.
English and Arabic phrases are both always valid: callers mix them, and the scripts do not collide.
"""

from __future__ import annotations

import re
from enum import Enum

from deployments.engines.arabic import normalise


class Intent(Enum):
    """What the caller wants of this turn."""

    NOTHING = "nothing"
    """Empty, or nothing but hesitation."""
    GREETING = "greeting"
    GOODBYE = "goodbye"
    THANKS = "thanks"
    """Thanks, or a plain "okay": the caller has what was asked for."""
    REPEAT = "repeat"
    HUMAN = "human"
    ABOUT = "about"
    """Who is this, what can it do."""
    QUESTION = "question"


# fmt: off
_WISHES = (
    "speak to", "talk to", "i want to speak to", "i want to talk to", "i would like to speak to",
    "i would like to talk to", "i need to speak to", "i need to talk to", "can i speak to", "can i talk to",
    "could i speak to", "could i talk to", "may i speak to", "let me speak to", "let me talk to", "connect me to",
    "can you connect me to", "could you connect me to", "put me through to", "can you put me through to",
    "could you put me through to", "transfer me to", "can you transfer me to",
)
_PEOPLE = (
    "a person", "a real person", "a human", "a human being", "an agent", "an operator", "a representative", "someone",
    "somebody", "customer service",
)
# fmt: on
SPOKEN_PHRASES = (
    "hello",
    "hello there",
    "who am i speaking to",
    "what can you help me with",
    "good morning",
    "good afternoon",
    "good evening",
    "goodbye",
    "bye bye",
    "bye for now",
    "thank you goodbye",
    "thank you bye",
    "thanks goodbye",
    "thanks bye",
    "okay goodbye",
    "okay thank you goodbye",
    "okay thank you bye",
    "thank you very much goodbye",
    "have a nice day",
    "that is all thank you",
    "that is all thanks",
    "that's all thank you",
    "no that is all",
    "no that is all thank you",
    "no thank you",
    "no thank you that is all",
    "no thank you goodbye",
    "nothing else thank you",
    "no nothing else",
    "thank you",
    "thank you very much",
    "thank you so much",
    "okay thank you",
    "thanks a lot",
    "please repeat that",
    "repeat that please",
    "can you repeat that",
    "could you repeat that",
    "can you say that again",
    "could you say that again",
    "say that again please",
    "please say that again",
    "what did you say",
    "i did not hear that",
    "i did not understand",
    *(f"{wish} {person}" for wish in _WISHES for person in _PEOPLE),
    "a real person please",
    "an agent please",
    "operator please",
    "customer service please",
)
"""Sentences for a grammar-driven recogniser of English, so that these intents can be heard at all. It adds polite words
around them itself. No very short ones: a grammar fits noise to "bye" or "no" too easily."""

_PHRASES: dict[Intent, str] = {
    Intent.GOODBYE: """
        goodbye | good bye | bye | bye bye | bye for now | see you | see you later | good night | have a nice day
        have a good day | that is all | that s all | that will be all | that would be all | nothing else | nothing more
        no thank you | no thanks | i am done | i m done | hang up | end the call | you can hang up
        مع السلامه | في امان الله | الي اللقاء | وداعا | باي | يلا باي | هذا كل شيء | هذا كل شي | بس هذا | لا شكرا
        لا شيء اخر | تصبح علي خير | نهارك سعيد""",
    Intent.REPEAT: """
        repeat | repeat that | repeat it | repeat the answer | repeat your answer | say that again | say it again
        tell me again | again | once more | one more time | come again | what did you say | what was that | pardon
        pardon me | i beg your pardon | sorry | what | i did not hear that | i did not hear you | i didn t hear that
        i didn t hear you | i did not catch that | i didn t catch that | i did not understand | i didn t understand
        اعد | اعيد | تعيد | كرر | تكرر | عيد | اعد الاجابه | اعد ما قلت | ماذا قلت | شو قلت | ايش قلت | وش قلت | لم اسمع
        لم اسمعك | ما سمعت | ما سمعتك | لم افهم | ما فهمت | مره اخري | مره ثانيه | كمان مره""",
    Intent.THANKS: """
        thank you | thank you very much | thank you so much | thanks | thanks a lot | many thanks | cheers | great
        perfect | wonderful | excellent | ok | okay | alright | all right | i see | got it | understood | yes | yeah
        شكرا | شكرا لك | شكرا جزيلا | شكرا كثيرا | مشكور | مشكوره | تسلم | يعطيك العافيه | الله يعطيك العافيه | ممتاز
        تمام | طيب | حسنا | نعم | ايوه | اوكي | فهمت""",
    Intent.HUMAN: """
        human | a human | human being | person | a person | real person | a real person | agent | an agent | live agent
        operator | representative | a representative | customer service | customer care | somebody | someone
        موظف | الموظف | موظف حقيقي | خدمه العملاء | انسان | شخص حقيقي | مندوب""",
    Intent.ABOUT: """
        who are you | who is this | who am i speaking to | who am i talking to | what are you | what is your name
        what s your name | are you a robot | are you a bot | are you a machine | are you a computer | are you human
        are you a human | are you real | are you a real person | what can you do | what do you do
        what can you help with
        what can you help me with | what can i ask | what can i ask you | how can you help | how can you help me
        can you help me | can you help | help | help me | i need help
        من انت | مين انت | من معي | مين معي | ما اسمك | شو اسمك | هل انت انسان | هل انت روبوت | انت روبوت
        ماذا يمكنك ان تفعل | ماذا تستطيع | شو تقدر تسوي | بماذا تساعدني | كيف يمكنك مساعدتي | هل يمكنك مساعدتي | ساعدني
        اريد مساعده | محتاج مساعده""",
    Intent.GREETING: """
        hello | hello there | hi | hi there | hey | good morning | good afternoon | good evening | good day
        how are you | salam | salam alaikum | marhaba
        مرحبا | مرحبا بك | اهلا | اهلا وسهلا | هلا | هلا والله | السلام عليكم | سلام عليكم | السلام عليكم ورحمه الله
        السلام عليكم ورحمه الله وبركاته | صباح الخير | مساء الخير | الو | كيف حالك""",
}
"""Courtesies in the form `_plain` brings them to, weightiest intent first."""

_POLITE = """
    please | can you | could you | would you | will you | can i | may i | now | then | well | so | and | but | oh | sir
    madam | dear | me | for me | to me | it | that | excuse me | no
    من فضلك | لو سمحت | لو سمحتي | رجاء | ارجوك | ممكن | هل يمكنك | هل يمكن | يمكنك | ان | لي | يا | اخي | الان | لا"""
"""Words that add nothing to a courtesy and mean nothing alone."""

_HESITATION = """
    um | uh | uhm | er | erm | eh | ah | hm | hmm | mm | mmm | mhm | huh | اه | امم | ام | همم | يعني"""

_ARABIZI: dict[Intent, str] = {
    Intent.GOODBYE: "la shukran | ma salama | maa salama | ma3 salama | yalla bye",
    Intent.THANKS: "shukran | mashkoor | tamam | tayeb | aywa | naam | na3am",
    Intent.GREETING: "ahlan | ahlan wa sahlan | sabah al khair | masa al khair",
}
"""Arabic in Latin letters, as it is typed; counted only for Arabic callers, since some are English words or names."""

_PERSON = (
    r"(?:person|human|human being|agent|representative|operator|someone|somebody|colleague|manager|supervisor|advisor"
    r"|employee|staff|customer (?:service|care|support))"
)
_WANTS_HUMAN = re.compile(
    rf"\b(?:speak|talk|connect|transfer|put)\b(?: \w+)?(?: through)? (?:to|with)(?: \w+){{0,2}} {_PERSON}\b"
    rf"|\b(?:want|need|like|get|give)\b(?: me)?(?: an?)?(?: real| live| actual)? {_PERSON}(?: please| now)*$"
    r"|(?:اتكلم|اتحدث|احكي|اكلم|احادث|تحويلي|حولني|حولوني|تحولني|وصلني|توصلني)(?: مع| الي| علي| ل)?(?: \w+)?"
    r" (?:ال|لل|ل|ب)?(?:موظف|انسان|شخص|مندوب|ممثل|احد|حدا|مسوول|مدير|خدمه العملاء|بشر)"
    r"|(?:اريد|ابي|ابغي|ابغا|بدي|عاوز|محتاج) (?:موظف|مندوب|انسان|شخص حقيقي|خدمه العملاء)"
)

_NO = """
    no | nope | nah | no no | no sir | not really | not now | not today | no more | no i m fine | i m fine | i am fine
    i m good | i am good | no i m good | all good | no that s fine
    لا | كلا | لا لا | لا ابدا | ولا شي | ولا شيء | مافي | ما في | ما في شي | خلاص | لا خلاص | لا بس"""
"""With "no" in front of thanks, and "nothing else", a goodbye by themselves."""

_MOST_WORDS = 60
"""A longer utterance is no courtesy; beyond this nothing is looked for."""
_BREAK = re.compile(r"[\W_]+")


def classify(text: str, language: str) -> Intent:
    """The intent of one utterance. `language` ("en" or "ar") only decides whether Arabic in Latin letters counts."""
    words = _plain(text)
    if not _HESITATIONS.sub("", words).strip():
        return Intent.NOTHING
    if _WANTS_HUMAN.search(words):
        return Intent.HUMAN
    if words.count(" ") >= _MOST_WORDS:
        return Intent.QUESTION
    phrases = _WITH_ARABIZI if language == "ar" else _AS_SPOKEN
    found: set[Intent] = set()

    def take(match: re.Match[str]) -> str:
        intent = phrases.meaning[match[0]]
        if intent is not None:
            found.add(intent)
        return ""

    if phrases.pattern.sub(take, words).strip():
        return Intent.QUESTION
    return next((intent for intent in _PHRASES if intent in found), Intent.NOTHING)


def declines(text: str) -> bool:
    """Whether this is a plain "no": after "anything else?", that is a goodbye."""
    return " ".join(_HESITATIONS.sub("", _plain(text)).split()) in _NOS


def _plain(text: str) -> str:
    """Lower case, one space between words, Arabic without vowel signs and with one form of alef, ya and ta marbuta."""
    return _BREAK.sub(" ", normalise(text[:2_000]).lower()).strip()


class _Phrases:
    """Phrases compiled to one pattern, longest first, and what each means; None = nothing of its own."""

    def __init__(self, *tables: dict[Intent, str]) -> None:
        self.meaning: dict[str, Intent | None] = dict.fromkeys(_listed(_POLITE + "|" + _HESITATION))
        for table in tables:
            for intent, phrases in table.items():
                self.meaning.update(dict.fromkeys(_listed(phrases), intent))
        self.pattern = _any_of(self.meaning)


def _listed(table: str) -> list[str]:
    return [" ".join(phrase.split()) for phrase in re.split(r"[|\n]", table) if phrase.strip()]


def _any_of(phrases: dict[str, Intent | None] | list[str]) -> re.Pattern[str]:
    return re.compile(r"\b(?:" + "|".join(sorted(phrases, key=len, reverse=True)) + r")\b")


_NOS = frozenset(_listed(_NO))
_HESITATIONS = _any_of(_listed(_HESITATION))
_AS_SPOKEN = _Phrases(_PHRASES)
_WITH_ARABIZI = _Phrases(_PHRASES, _ARABIZI)
