"""Words in the form in which they are compared, and what they weigh."""

import pytest

from deployments.engines.words import words


@pytest.mark.parametrize(
    "forms",
    [
        "open opens opened opening Opening",
        "bill bills billed billing Bill's",
        "pay pays paying payment payments",
        "move moves moved moving",
        "supply supplies supplied",
        "leak leaks leaking",
        "address addresses",
        "month monthly",
        "hours timings",
        "price prices rate cost tariff",
        "centre centers",
        "مياه ماء الماي مويه الموية",
        "مقطوعة انقطعت انقطاع",
        "دوامكم العمل تشتغلون تداومون",
        "تسكرون تغلقون إغلاق تقفلون",
        "فاتورة فواتيري",
        "ترجعون تعود استرداد",
    ],
)
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    assert len({word.stem for word in words(forms)}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "water meter outage address status gas bus class price power paper",
        "time hours",
        "العيد أعاد",
        "العطلة معطل",
        "فلوس مبلغ",
    ],
)
def test_words_that_only_look_alike_stay_apart(text: str) -> None:
    stems = [word.stem for word in words(text)]

    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize("text", ["ما في ماي", "مافي ماي", "ماكو ماي", "ما عندنا ماي", "لا يوجد ماي", "ليس لدينا ماي"])
def test_however_callers_say_that_something_is_missing_it_is_one_word(text: str) -> None:
    assert [word.stem for word in words(text)] == [word.stem for word in words("بدون ماء")]


def test_what_is_in_something_is_not_missing() -> None:
    assert "بدون" not in [word.stem for word in words("ما هي الرسوم في الفاتورة")]


def test_and_before_a_question_word_says_nothing_more() -> None:
    assert not [word for word in words("وابغى واريد وليش") if word.informative]


def test_question_words_say_nothing_in_either_language() -> None:
    assert not [word for word in words("What's the … I'd like to know, please? Don't") if word.informative]
    assert not [word for word in words("ما هي، مِن فضلك، أُريد متى؟") if word.informative]


def test_topic_words_weigh_more_than_general_ones_and_those_more_than_stop_words() -> None:
    the, time, bill = words("the time bill")

    assert the.weight < time.weight < bill.weight


def test_an_endless_word_is_cut() -> None:
    (word,) = words("x" * 100_000)

    assert len(word.stem) <= 64
