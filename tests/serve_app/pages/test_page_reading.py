"""Reading the conversation: how long an answer took, long answers, long talks, and what a screen reader is told."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.fakes.chromium import CHROMIUM
from tests.fakes.page_talk import ANSWER, SPOKEN, TYPED, connect
from tests.fakes.stand_in_host import StandIn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]


async def page_settles(page: Page) -> None:
    """Two frames: sizes have been observed, and acted upon."""
    await page.evaluate("() => new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")


async def test_an_answers_time_is_a_headline_and_a_waterfall_on_request(
    page: Page, url: str, stand_in: StandIn
) -> None:
    stand_in.talk = [ANSWER, SPOKEN]
    await page.goto(url)
    await connect(page)
    headline = page.get_by_text("Answered after 487 ms", exact=True)
    await expect(headline).to_be_visible()
    await expect(page.get_by_role("table")).to_be_hidden()

    await headline.press("Enter")

    table = page.get_by_role("table", name="What took how long, from the end of your words to the first sound")
    await expect(table.get_by_role("rowheader")).to_have_text(
        ["silence", "hearing", "search", "answer", "first sentence", "voice"]
    )
    await expect(table.locator(".took")).to_have_text(["320 ms", "80 ms", "12 ms", "28 ms", "10 ms", "30 ms"])
    await expect(page.locator(".shares")).to_have_text("waited for silence 320 ms · engines 141 ms · platform 27 ms")
    boxes = [await bar.bounding_box() for bar in await table.locator(".bar").all()]
    chart = await table.locator(".chart").first.bounding_box()
    assert chart is not None
    starts = [(box["x"] - chart["x"]) / chart["width"] for box in boxes if box]
    widths = [box["width"] / chart["width"] for box in boxes if box]
    assert starts == pytest.approx([ms / 487.2 for ms in (0, 320, 400, 412, 440, 450)], abs=0.02)
    assert widths == pytest.approx([ms / 487.2 for ms in (320, 80, 12.4, 28, 10, 30)], abs=0.02)


async def test_in_arabic_the_time_runs_from_right_to_left(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [ANSWER, SPOKEN]
    await page.goto(f"{url}/?tenant=souk")
    await connect(page)

    await page.get_by_text("جاء الرد بعد 487 م.ث", exact=True).click()

    first, last = page.locator(".bar").first, page.locator(".bar").last
    first_box, last_box = await first.bounding_box(), await last.bounding_box()
    chart = await page.locator(".chart").first.bounding_box()
    assert first_box and last_box and chart
    assert first_box["x"] + first_box["width"] == pytest.approx(chart["x"] + chart["width"], abs=3)
    assert last_box["x"] < first_box["x"]


async def test_a_typed_turn_shows_its_time_from_the_sending(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [ANSWER, TYPED]
    await page.goto(url)
    await connect(page)

    await page.get_by_text("Answered 95 ms after sending", exact=True).click()

    await expect(page.get_by_role("rowheader")).to_have_text(["search", "answer"])
    await expect(page.get_by_role("table", name="What took how long, from sending")).to_be_visible()


async def test_a_greeting_shows_no_time(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [
        {**ANSWER, "turn": 0, "reply": 0, "text": "Welcome."},
        {**TYPED, "turn": 0, "reply": 0},
        ANSWER,
        SPOKEN,
    ]
    await page.goto(url)

    await connect(page)

    await expect(page.get_by_text("Answered after 487 ms")).to_be_visible()
    await expect(page.locator(".times")).to_have_count(1)


async def test_a_long_answer_is_followed_unless_the_caller_reads_above(
    phone: Page, url: str, stand_in: StandIn
) -> None:
    words = "a long sentence " * 250 + "https://example.org/" + "w" * 300
    await phone.goto(url)
    await connect(phone)
    scroller = phone.locator("#scroller")
    to_end = "each => each.scrollHeight - each.scrollTop - each.clientHeight"

    for length in (100, 1000, 4000, len(words)):
        stand_in.send({**ANSWER, "text": words[:length]})
    await expect(phone.locator(".text")).to_have_text(words)
    await expect(phone.locator("#newest")).to_be_hidden()
    assert await scroller.evaluate(to_end) < 5
    assert await scroller.evaluate("each => each.scrollWidth - each.clientWidth") == 0

    # The event of the page's own scrolling comes when the answer has already grown again: nobody has scrolled up.
    await scroller.evaluate(
        "each => { each.querySelector('.text').append(' and more'.repeat(200));"
        " each.dispatchEvent(new Event('scroll')); }"
    )
    await page_settles(phone)
    assert await scroller.evaluate(to_end) < 5

    await scroller.evaluate("each => { each.scrollTop = 0; }")
    await expect(phone.get_by_role("button", name="Newest")).to_be_visible()
    stand_in.send({"type": "transcript.final", "turn": 2, "text": "and on Sunday?"})
    await expect(phone.locator("li.by-caller")).to_have_count(1)
    assert await scroller.evaluate("each => each.scrollTop") == 0
    await phone.get_by_role("button", name="Newest").click()

    await expect(phone.locator("li.by-caller")).to_be_in_viewport()
    await expect(phone.locator("#newest")).to_be_hidden()


async def test_a_long_talk_keeps_the_newest_two_hundred_turns(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    await connect(page)

    for turn in range(1, 231):
        stand_in.send({"type": "transcript.final", "turn": turn, "text": f"question {turn}"})
        stand_in.send({**ANSWER, "turn": turn, "reply": turn, "text": f"answer {turn}"})
        stand_in.send({**SPOKEN, "turn": turn, "reply": turn})

    await expect(page.get_by_role("log")).to_contain_text("answer 230")
    await expect(page.locator("li.by-agent").last.locator(".times")).to_be_visible()
    assert await page.locator("#conversation > li").count() <= 400
    await expect(page.locator("#conversation > li").first).to_have_text("Earlier turns are no longer shown.")
    await expect(page.locator("#conversation > li").nth(1)).not_to_contain_text("question 1")


async def test_a_growing_answer_is_read_aloud_once(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    await connect(page)
    await page.evaluate(
        """() => {
          window.spoken = [];
          const live = document.querySelectorAll('[aria-live]:not([aria-live=off]), [role=alert], [role=status]');
          const note = (changes) => changes.forEach(({ target }) => {
            const text = (target.closest?.('[aria-live], [role]') ?? target).textContent;
            if (text) window.spoken.push(text);
          });
          for (const each of live) {
            new MutationObserver(note).observe(each, { childList: true, subtree: true, characterData: true });
          }
        }"""
    )

    stand_in.send({"type": "call.state", "state": "thinking"})
    for text in ("From eight.", "From eight. To eight.", "From eight. To eight. Daily."):
        stand_in.send({**ANSWER, "text": text})
        stand_in.send({"type": "call.state", "state": "speaking"})
    stand_in.send({"type": "agent.heard", "turn": 1, "reply": 1, "text": text, "complete": True})
    stand_in.send(SPOKEN)
    stand_in.send({"type": "transcript.interim", "turn": 2, "text": "and on sunday", "stable_chars": 3})

    await expect(page.locator("#interim")).to_be_visible()
    assert await page.evaluate("window.spoken") == ["Agent: From eight. To eight. Daily."]


async def test_mixed_writing_keeps_its_own_direction(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [
        {**ANSWER, "text": "نعمل من الثامنة، see dukat.example"},
        {"type": "transcript.final", "turn": 1, "text": "when are you open, شكراً"},
    ]
    await page.goto(url)
    await connect(page)

    directions = await page.locator(".text").evaluate_all("all => all.map((each) => getComputedStyle(each).direction)")

    assert directions == ["rtl", "ltr"]
