"""Engines that write answers: what all of them promise, then the responder's rules and the emulated delays."""

from __future__ import annotations

import time
from typing import Any

import pytest

from configs.engines import EmulatedLlm as EmulatedLlmSettings
from configs.engines import EngineSettings, ResponderLlm
from deployments.contracts.dialogue import GenerationRequest, Message
from deployments.contracts.knowledge import Passage
from deployments.engines.responder import NOT_KNOWN, Responder
from deployments.loading import load

HOURS = """We are open from 8 a.m. to 8 p.m. Sunday to Thursday. On Friday the service centres are closed.
On Saturday we close at two in the afternoon. Bring your Emirates ID."""
MOVING = """## Moving house
How do I move my account to a new address?

You can move your account in the app or at a service centre. You need the new tenancy contract. The fee is
2.5 dirhams for each meter. A deposit of 2,000 dirhams is due for a flat."""
BILLS = """- Pay your bill online with a card.
- Pay at a kiosk in cash. A receipt is printed at once.
"""
HOURS_AR = "نفتح من الساعة الثامنة صباحًا حتى الثامنة مساءً. يوم الجمعة مراكز الخدمة مغلقة. رسوم التأخير ٢.٥ درهم."


def a_passage(text: str, heading: str = "", score: float = 0.8, language: str = "en") -> Passage:
    return Passage(text, score, "doc", "Guide", "guide.md", (0, len(text)), heading, language)


def a_request(question: str, *passages: Passage, language: str = "en", max_tokens: int = 200) -> GenerationRequest:
    return GenerationRequest("r1", "demo", "", (Message("caller", question),), passages, language, max_tokens)


def answer(question: str, *passages: Passage, language: str = "en", max_sentences: int = 2, **more: Any) -> str:
    request = a_request(question, *passages, language=language, **more)
    return "".join(group.text for group in Responder(ResponderLlm(max_sentences=max_sentences)).generate(request))


ENGINES = [
    pytest.param(ResponderLlm(), id="responder"),
    pytest.param(EmulatedLlmSettings(first_token_ms=0, tokens_per_s=10_000), id="emulated"),
]


@pytest.mark.parametrize("settings", ENGINES)
def test_an_answer_ends_with_the_one_group_marked_last(settings: EngineSettings) -> None:
    groups = list(load(settings).generate(a_request("When are you open?", a_passage(HOURS))))

    assert [group.last for group in groups] == [False] * (len(groups) - 1) + [True]
    assert sum(group.tokens for group in groups) == len("".join(group.text for group in groups).split())
    assert all(group.engine_ms >= 0 for group in groups)


@pytest.mark.parametrize("settings", ENGINES)
def test_an_answer_is_no_longer_than_allowed(settings: EngineSettings) -> None:
    groups = list(load(settings).generate(a_request("When are you open?", a_passage(HOURS), max_tokens=3)))

    assert sum(group.tokens for group in groups) == 3
    assert groups[-1].last


# ---------------------------------------------------------------- responder


def test_under_a_heading_that_asks_the_question_the_first_sentences_are_the_answer() -> None:
    said = answer("What are your opening hours?", a_passage(HOURS, "What are your opening hours?"))

    assert said == ("We are open from 8 a.m. to 8 p.m. Sunday to Thursday. On Friday the service centres are closed.")


def test_a_word_beyond_the_heading_picks_the_sentence_that_has_it() -> None:
    passage = a_passage(HOURS, "What are your opening hours?")

    assert answer("What are your opening hours on Saturday?", passage, max_sentences=1).startswith("On Saturday")


def test_without_a_heading_the_sentence_that_shares_most_words_is_the_answer() -> None:
    assert answer("How much is the deposit for a flat?", a_passage(MOVING)) == (
        "A deposit of 2,000 dirhams is due for a flat."
    )


def test_two_sentences_are_said_when_both_are_needed() -> None:
    assert answer("Can I pay at a kiosk and is a receipt printed?", a_passage(BILLS)) == (
        "Pay at a kiosk in cash. A receipt is printed at once."
    )


def test_neither_heading_nor_question_is_said() -> None:
    said = answer("How do I move my account to a new address?", a_passage(MOVING, "Moving house"))

    assert said.startswith("You can move your account in the app or at a service centre.")


def test_the_better_passage_is_used_even_if_it_is_not_the_first() -> None:
    said = answer("Where can I pay my bill with a card?", a_passage(HOURS), a_passage(BILLS, score=0.75))

    assert said == "Pay your bill online with a card."


def test_a_sentence_that_only_echoes_the_heading_does_not_go_before_the_answer() -> None:
    passage = a_passage("It is due after thirty days. A late fee is charged once.", "When is the late fee charged?")

    assert answer("When is the late fee charged?", passage, max_sentences=1) == "It is due after thirty days."


@pytest.mark.parametrize("first_line", ["Opening hours", "When are you open"], ids=["heading", "question"])
def test_a_heading_or_question_without_any_mark_is_not_said_either(first_line: str) -> None:
    passage = a_passage(f"{first_line}\nFrom eight to eight.", "Opening hours")

    assert answer("When are you open?", passage) == "From eight to eight."


def test_between_equal_sentences_the_retriever_decides() -> None:
    doubtful, good = a_passage("The fee is ten dirhams.", score=0.5), a_passage("The fee is two dirhams.", score=0.9)

    assert answer("What is the fee?", doubtful, good) == "The fee is two dirhams."


