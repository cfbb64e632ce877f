"""A question tells what kind of answer it wants; what does not tell is unknown."""

import time

import pytest

from deployments.engines.question_kind import QuestionKind, kinds, questions_in

TIME, PLACE, AMOUNT = QuestionKind.TIME, QuestionKind.PLACE, QuestionKind.AMOUNT
WAY, PERSON, REASON = QuestionKind.WAY, QuestionKind.PERSON, QuestionKind.REASON


@pytest.mark.parametrize(
    ("kind", "question"),
    [
        (TIME, "when do i have to pay the bill"),
        (TIME, "tell me when the office opens"),
        (TIME, "by when must i pay"),
        (TIME, "At what time do you open?"),
        (TIME, "what are your opening hours"),
        (TIME, "what's the due date"),
        (TIME, "how often is my meter read"),
        (TIME, "how many days does it take"),
        (TIME, "since when"),
        (TIME, "متى تفتحون مكاتبكم؟"),
        (TIME, "امتى بتفتحوا"),
        (TIME, "شو وقت الدوام"),
        (TIME, "الساعة كم تفتحون"),
        (TIME, "كم يوم عندي لدفع الفاتورة"),
        (TIME, "كم ياخذ الرد"),
        (TIME, "كل كم تقرون العداد"),
        (PLACE, "where are you located"),
        (PLACE, "what is your address"),
        (PLACE, "وين مكتبكم"),
        (PLACE, "أَيْنَ أدفع"),
        (PLACE, "شو عنوان المكتب"),
        (AMOUNT, "How much is the deposit?"),
        (AMOUNT, "how many branches are there"),
        (AMOUNT, "what is the price of water"),
        (AMOUNT, "what do you charge for electricity"),
        (AMOUNT, "بكم الماي"),
        (AMOUNT, "كم تاخذون تأمين"),
        (WAY, "how do i pay"),
        (WAY, "i do not know how to read the meter"),
        (WAY, "كيف أدفع الفاتورة"),
        (WAY, "شلون ادفع"),
        (PERSON, "who do i call"),
        (PERSON, "بمن أتصل"),
        (REASON, "why is my bill so high"),
        (REASON, "ليش فاتورتي غالية"),
        (REASON, "وليش"),
    ],
)
def test_the_question_word_tells_the_kind(kind: QuestionKind, question: str) -> None:
    assert kinds(question) == {kind}


@pytest.mark.parametrize(
    "question",
    [
        "",
        "what documents do i need",
        "can i pay in installments",
        "are you open on friday",
        "close my account when i move out",
        "the person who lives here",
        "somehow it shows nothing",
        "هل تعملون يوم الجمعة",
        "ما هو رقم الطوارئ",
        "مكتبكم بعيد",
    ],
)
def test_what_does_not_tell_is_unknown(question: str) -> None:
    assert kinds(question) == set()


def test_two_questions_have_both_kinds() -> None:
    assert kinds("where is the office and when does it open") == {PLACE, TIME}


def test_only_what_ends_as_a_question_is_one_and_a_comma_parts_two() -> None:
    text = "Pay in the app, see how.\nHow fast is it, and when do you come?\nمتى تفتحون، وأين؟ نعم"

    asked = [part.strip() for part in questions_in(text)]

    assert asked == ["How fast is it", "and when do you come", "متى تفتحون", "وأين"]


@pytest.mark.parametrize("text", ["a" * 200_000, "a, " * 60_000, "what is " * 25_000, "كم " * 60_000, "? " * 50_000])
def test_long_texts_of_anything_take_no_time(text: str) -> None:
    """What grows with the square of the length would take minutes."""
    began_s = time.perf_counter()
    kinds(text)
    questions_in(text)

    assert time.perf_counter() - began_s < 10
