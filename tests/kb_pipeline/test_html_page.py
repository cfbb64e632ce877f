"""A web page is read as a reader sees it, and its headings become what callers can say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.errors import BadInput
from deployments.contracts.knowledge import Chunk
from deployments.phrases import make_phrasebook
from kb_pipeline.chunk import chunk_document
from kb_pipeline.html_page import MOST_DEPTH, read_page
from kb_pipeline.load import MOST_BYTES, load_document
from kb_pipeline.markdown import headings

CODES = {
    "document_empty",
    "document_too_large",
    "document_not_utf8",
    "document_too_deep",
    "document_type_unknown",
    "document_language_unknown",
}


def text_of(markup: str) -> str:
    return read_page(markup, "a.html").text


def chunks_of(markup: str, language: str = "en") -> list[Chunk]:
    return chunk_document(load_document(f'<html lang="{language}"><body>{markup}'.encode(), "a.html", "demo"))


def pairs(markup: str) -> list[tuple[str, str]]:
    return [(chunk.heading, chunk.text) for chunk in chunks_of(markup)]


# ---------------------------------------------------------------- headings and questions


def test_headings_of_all_levels_are_those_of_markdown() -> None:
    markup = "".join(f"<h{level}>Level <em>{level}</em>\n is</h{level}><p>text</p>" for level in range(1, 7))

    found = [(heading.level, heading.text) for heading in headings(text_of(markup))]

    assert found == [(level, f"Level {level} is") for level in range(1, 7)]


@pytest.mark.parametrize(
    "markup",
    [
        "<h2>Where are you?</h2><p>In Dubai.</p>",
        "<h2><button>Where are you?</button></h2><div role='region' hidden>In Dubai.</div>",
        "<dl><dt>Where are you?</dt><dd>In Dubai.</dd></dl>",
        "<dl><dt>Where are you?<dd>In Dubai.</dl>",
        "<dl><dt><div>Where are you?</div></dt><dd><p>In Dubai.</p></dd></dl>",
        "<details><summary>Where are you?</summary>In Dubai.</details>",
        "<details><summary><h3>Where are you?</h3></summary><p>In Dubai.</p></details>",
        "<div itemscope itemtype='https://schema.org/Question'><span itemprop='name'>Where are you?</span>"
        "<div itemscope itemtype='https://schema.org/Answer'><b itemprop='name'>In</b> Dubai.</div></div>",
        "<p itemscope itemtype='http://schema.org/Question/'><b itemprop='name'>Where are you?</b> In Dubai.</p>",
        "<div role='heading' aria-level='3'>Where are you?</div>In Dubai.",
        "<table><tr><td><h3>Where are you?</h3>In Dubai.</td></tr></table>",
        "<h1>Help</h1><details><summary>Where are you?</summary>In Dubai.</details>",
    ],
)
def test_a_question_in_any_shape_is_a_heading_that_can_be_spoken(markup: str) -> None:
    chunks = chunks_of(markup)

    assert [(chunk.heading, chunk.text) for chunk in chunks] == [("Where are you?", "In Dubai.")]
    assert make_phrasebook("demo", chunks).phrases == ("where are you",)


def test_a_new_page_brings_its_phrases_and_an_arabic_one_stays_out_of_the_english_grammar() -> None:
    english = chunks_of("<h1>Moving house</h1><p>a</p><h2>How do I pay?</h2><p>b</p>")
    arabic = chunks_of("<h2>كيف أدفع الفاتورة؟</h2><p>في التطبيق.</p>", "ar-AE")

    assert make_phrasebook("demo", english + arabic).phrases == ("how do i pay", "moving house")
    assert (arabic[0].heading, arabic[0].text, arabic[0].language) == ("كيف أدفع الفاتورة؟", "في التطبيق.", "ar")


def test_two_terms_with_one_answer_are_both_kept() -> None:
    assert pairs("<dl><dt>How do I pay?<dt>How to pay?<dd>Online.<dt>Who?<dd>Us.</dl>") == [
        ("How do I pay?", "How to pay?\n\nOnline."),
        ("Who?", "Us."),
    ]


def test_what_follows_the_questions_is_not_read_as_the_last_answer() -> None:
    questions = "<details><summary>One of it?</summary>Yes.</details>"

    assert pairs(f"<h2>Help</h2>{questions}<p>Other.</p>") == [("One of it?", "Yes."), ("Help", "Other.")]
    assert pairs(f"{questions}<p>Other.</p>") == [("One of it?", "Yes."), ("", "Other.")]
    assert pairs(f"{questions}<h2>Next</h2><p>Other.</p>") == [("One of it?", "Yes."), ("Next", "Other.")]


def test_a_heading_that_is_never_closed_swallows_nothing() -> None:
    assert pairs("<h2>Hours<p>From eight.<h2>Prices<div>Four.</div>") == [("Hours", "From eight."), ("Prices", "Four.")]
    assert pairs("<h1>" + "long words " * 60) == [("", ("long words " * 60).strip())]


@pytest.mark.parametrize("line", ["# no heading", "```", "~~~", "## "])
def test_text_that_looks_like_markdown_is_not_taken_for_it(line: str) -> None:
    markup = f"<p>{line}</p><pre>{line}\nmore</pre><h2>Real one</h2><p>answer</p>"

    assert [heading.text for heading in headings(text_of(markup))] == ["Real one"]
    assert text_of(markup).count(line.strip()) == (3 if line == "## " else 2)


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>one</p><p>two<div>three", "one\n\ntwo\n\nthree"),
        ("fish &amp; chips&nbsp;for&#32;5&euro; &lt;b&gt;", "fish & chips for 5€ <b>"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<b>A</b>B <a href='/x'>the  link</a>.", "AB the link."),
        ("<ul><li>one<li><p>two</p></ul>after", "- one\n\n- two\n\nafter"),
        ("<table><caption>Of 2026</caption><tr><th>Unit<th>Price<tr><td>Water<td>4<br>fils</table>", None),
        ("<table><tr><td>Call us:</td><td></td><td>800</td></tr></table>", "Call us: 800"),
        ("<table><tr><td><ul><li>one<li>two</ul></td><td>x</td></tr></table>", "one two, x"),
        ("<pre>first\n  second</pre>third\nfourth", "first\nsecond\n\nthird fourth"),
        ("su<wbr>per", "super"),
        ("was <s>50</s> now <del>45</del> 40", "was now 40"),
        ("<p>السعر &rlm;٤ فلوس</p>", "السعر \u200f٤ فلوس"),
        ("x\u2028y\x85z", "x y z"),
        ("a<![CDATA[b]]>c <!-- d --> <?php e ?>", "ac"),
        ("<p>open <b>and never", "open and never"),
    ],
)
def test_text_is_kept_in_the_order_it_is_read(markup: str, text: str | None) -> None:
    assert text_of(markup) == (text or "Of 2026\n\nUnit, Price\n\nWater, 4 fils")


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>secret</script>",
        "<style>secret</style>",
        "<nav>secret</nav>",
        "<footer><p>secret</p></footer>",
        "<aside>secret</aside>",
        "<template><p>secret</p></template>",
        "<noscript>secret</noscript>",
        "<svg><title>secret</title></svg>",
        "<div hidden><p>sec</p>secret</div>",
        "<p hidden=''>secret</p>",
        "<p aria-hidden='true'>secret</p>",
        "<p style='color:red; DISPLAY : none'>secret</p>",
        "<div role='navigation'>secret</div>",
        "<dialog>secret</dialog>",
        "<select><option>secret</select>",
    ],
)
def test_what_is_no_part_of_the_text_is_left_out(hidden: str) -> None:
    assert text_of(f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter"


@pytest.mark.parametrize(
    "shown", ["<body style='display:none'>seen", "<p hidden='until-found'>seen", "<dialog open>seen"]
)
def test_what_is_shown_in_the_end_is_read(shown: str) -> None:
    assert text_of(shown) == "seen"


def test_tags_without_an_end_do_not_nest() -> None:
    assert text_of("<p>su<wbr>per<source>x" * MOST_DEPTH).startswith("superx")  # else each would be one deeper


def test_xhtml_that_closes_a_script_in_itself_is_read() -> None:
    page = '<?xml version="1.0" encoding="UTF-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><head>'
    markup = f'{page}<script src="x.js"/><title/></head><body><a id="top"/><p>Text</p></body></html>'

    assert read_page(markup, "a.xhtml").text == "Text"


# ---------------------------------------------------------------- title and language


@pytest.mark.parametrize(
    ("markup", "name", "title"),
    [
        ("<title>Our\n hours</title><h1>Other</h1>x", "a.html", "Our hours"),
        ("<title> </title><h1>First</h1>x", "a.html", "First"),
        ("x", "faq/hours.en.htm", "hours"),
    ],
)
def test_the_title_is_the_pages_or_its_first_heading_or_the_name(markup: str, name: str, title: str) -> None:
    assert load_document(markup.encode(), name, "demo").title == title


@pytest.mark.parametrize(
    ("markup", "name", "language"),
    [
        ("<html lang='ar-AE'>hello", "a.html", "ar"),
        ("<html lang='EN'>مرحبا", "a.ar.html", "en"),
        ("<html xml:lang='ar'>hello", "a.xhtml", "ar"),
        ("<html lang='fr'>مرحبا بكم", "a.html", "ar"),
        ("<html lang=''>hello", "a.html", "en"),
        ("hello", "a.ar.html", "ar"),
    ],
)
def test_the_language_is_the_pages_when_it_is_ours(markup: str, name: str, language: str) -> None:
    assert load_document(markup.encode(), name, "demo").language == language


# ---------------------------------------------------------------- charsets

ARABIC = "<p>ساعات العمل من الثامنة</p>"


@pytest.mark.parametrize(
    ("head", "codec"),
    [
        ("<meta charset=utf-8>", "utf-8"),
        ("\ufeff", "utf-8"),
        ("<meta charset='windows-1252'>", "utf-8"),  # converted, and its declaration forgotten
        ("<meta charset='windows-1256'>", "cp1256"),
        ('<META http-equiv="Content-Type" content="text/html; charset=Windows-1256">', "cp1256"),
        ("<?xml version='1.0' encoding='iso-8859-6'?>", "iso8859-6"),
    ],
)
def test_declared_charsets_are_read(head: str, codec: str) -> None:
    document = load_document(f"{head}{ARABIC}".encode(codec), "a.html", "demo")

    assert (document.text, document.language) == ("ساعات العمل من الثامنة", "ar")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (ARABIC.encode("cp1256"), "declares no charset"),
        (b"<meta charset=koi8-r><p>\xc1\xc2", "declares koi8-r"),
        (b"<meta charset=iso-8859-6><p>\xff", "declares iso-8859-6"),
        ("<p>text".encode("utf-16"), "declares utf-16le"),
        (b"<p>zero\0byte", "zero bytes"),
    ],
)
def test_other_charsets_are_refused_with_their_name(content: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says) as refused:
        load_document(content, "a.html", "demo")

    assert refused.value.code == "document_not_utf8"


# ---------------------------------------------------------------- hostile pages


def whole(piece: str) -> bytes:
    return (piece * (MOST_BYTES // len(piece))).encode()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<script>only()</script>", "document_empty"),
        (b"<html><head><title>T</title></head></html>", "document_empty"),
        (b"<!-- -->", "document_empty"),
        (b"</html>", "document_empty"),
        (b" \n", "document_empty"),
        (whole("<div>x"), "document_too_deep"),
        (whole("<b></i>"), "document_too_deep"),
        (whole("<table><tr><td>"), "document_too_deep"),
        (whole("<!--"), "document_empty"),
        (whole("<h1><div> </div></h1>"), "document_empty"),
        (whole("<p>x") + b"yyyyy", "document_too_large"),
        (b"<meta charset=windows-1256>" + "س".encode("cp1256") * 1_500_000, "document_too_large"),
    ],
)
def test_a_hostile_page_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_document(content, "a.html", "demo")

    assert refused.value.code == code


def test_entities_do_not_grow() -> None:
    bomb = '<!DOCTYPE html [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><p>&b;&b;'

    assert "haha" not in text_of(bomb)


def test_the_deepest_page_is_read_and_one_more_is_not() -> None:
    around = 2  # html and body

    assert text_of("<b>" * (MOST_DEPTH - around) + "x") == "x"
    with pytest.raises(BadInput, match="document_too_deep"):
        text_of("<b>" * (MOST_DEPTH - around + 1) + "x")


def test_a_repeated_section_cannot_make_a_page_grow_without_end() -> None:
    markup = f"<h1>{'x' * 290}</h1>" + "<dl><dt>a</dl>b" * 20_000

    with pytest.raises(BadInput, match="document_too_large"):
        load_document(markup.encode(), "a.html", "demo")


_PIECES = (
    "<p> </p> <h1> </h2> <dl> <dt> <dd> </dl> <details> <summary> </details> <table> <tr> <td> </table> <ul> <li> <br> "
    "<pre> </pre> <script> </script> <title> </title> <div\thidden> </div> <b </ < > <!-- --> <![CDATA[ ]]> & &amp; "
    "&#0; &#x110000; # ``` <svg> </svg> <nav> <html\tlang=ar> </body> <i\titemprop=name> <p\titemscope> \" ' \x01"
)
PIECES = st.sampled_from(_PIECES.split(" "))
"""Tabs stand for blanks within a tag."""


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300) | st.lists(PIECES | st.text(max_size=8), max_size=60).map(lambda it: "".join(it).encode())
)
def test_any_bytes_become_a_document_or_a_known_refusal(content: bytes) -> None:
    try:
        document = load_document(content, "a.html", "demo")
        chunks = chunk_document(document)
    except BadInput as refused:
        assert refused.code in CODES
        return

    assert document.text.strip()
    assert "\0" not in document.text
    assert all(document.text[slice(*chunk.span)] == chunk.text for chunk in chunks)


WORDS = st.text("abcXYZابت٣49#`-", min_size=1, max_size=6).filter(lambda word: any(char.isalnum() for char in word))
TAGS = st.sampled_from(["p", "div", "h2", "h5", "li", "td", "b", "dt", "dd", "summary", "span", "pre", "section"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(TAGS, st.lists(WORDS, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=20))
def test_every_word_is_kept_in_order(parts: list[tuple[str, list[str], bool]]) -> None:
    """Whatever the tags around them, closed or not."""
    markup = "".join(f"<{tag}> {' '.join(words)} {f'</{tag}>' if ends else ''}" for tag, words, ends in parts)

    read = re.findall(r"[^\W_]+", text_of(markup))

    assert read == re.findall(r"[^\W_]+", " ".join(word for _, words, _ in parts for word in words))