def test_a_heading_speaks_for_the_sentences_under_it() -> None:
    about = a_passage("It takes two days.", "Moving house, new address and tenancy", score=0.6)
    other = a_passage("It takes a week.", "Refunds, deposits and cheques", score=0.8)

    assert answer("How long does moving take?", other, about) == "It takes two days."


def test_one_word_more_in_a_sentence_of_another_passage_does_not_outweigh_the_order() -> None:
    """متى تفتحون مكاتبكم؟ was once answered with how to open an account in any office."""
    hours = a_passage("نفتح في الثامنة صباحًا.", "متى تفتحون ومتى تغلقون؟", 0.83, "ar")
    account = a_passage("يمكنك فتح حساب جديد من التطبيق أو في أي مكتب.", "كيف أفتح حسابًا جديدًا؟", 0.55, "ar")

    assert answer("متى تفتحون مكاتبكم؟", hours, account, language="ar") == "نفتح في الثامنة صباحًا."


def test_a_question_in_a_passage_speaks_for_it_though_it_is_never_said() -> None:
    asked = a_passage("After fourteen days.\nWhat is the last day to pay?", "Due dates", 0.7)
    other = a_passage("You pay in the app.", "Ways of payment", 0.72)

    assert answer("What is the last day to pay?", other, asked) == "After fourteen days."


def test_a_passage_with_nothing_to_say_leaves_the_answer_to_the_next() -> None:
    empty, fee = a_passage("Is there a fee?", "Fees", 0.9), a_passage("The fee is ten dirhams.", score=0.5)

    groups = list(Responder(ResponderLlm()).generate(a_request("What is the fee?", empty, fee)))

    assert "".join(group.text for group in groups) == "The fee is ten dirhams."
    assert groups[0].used == (1,)


def test_a_passage_in_the_callers_language_is_preferred() -> None:
    english, arabic = a_passage(HOURS, score=0.95), a_passage(HOURS_AR, language="ar", score=0.5)

    assert answer("متى تفتحون؟", english, arabic, language="ar").startswith("نفتح من الساعة الثامنة")


def test_arabic_words_match_with_and_without_article_and_vowel_signs() -> None:
    assert answer("كم رُسوم التأخير؟", a_passage(HOURS_AR, language="ar"), language="ar") == "رسوم التأخير ٢.٥ درهم."


@pytest.mark.parametrize(
    "question", ["When are you open?", "deposit", "", "؟", "zebra", "متى تفتحون؟", "a bill in cash"]
)
@pytest.mark.parametrize("text", [HOURS, MOVING, BILLS, HOURS_AR])
def test_every_answer_is_word_for_word_in_the_passage(question: str, text: str) -> None:
    """Nothing is invented: without its list marks and line ends, the passage holds the answer whole."""
    said = answer(question, a_passage(text))

    plain = " ".join(word for word in text.split() if word not in {"-", "##"})
    assert said
    assert said in plain


@pytest.mark.parametrize("language", ["en", "ar"])
@pytest.mark.parametrize(
    "passages",
    [(), (a_passage(""),), (a_passage("## Only a heading\n"),), (a_passage("Is it? Why?"),)],
    ids=["none", "empty", "heading", "questions"],
)
def test_without_anything_to_say_the_agent_says_so(passages: tuple[Passage, ...], language: str) -> None:
    assert answer("When are you open?", *passages, language=language) == NOT_KNOWN[language]


@pytest.mark.parametrize("text", ["x" * 10_000, "word " * 2_000, "A. " * 3_333, "." * 10_000, "لا " * 3_000])
def test_ten_thousand_characters_of_anything_are_answered_briefly(text: str) -> None:
    """As the question and as the passage."""
    groups = list(Responder(ResponderLlm()).generate(a_request(text, *[a_passage(text)] * 20, max_tokens=50)))

    assert 0 < sum(group.tokens for group in groups) <= 50


def test_a_request_without_messages_is_answered_from_the_best_passage() -> None:
    request = GenerationRequest("r1", "demo", "", (), (a_passage(HOURS),), "en")

    assert Responder(ResponderLlm()).answer(request).startswith("We are open")


# ---------------------------------------------------------------- emulated


def test_the_emulated_model_takes_the_time_it_is_set_to() -> None:
    """Lower bounds only: a busy machine may take longer, never less."""
    settings = EmulatedLlmSettings(first_token_ms=60, tokens_per_s=100, text="one two three four five six")
    began_s = time.perf_counter()
    groups, arrived_ms = [], []
    for group in load(settings).generate(a_request("?")):
        groups.append(group)
        arrived_ms.append((time.perf_counter() - began_s) * 1000)

    assert [group.tokens for group in groups] == [1, 2, 2, 1]
    assert arrived_ms[0] >= 60
    assert arrived_ms[-1] >= 60 + 5 * 10
    assert groups[0].engine_ms == pytest.approx(60)
    assert sum(group.engine_ms for group in groups) == pytest.approx(60 + 5 * 10)
    assert "".join(group.text for group in groups) == settings.text


def test_the_emulated_model_goes_on_while_its_consumer_is_busy() -> None:
    """As a real engine would: what fell due meanwhile is there at once, and still cost the engine its time."""
    settings = EmulatedLlmSettings(first_token_ms=0, tokens_per_s=2, text="one two three")
    generator = load(settings).generate(a_request("?"))
    next(generator)
    time.sleep(0.6)

    asked_s = time.perf_counter()
    second = next(generator)

    assert time.perf_counter() - asked_s < 0.25
    assert second.engine_ms == pytest.approx(500)
