"""The same Arabic word, however it is spelt, is one word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.engines.arabic import arabic_share, normalise, stem


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("السَّاعَةُ", "الساعه"),
        ("أحمد إلى آخر ٱسم", "احمد الي اخر اسم"),
        ("مستشفى", "مستشفي"),
        ("مســــاء", "مساء"),
        ("١٢٣۴۵", "12345"),
        ("ﻻ", "لا"),
        ("\u200fدبي\u200f", "دبي"),
        ("Bill No. 5", "Bill No. 5"),
    ],
)
def test_spellings_become_one(written: str, plain: str) -> None:
    assert normalise(written) == plain


@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalise(text)

    assert normalise(once) == once


@pytest.mark.parametrize(
    "forms",
    [
        "فاتورة الفاتورة فاتورتي والفاتورة بالفاتورة للفاتورة فاتورتكم",
        "ساعة ساعات الساعات السَّاعَة",
        "دفع الدفع أدفع تدفع ندفع تدفعون",
        "كهرباء الكهرباء والكهرباء بالكهرباء الكهربا",
        "شهر الشهر هالشهر",
        "رجع ترجع بترجع بيرجع رجعت رجعوا رجعتوا",
        "غالي غالية",
        "جديد جديدة جديدًا جديدا",
    ],
)
def test_forms_of_a_word_have_one_stem(forms: str) -> None:
    stems = {stem(word) for word in normalise(forms).split()}

    assert len(stems) == 1


def test_different_words_keep_different_stems() -> None:
    stems = [stem(word) for word in normalise("فاتورة ساعة دفع كهرباء مياه عداد شكوى حساب تأمين مكتب").split()]

    assert len(set(stems)) == 10


def test_the_b_of_the_spoken_present_is_taken_from_no_noun() -> None:
    assert [stem(word) for word in normalise("بيت بنك بيتنا بيان").split()] == ["بيت", "بنك", "بيت", "بيان"]


def test_share_of_arabic_letters() -> None:
    assert arabic_share("نور Noor") == pytest.approx(3 / 7)
    assert arabic_share("12 + 3") == 0.0
