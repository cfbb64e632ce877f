"""Where headings are, and where only something that looks like one is."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb_pipeline.markdown import headings


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("# One", [(1, "One")]),
        ("###### Six ##", [(6, "Six")]),
        ("  ## Three spaces are allowed", [(2, "Three spaces are allowed")]),
        ("## About C#", [(2, "About C#")]),
        ("## ساعات العمل", [(2, "ساعات العمل")]),
        ("#", [(1, "")]),
        ("#hashtag", []),
        ("####### Seven", []),
        ("    # Indented code", []),
        ("Not # here", []),
        ("```\n# A shell comment\n```\n# Out", [(1, "Out")]),
        ("~~~\n```\n# In\n~~~\n# Out", [(1, "Out")]),
    ],
)
def test_heading_lines(line: str, expected: list[tuple[int, str]]) -> None:
    assert [(found.level, found.text) for found in headings(line)] == expected


@given(st.text(alphabet="# \nab`\u2028\r", max_size=200))
def test_a_heading_lies_where_it_says(text: str) -> None:
    for found in headings(text):
        line = text[found.begin : found.end]
        assert line.strip().startswith("#" * found.level)
        assert found.text in line


def test_a_hostile_line_takes_no_time_to_speak_of() -> None:
    began_s = time.process_time()

    list(headings("# " + " #" * 1_000_000 + "x"))

    assert time.process_time() - began_s < 5
