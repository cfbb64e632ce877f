"""Clauses come early, whole and in speakable form, however the stream was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.contracts.errors import BadInput
from serve_app.dialogue.clauses import LONGEST_CHARS, ClauseCutter, RawCutter, speakable


def cut(text: str, language: str = "en") -> list[str]:
    cutter = RawCutter(language)
    return cutter.feed(text) + cutter.finish()


def without_space(text: str) -> str:
    return "".join(text.split())


# Rich in what the rules look at: marks, digits, abbreviations, brackets, spaces of several kinds.
MARKS = [". ", ".", ", ", ",", "! ", "؟ ", "، ", "…", '." ', ") ", " – ", "**", "- ", "# ", "\n", " ", "  "]
WORDS = ["3.5", "8:30", "5", "5. ", "Dr. ", "No. ", "p.m. ", "ود. ", "word ", "Word ", "مرحبا ", "٥٫٥", "a" * 70]
PARTS = ["[see, ", "](http://a.b/c,d)", "word " * 30]
SCRAPS = st.lists(st.sampled_from([*MARKS, *WORDS, *PARTS]) | st.text(max_size=8), max_size=40).map("".join)


@given(text=SCRAPS, language=st.sampled_from(["en", "ar"]), data=st.data())
def test_clauses_do_not_depend_on_how_the_stream_is_cut(text: str, language: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    cutter = RawCutter(language)

    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    in_pieces = [clause for piece in pieces for clause in cutter.feed(piece)] + cutter.finish()

    assert in_pieces == cut(text, language)


@given(text=SCRAPS)
def test_nothing_but_white_space_is_lost(text: str) -> None:
    clauses = cut(text)

    assert without_space("".join(clauses)) == without_space(text)
    assert all(clause.strip() == clause and clause for clause in clauses)


@given(words=st.lists(st.text("abc,:", min_size=1, max_size=60), max_size=60))
def test_no_clause_is_longer_than_the_limit_when_it_has_spaces(words: list[str]) -> None:
    clauses = cut(" ".join(words))

    assert all(len(clause) <= LONGEST_CHARS for clause in clauses)


def test_the_first_clause_ends_at_a_comma_as_soon_as_white_space_follows() -> None:
    cutter = RawCutter("en")

    before = cutter.feed("Yes of course,")
    after = cutter.feed(" we")

    assert before == []
    assert after == ["Yes of course,"]


def test_a_first_clause_of_one_short_word_does_not_end_at_a_comma() -> None:
    assert cut("Hello, we are open now, all day. Bye.") == ["Hello, we are open now,", "all day.", "Bye."]


def test_later_clauses_end_at_a_comma_only_when_long() -> None:
    short = "Good. One two three four, five six."
    long = "Good. " + "one two three four five six seven eight nine ten eleven twelve thirteen, " + "and more."

    assert cut(short) == ["Good.", "One two three four, five six."]
    assert cut(long) == [
        "Good.",
        "one two three four five six seven eight nine ten eleven twelve thirteen,",
        "and more.",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "It costs 3.5 or 1,250.75 dirhams",
        "We open at 8:30 a.m. and close at 5 p.m. daily",
        "Ask Dr. Sara or Mr. Khan at St. George Street",
        "Take bus No. 5 or the ferry",
        "We offer cards, e.g. debit cards",
        "That is AED 5.00 in all",
        "Look at https://example.org/a.html?x=1,2;y:3 for it",
        "Write to first.last@example.co.uk today",
        "It is approx. 20 minutes away",
        "On the 1st floor of the U.A.E. pavilion",
        "The 3. floor has it",
        "1. Open the app",
        "Open from 9 – 17 daily",
        "See [our page. It is new](https://example.org/) for it",
        "On 5 Jan. 2027 we close",
    ],
)
def test_marks_inside_are_no_ends(sentence: str) -> None:
    # The first clause may end at a comma, so the sentence under test is the second.
    clauses = cut(f"Yes. {sentence}. Thanks.")

    assert clauses == ["Yes.", f"{sentence}.", "Thanks."]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("No. We are closed.", ["No.", "We are closed."]),
        ("I have 3. You have 4.", ["I have 3.", "You have 4."]),
        ('He said "yes." Then he left.', ['He said "yes."', "Then he left."]),
        ("Really?! Yes… Well. Good", ["Really?!", "Yes…", "Well.", "Good"]),
        ("One\nTwo\n\nThree", ["One", "Two", "Three"]),
    ],
)
def test_sentences_end(text: str, clauses: list[str]) -> None:
    assert cut(text) == clauses


def test_arabic_marks_numbers_and_titles() -> None:
    text = "نعم بالتأكيد يا سيدي، السعر ١٬٢٥٠٫٥ درهم والموعد ٨:٣٠. هل تريد د. أحمد ود. سارة؟ شكرا لك. مع السلامة"

    clauses = cut(text, "ar")

    assert clauses == [
        "نعم بالتأكيد يا سيدي،",
        "السعر ١٬٢٥٠٫٥ درهم والموعد ٨:٣٠.",
        "هل تريد د. أحمد ود. سارة؟",
        "شكرا لك.",
        "مع السلامة",
    ]


def test_a_long_text_without_marks_is_cut_at_a_space() -> None:
    clauses = cut("word " * 100)

    assert [len(clause) for clause in clauses] == [199, 199, 99]


def test_a_word_without_end_is_cut_too() -> None:
    assert [len(clause) for clause in cut("a" * 2_500)] == [1000, 1000, 500]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(BadInput) as caught:
        ClauseCutter("fr")

    assert caught.value.code == "language_unknown"


@pytest.mark.parametrize(
    ("markdown", "said"),
    [
        ("**Open** from *eight* to __ten__", "Open from eight to ten"),
        ("## Opening hours", "Opening hours"),
        ("- the first", "the first"),
        ("> - quoted", "quoted"),
        ("see [our page](https://example.org/a_b) now", "see our page now"),
        ("![a map](map.png)", "a map"),
        ("run `dukat up`", "run dukat up"),
        ("```python", ""),
        ("---", ""),
        ("**", ""),
        ("| a | b |", "a b"),
        ("hello 👋🏽 there ✅", "hello there"),
        ("**half bold,", "half bold,"),
        ("5*3 and -5 and first_name and #5 and 2 * 3", "5*3 and -5 and first_name and #5 and 2 * 3"),
        ("25 °C costs 5 % or +971 4", "25 °C costs 5 % or +971 4"),
        ("**أهلا** بك", "أهلا بك"),
    ],
)
def test_markdown_is_not_spoken(markdown: str, said: str) -> None:
    assert speakable(markdown) == said


def test_a_cutter_yields_only_what_can_be_said() -> None:
    cutter = ClauseCutter("en")

    clauses = cutter.feed("---\n# Hours\n- **Mon.** to Fri. we open\n- 👋\n... ") + cutter.finish()

    assert clauses == ["Hours", "Mon. to Fri. we open"]


def test_a_rule_before_the_answer_does_not_use_up_the_early_clause() -> None:
    cutter = ClauseCutter("en")

    clauses = cutter.feed("---\nWe are open now, all ")

    assert clauses == ["We are open now,"]
