"""Intents by rules: courtesies, the wish for a person, and everything else is a question."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.dialogue.intents import SPOKEN_PHRASES, Intent, classify, declines


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("", Intent.NOTHING),
        (" … ", Intent.NOTHING),
        ("uh, um", Intent.NOTHING),
        ("please", Intent.NOTHING),
        ("Hello there!", Intent.GREETING),
        ("uh hello", Intent.GREETING),
        ("That's all, thank you.", Intent.GOODBYE),
        ("No, thank you", Intent.GOODBYE),
        ("thanks, bye", Intent.GOODBYE),
        ("Okay, thanks a lot", Intent.THANKS),
        ("Sorry?", Intent.REPEAT),
        ("Can you repeat that, please?", Intent.REPEAT),
        ("I didn't catch that", Intent.REPEAT),
        ("Could you put me through to a real person?", Intent.HUMAN),
        ("no I want an agent please", Intent.HUMAN),
        ("hello can I talk to somebody about my bill", Intent.HUMAN),
        ("operator", Intent.HUMAN),
        ("السلام عليكم ورحمة الله", Intent.GREETING),
        ("مَرْحَبًا", Intent.GREETING),
        ("لا، شكرًا", Intent.GOODBYE),
        ("إلى اللقاء", Intent.GOODBYE),
        ("شكرا جزيلا", Intent.THANKS),
        ("ممكن تعيد لو سمحت؟", Intent.REPEAT),
        ("مرة أخرى من فضلك", Intent.REPEAT),
        ("حولني إلى موظف من فضلك", Intent.HUMAN),
        ("أبغى أتكلم مع خدمة العملاء", Intent.HUMAN),
        ("hello شكرا", Intent.THANKS),
    ],
)
def test_courtesies_are_told_apart_in_both_languages(text: str, intent: Intent) -> None:
    assert classify(text, "en") is intent
    assert classify(text, "ar") is intent


@pytest.mark.parametrize(
    "text",
    [
        "hello, what are your opening hours",
        "thank you but how do I pay",
        "how do I reset my password again",
        "can a person pay for another person",
        "what is the customer service number",
        "goodbye fees for closing an account",
        "good morning Dubai tariff",
        "what is the deposit",
        "السلام عليكم، ما هي ساعات العمل؟",
        "شكرًا، وكيف أدفع الفاتورة؟",
        "كم عدد الموظفين",
    ],
)
def test_anything_beyond_a_courtesy_is_a_question(text: str) -> None:
    assert classify(text, "en") is Intent.QUESTION
    assert classify(text, "ar") is Intent.QUESTION


def test_arabic_in_latin_letters_counts_for_arabic_callers_only() -> None:
    assert classify("la shukran", "ar") is Intent.GOODBYE
    assert classify("la shukran", "en") is Intent.QUESTION


@pytest.mark.parametrize("text", ["bye " * 2_500, "a" * 10_000, "و" * 10_000, "talk to " * 1_250])
def test_a_very_long_text_is_a_question(text: str) -> None:
    assert classify(text, "en") is Intent.QUESTION


def test_no_phrase_for_the_grammar_is_taken_for_a_question() -> None:
    assert {
        phrase: classify(phrase, "en") for phrase in SPOKEN_PHRASES if classify(phrase, "en") is Intent.QUESTION
    } == {}


def test_the_grammar_has_phrases_for_every_intent_but_nothing_and_question() -> None:
    heard = {classify(phrase, "en") for phrase in SPOKEN_PHRASES}

    assert heard == set(Intent) - {Intent.NOTHING, Intent.QUESTION}


@pytest.mark.parametrize(
    ("said", "intent"),
    [
        ("talk to a person", Intent.HUMAN),
        ("speak to someone", Intent.HUMAN),
        ("i need to speak to an agent", Intent.HUMAN),
        ("operator please", Intent.HUMAN),
        ("can i speak to somebody", Intent.HUMAN),
        ("could you put me through to a human being", Intent.HUMAN),
        ("okay thank you bye", Intent.GOODBYE),
        ("no thank you that is all", Intent.GOODBYE),
        ("could you repeat that", Intent.REPEAT),
        ("thank you so much", Intent.THANKS),
    ],
)
def test_the_grammar_has_what_callers_say(said: str, intent: Intent) -> None:
    assert said in SPOKEN_PHRASES
    assert classify(said, "en") is intent


def test_every_wish_for_a_person_is_one() -> None:
    people = ("person", "human", "being", "agent", "operator", "representative", "someone", "somebody", "service")
    wishes = [phrase for phrase in SPOKEN_PHRASES if phrase.split()[-1] in people]

    assert len(wishes) > 200
    assert [phrase for phrase in wishes if classify(phrase, "en") is not Intent.HUMAN] == []


def test_the_recognisers_dictionary_has_every_word_of_the_phrases() -> None:
    """A grammar with an unknown word does not compile."""
    pocketsphinx = pytest.importorskip("pocketsphinx")
    dictionary = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    known = {line.split()[0] for line in dictionary.read_text(encoding="utf-8").splitlines() if line}

    assert {word for phrase in SPOKEN_PHRASES for word in phrase.split()} - known == set()


@pytest.mark.parametrize(
    "text", ["who are you", "Are you a robot?", "what can you do", "can you help me please", "من أنت؟"]
)
def test_who_asks_what_this_is_gets_told(text: str) -> None:
    assert classify(text, "en") is Intent.ABOUT


@pytest.mark.parametrize(
    ("text", "declined"),
    [
        ("No.", True),
        ("um, nope", True),
        ("not really", True),
        ("لا", True),
        ("no, my bill is wrong", False),
        ("", False),
    ],
)
def test_a_plain_no_is_told_from_a_question(text: str, declined: bool) -> None:
    assert declines(text) is declined
