"""Sentences are cut where one ends, and nowhere else."""

from __future__ import annotations

import pytest

from deployments.engines.sentences import sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We open at 8. We close at 8.", ["We open at 8.", "We close at 8."]),
        ("The fee is 2.5 dirhams. Pay it.", ["The fee is 2.5 dirhams.", "Pay it."]),
        ("From 8.30 to 20.00. Daily.", ["From 8.30 to 20.00.", "Daily."]),
        ("Open until 8 p.m. Monday to Friday.", ["Open until 8 p.m. Monday to Friday."]),
        ("Open until 8 p.m. Bring a passport.", ["Open until 8 p.m.", "Bring a passport."]),
        ("Ask Dr. Ali, P.O. Box 12, e.g. Today.", ["Ask Dr. Ali, P.O. Box 12, e.g. Today."]),
        ("Use form No. 7. Is it free? No. You pay!", ["Use form No. 7.", "Is it free?", "No.", "You pay!"]),
        ("Write to help@noor.example. Or visit us.", ["Write to help@noor.example.", "Or visit us."]),
        ("نفتح الساعة ٨:٣٠. الرسوم ٢.٥ درهم.", ["نفتح الساعة ٨:٣٠.", "الرسوم ٢.٥ درهم."]),
        ("اسأل د. علي. هل الدفع مجاني؟ نعم!", ["اسأل د. علي.", "هل الدفع مجاني؟", "نعم!"]),
        ("# Title\nA line that\ngoes on.\n\nNext.", ["A line that goes on.", "Next."]),
        ("Ways:\n- Pay online.\n- Pay by app\n2. Visit us", ["Ways:", "Pay online.", "Pay by app", "Visit us"]),
        ("", []),
        (" .. \n --- \n", []),
    ],
)
def test_sentences_end_where_they_should(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "text", ["." * 10_000, "a. " * 3_000, "x" * 10_000, "A b? " * 2_000, '."' * 5_000, "\n" * 10_000]
)
def test_ten_thousand_characters_of_anything_are_cut(text: str) -> None:
    assert " ".join(sentences(text)).split() in (text.split(), [])
