"""What is foreign is printed so that no terminal obeys it, and nothing of it is lost."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.caller.plain import json_line, plain

ANYTHING = st.text(st.characters(exclude_categories=()))
STEERING = st.text(st.sampled_from("\x1b\x07\x00\n\r\t\x7f\x9b\u202e\u2066\u2069\u200e\u200f\u061c\u2028\udcffab "))


def obeyed(text: str) -> list[str]:
    """What a terminal would act on instead of showing it."""
    marks = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")
    return [
        char
        for char in text
        if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(char) in marks
        or char in "\u200e\u200f\u061c"
    ]


@given(ANYTHING | STEERING)
def test_nothing_a_terminal_obeys_is_left_and_the_rest_is_as_it_was(text: str) -> None:
    printed = plain(text)

    assert obeyed(printed) == []
    assert [char for char in printed if char in text] or not set(text) - set(obeyed(text))
    assert plain(printed) == printed
    assert obeyed(text) or printed == text


@given(
    st.recursive(ANYTHING | STEERING, lambda inner: st.lists(inner) | st.dictionaries(STEERING, inner), max_leaves=5)
)
def test_json_is_one_safe_line_with_the_same_meaning(value: object) -> None:
    line = json_line(value)

    assert obeyed(line) == []
    assert json.loads(line) == value


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("\x1b]0;pwned\x07", r"\x1b]0;pwned\x07"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\x9b2J", r"\x9b2J"),
        ("ساعات\u200cالعمل é 👍🏽 \\n", "ساعات\u200cالعمل é 👍🏽 \\n"),
        (None, ""),
        (3, "3"),
    ],
)
def test_codes_stand_for_characters(text: object, printed: str) -> None:
    assert plain(text) == printed


def test_json_keeps_letters_of_every_script_readable() -> None:
    assert json_line({"said": "ساعات\u202e\x7f"}) == '{"said": "ساعات\\u202e\\u007f"}'
