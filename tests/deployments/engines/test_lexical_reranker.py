"""Passages that hold what is asked score high, others clearly low."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.engines import LexicalReranker as Settings
from deployments.engines.lexical_reranker import LexicalReranker

RERANKER = LexicalReranker(Settings())
HOURS = "What are your opening hours?\nFrom Monday to Thursday our offices are open from eight to six."
BILL = "How can I pay my bill?\nYou can pay in the app, on our website, or at any of our offices."


def score(question: str, passage: str) -> float:
    return RERANKER.score(question, [passage])[0]


@given(st.text(max_size=200), st.lists(st.text(max_size=300), max_size=5))
def test_there_is_one_score_in_0_to_1_a_passage(question: str, passages: list[str]) -> None:
    scores = RERANKER.score(question, passages)

    assert len(scores) == len(passages)
    assert all(0 <= score <= 1 for score in scores)


def test_the_question_of_the_heading_scores_highest() -> None:
    assert score("What are your opening hours?", HOURS) > 0.9


@pytest.mark.parametrize("question", ["when are the offices open", "tell me your hours please", "opning hours"])
def test_other_words_for_it_score_above_half(question: str) -> None:
    assert score(question, HOURS) > 0.5


@pytest.mark.parametrize(
    "question", ["who won the football match", "what is the capital of france", "what time is it", "please", ""]
)
def test_what_is_not_answered_scores_low(question: str) -> None:
    assert max(RERANKER.score(question, [HOURS, BILL])) < 0.45


def test_half_of_the_words_is_not_half_an_answer() -> None:
    assert score("open the garage", HOURS) < 0.45


def test_words_in_the_heading_count_more_than_words_in_the_text() -> None:
    assert score("pay", BILL) > score("pay", "Fines\nThere are ways to pay.")


def test_a_passage_of_one_line_has_no_heading() -> None:
    assert score("pay", "pay") == score("pay", "\npay")


def test_numbers_are_never_similar() -> None:
    assert score("20000", "20001") == 0


def test_arabic_is_scored_whatever_its_spelling() -> None:
    passage = "كيف أدفع الفاتورة؟\nيمكنك دفع الفاتورة عبر التطبيق."

    assert score("كَيْفَ أَدْفَعُ الفَاتُورَةَ", passage) > 0.9
    assert score("ابغى ادفع فاتورتي", passage) > 0.8
    assert score("من فاز في مباراة كرة القدم", passage) < 0.45
