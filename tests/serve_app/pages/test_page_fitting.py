"""The page for every hand and eye: small screens, right to left, keyboard, names for readers, contrast, less motion."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.fakes.chromium import CHROMIUM, open_page, shot
from tests.fakes.page_talk import ANSWER, DEVICES, SPOKEN, connect, showcase
from tests.fakes.stand_in_host import StandIn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]

SMALL_TARGETS = """() => [...document.querySelectorAll('button, select, input, summary')]
  .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 44)
  .map((each) => each.id || each.textContent)"""

# Text against what is behind it, as WCAG 2.2 computes it; pairs below 4.5 to 1.
PALE_TEXT = """() => {
  const rgb = (css) => css.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, n) => sum + part * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = rgb(getComputedStyle(at).backgroundColor);
      if (alpha === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const pale = [];
  let looked = 0;
  for (const each of document.querySelectorAll('body *')) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !each.checkVisibility() || each.closest(':disabled')) continue;
    looked += 1;
    const [a, b] = [light(rgb(getComputedStyle(each).color)), light(behind(each))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) pale.push([each.textContent.trim().slice(0, 40), ratio.toFixed(2)]);
  }
  return { looked, pale };
}"""


@pytest.mark.parametrize("tenant", ["demo", "souk"])
@pytest.mark.parametrize(("width", "height"), [(360, 640), (390, 844)])
async def test_a_phone_screen_needs_no_sideways_scrolling(
    browser: Browser, url: str, stand_in: StandIn, complaints: list[str], tenant: str, width: int, height: int
) -> None:
    stand_in.talk = [
        {**ANSWER, "sources": [{"title": "t" * 90, "source": "s" * 90}]},
        SPOKEN,
        {"type": "transcript.final", "turn": 2, "text": "w" * 200},
        {"type": "error", "code": "odd", "detail": "e" * 120},
    ]
    screen = {"width": width, "height": height}
    page = await open_page(browser, complaints, viewport=screen, has_touch=True, is_mobile=True)
    await page.goto(f"{url}/?tenant={tenant}")

    await connect(page)
    await expect(page.locator("li.said")).to_have_count(2)
    await page.locator(".times summary").tap()
    await expect(page.locator("#connection")).not_to_be_empty()

    for each in ("document.documentElement", "document.querySelector('#scroller')", "document.querySelector('footer')"):
        assert await page.evaluate(f"{each}.scrollWidth - {each}.clientWidth") == 0, each
    for each in ("#mute", "#call", "#text", "#typed button", "#settings summary"):
        await expect(page.locator(each)).to_be_in_viewport(ratio=1)
    await page.locator("#settings summary").tap()
    await expect(page.locator("#microphones")).to_be_visible()
    await shot(page, f"phone-{tenant}-{width}")
    assert await page.evaluate(SMALL_TARGETS) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.context.close()


async def test_arabic_runs_from_right_to_left(phone: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = showcase("ar")
    await phone.add_init_script(path=DEVICES)
    await phone.goto(f"{url}/?tenant=souk")

    await phone.get_by_role("button", name="اتصال").click()
    await expect(phone.locator("#state")).to_have_text("يستمع")
    await phone.locator(".times summary").tap()
    await expect(phone.locator("#connection")).to_have_text("متصل")
    await shot(phone, "page-phone-ar")

    assert await phone.evaluate("getComputedStyle(document.body).direction") == "rtl"
    agent = await phone.locator(".by-agent").last.bounding_box()
    caller = await phone.locator("li.by-caller").bounding_box()
    hang_up = await phone.get_by_role("button", name="إنهاء المكالمة").bounding_box()
    assert agent and caller and hang_up
    assert agent["x"] + agent["width"] > caller["x"] + caller["width"]
    assert hang_up["x"] < 20


async def test_the_typing_line_stays_above_an_on_screen_keyboard(phone: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = showcase("en")
    await phone.goto(url)
    await connect(phone)
    await phone.locator("#text").focus()

    # As where the keyboard lies over the page: only visualViewport shrinks.
    await phone.evaluate(
        "() => { Object.defineProperty(visualViewport, 'height', { value: 330 });"
        " visualViewport.dispatchEvent(new Event('resize')); }"
    )

    field = await phone.locator("#text").bounding_box()
    scroller = await phone.locator("#scroller").bounding_box()
    assert field and scroller
    assert field["y"] + field["height"] <= 330
    assert scroller["height"] > 120


async def test_keyboard_alone_reaches_everything_in_order_and_is_seen(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [ANSWER, SPOKEN]
    await page.goto(url)
    await connect(page)
    await page.locator("h1").click()  # no focus anywhere

    reached, unseen = [], []
    for _ in range(7):
        await page.keyboard.press("Tab")
        at = await page.evaluate(
            "() => { const at = document.activeElement; const { outlineStyle, outlineWidth } = getComputedStyle(at);"
            " return [at.id || at.textContent.trim(), outlineStyle === 'solid' && parseFloat(outlineWidth) >= 2]; }"
        )
        reached.append(at[0])
        if not at[1]:
            unseen.append(at[0])

    assert reached == ["scroller", "Answered after 487 ms", "mute", "call", "text", "Send", "Microphone and speaker"]
    assert unseen == []
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.get_by_label("Microphone", exact=True)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_label("Microphone", exact=True)).to_be_hidden()
    await expect(page.locator("#settings summary")).to_be_focused()


@pytest.mark.parametrize("lang", ["en", "ar"])
async def test_every_control_has_a_name(page: Page, url: str, stand_in: StandIn, lang: str) -> None:
    stand_in.talk = [*showcase(lang), {"type": "error", "code": "odd"}]
    await page.goto(f"{url}/?lang={lang}")
    await connect(page)
    await page.locator("#settings summary").click()
    inspector = await page.context.new_cdp_session(page)

    tree = (await inspector.send("Accessibility.getFullAXTree"))["nodes"]

    controls = [node for node in tree if not node["ignored"] and role_of(node) in CONTROLS]
    assert len(controls) >= 7
    assert [node for node in controls if not node.get("name", {}).get("value")] == []


CONTROLS = {"button", "textbox", "combobox", "DisclosureTriangle", "meter", "table", "region", "log"}


def role_of(node: dict[str, Any]) -> str:
    return str(node["role"]["value"])


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_text_stands_out_from_what_is_behind_it(
    browser: Browser, url: str, stand_in: StandIn, complaints: list[str], theme: Any
) -> None:
    stand_in.talk = [
        *showcase("en"),
        {"type": "agent.text", "reply": 2, "text": "Half of it. The rest."},
        {"type": "agent.heard", "reply": 2, "text": "Half of it.", "complete": False},
        {"type": "error", "code": "odd"},
    ]
    page = await open_page(browser, complaints, color_scheme=theme)
    await page.goto(url)
    before = await page.evaluate(PALE_TEXT)
    await connect(page)
    await page.locator(".times summary").click()
    await page.locator("#settings summary").click()
    await page.locator("#mute").click()
    await expect(page.locator("#notice")).to_be_visible()

    during = await page.evaluate(PALE_TEXT)
    await shot(page, f"desktop-{theme}")

    assert before["looked"] >= 6
    assert during["looked"] >= 25
    assert before["pale"] + during["pale"] == []
    await page.context.close()


async def test_less_motion_is_respected(browser: Browser, url: str, stand_in: StandIn, complaints: list[str]) -> None:
    stand_in.talk = [{"type": "call.state", "state": "thinking"}]
    page = await open_page(browser, complaints, reduced_motion="reduce")
    await page.goto(url)
    await connect(page)
    await expect(page.locator("#state")).to_have_text("Thinking")

    dot = await page.evaluate("getComputedStyle(document.querySelector('#state'), '::before').animationName")

    assert dot == "none"
    await page.context.close()
