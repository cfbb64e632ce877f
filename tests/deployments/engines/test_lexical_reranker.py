"""Passages that hold what is asked score high, others clearly low."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.engines import LexicalReranker as Settings
from deployments.engines.lexical_reranker import LexicalReranker

RERANKER = LexicalReranker(Settings())
HOURS = "What are your opening hours?\nFrom Monday to Thursday our offices are open from eight to six."
BILL = "How can I pay my bill?\nYou can pay in the app, on our website, or at any of our offices."

DUE = "When is my bill due?\nIt is due after fourteen days.\nBy when do I have to pay, and what is the last day?"
HIGH = "Why is my bill so high?\nMost use more in summer."


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


@pytest.mark.parametrize(
    ("question", "wanted", "other"),
    [
        ("when do i have to pay the bill", DUE, BILL),
        ("how do i pay the bill", BILL, DUE),
        (
            "متى تفتحون مكاتبكم؟",
            "متى تفتحون ومتى تغلقون؟\nنفتح في الثامنة.\nما وقت فتح المكاتب؟",
            "كيف أفتح حسابًا؟\nتفتحه في أي مكتب.",
        ),
        ("متى تقرأون العداد", "كم مرة تقرأون العداد؟\nكل شهرين.", "كيف أقرأ العداد؟\nمن اليسار."),
        ("متى لازم ادفع الفاتورة", "متى تستحق الفاتورة؟\nبعد أسبوعين.\nمتى أدفع؟", "كيف أدفع الفاتورة؟\nنقدًا."),
    ],
)
def test_when_is_told_from_how(question: str, wanted: str, other: str) -> None:
    assert score(question, wanted) > score(question, other)


def test_a_heading_that_asks_something_else_costs_more_than_one_that_does_not_tell() -> None:
    how, unknown = score("when can i pay", "How can I pay?\nHere."), score("when can i pay", "Paying\nHere.")

    assert how < unknown < score("when can i pay", "When can I pay?\nHere.")


def test_a_statement_may_be_answered_by_any_kind() -> None:
    assert score("pay my bill", "How can I pay my bill?\nHere.") == score(
        "pay my bill", "When can I pay my bill?\nHere."
    )


def test_a_question_of_the_same_kind_in_the_text_speaks_for_the_passage() -> None:
    """Against the same words as a statement: the kind agrees, the words count in full, and as much as a heading's."""
    neutral = "Accounts\nYou sign in the app."
    of_the_kind = "Accounts\nYou sign in the app. Where?"
    in_other_words = "Accounts\nYou sign in the app. Where do I send papers?"
    in_the_callers = "Accounts\nYou sign in the app. Where do I sign?"

    scores = RERANKER.score("where do i sign", [neutral, of_the_kind, in_other_words, in_the_callers])

    assert scores[0] < scores[1] == scores[2]
    # 0.9 ** 1.5 for a word that is in the text only, and half of the heading's part on top.
    assert scores[3] / scores[2] == pytest.approx(0.9 / 0.8 / 0.9**1.5)


def test_a_question_of_another_kind_in_the_text_does_not() -> None:
    where, why = "Accounts\nYou sign in the app. Where do I sign?", "Accounts\nYou sign in the app. Why do I sign?"

    assert score("sign", where) == score("sign", why)
    assert score("where do i sign", why) < score("where do i sign", where)


def test_a_word_without_a_topic_is_no_answer_even_in_the_heading() -> None:
    assert score("what time is it", "What time?\nToday.") < 0.45


def test_what_fits_three_headings_alike_fits_none() -> None:
    assert min(RERANKER.score("my bill please", [BILL, HIGH])) > 0.8
    assert max(RERANKER.score("my bill please", [BILL, HIGH, DUE])) < 0.45


def test_what_fits_two_headings_badly_fits_none() -> None:
    assert score("my electric bill jumped up", f"{BILL}\nelectric") > 0.45
    assert max(RERANKER.score("my electric bill jumped up", [f"{BILL}\nelectric", f"{HIGH}\nelectric"])) < 0.45


def test_the_same_heading_twice_is_no_tie() -> None:
    assert min(RERANKER.score("my bill please", [BILL, BILL, BILL])) > 0.8


def test_passages_that_are_found_by_their_text_do_not_tie() -> None:
    passages = [f"Chapter {chapter}\nThe elevator is near." for chapter in ("one", "two", "three")]

    assert min(RERANKER.score("elevator", passages)) > 0.45
