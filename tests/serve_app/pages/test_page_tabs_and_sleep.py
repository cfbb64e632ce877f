"""Two tabs, one call; and a computer that slept: what becomes of the call, and of the microphone."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.fakes.chromium import CHROMIUM, PATIENCE_MS
from tests.fakes.page_talk import connect
from tests.fakes.stand_in_host import StandIn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]

COUNT_MICROPHONES = (
    "const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices); window.opened = [];"
    "navigator.mediaDevices.getUserMedia = async (what) => {"
    "  const stream = await open(what); window.opened.push(stream); return stream; };"
)


async def second_tab(context: BrowserContext, url: str) -> Page:
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    await page.goto(url)
    await expect(page.locator("#engines")).not_to_be_empty()
    return page


@pytest.mark.parametrize(
    ("lang", "ask", "here", "elsewhere"),
    [
        ("en", "A call is live in another tab.", "Continue here", "The call went on in another tab."),
        ("ar", "هناك مكالمة جارية في تبويب آخر.", "المتابعة هنا", "استمرت المكالمة في تبويب آخر."),
    ],
)
async def test_a_call_can_be_taken_over_from_another_tab(
    page: Page, url: str, stand_in: StandIn, lang: str, ask: str, here: str, elsewhere: str
) -> None:
    await page.goto(f"{url}/?lang={lang}")
    await connect(page)
    second = await second_tab(page.context, f"{url}/?lang={lang}")

    await second.locator("#call").press("Enter")
    await expect(second.get_by_role("alert")).to_have_text(ask)
    assert stand_in.offers == 1
    await second.keyboard.press("Tab")
    await expect(second.get_by_role("button", name=here)).to_be_focused()
    await second.keyboard.press("Enter")

    await expect(page.get_by_role("alert")).to_have_text(elsewhere)
    await expect(page.locator("body")).to_have_attribute("data-phase", "idle")
    await expect(second.locator("body")).to_have_attribute("data-phase", "live")
    async with asyncio.timeout(PATIENCE_MS / 1000):
        await stand_in.hung_up.wait()


async def test_a_call_in_another_tab_can_be_left_there(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    await connect(page)
    second = await second_tab(page.context, url)
    await second.locator("#call").click()

    await second.get_by_role("button", name="Leave it").click()

    await expect(second.locator("#notice")).to_be_hidden()
    await expect(second.get_by_role("button", name="Call")).to_be_focused()
    await expect(page.locator("body")).to_have_attribute("data-phase", "live")
    assert stand_in.offers == 1


async def test_a_tab_whose_call_is_over_is_not_asked_about(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    second = await second_tab(page.context, url)
    await connect(page)
    await page.locator("#call").click()
    await expect(page.locator("body")).to_have_attribute("data-phase", "idle")

    await connect(second)

    assert stand_in.offers == 2


async def test_a_tab_that_crashed_in_its_call_is_not_waited_for(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    await page.evaluate("new BroadcastChannel('dukat.calls').postMessage({ type: 'live', tab: 'gone' })")

    await connect(page)

    assert stand_in.offers == 1


async def test_a_browser_without_channels_between_tabs_can_call(page: Page, url: str, stand_in: StandIn) -> None:
    await page.add_init_script("delete window.BroadcastChannel;")
    await page.goto(url)

    await connect(page)

    assert stand_in.offers == 1


@pytest.mark.parametrize(
    ("lang", "words", "again"),
    [
        ("en", "The call ended while this computer was asleep.", "Call again"),
        ("ar", "انتهت المكالمة أثناء سكون هذا الجهاز.", "اتصل من جديد"),
    ],
)
async def test_a_call_that_ended_in_sleep_is_not_dialled_again(
    page: Page, url: str, stand_in: StandIn, lang: str, words: str, again: str
) -> None:
    await page.add_init_script(COUNT_MICROPHONES)
    await page.clock.install()
    await page.goto(f"{url}/?lang={lang}")
    await connect(page)
    stand_in.state = {"state": "ended", "reason": "caller_hung_up"}

    await page.clock.fast_forward("01:00:00")

    await expect(page.get_by_role("alert")).to_have_text(words)
    await expect(page.get_by_role("button", name=again)).to_be_visible()
    await page.clock.run_for(30_000)
    assert stand_in.offers == 1
    assert await page.evaluate("opened.map((stream) => stream.active)") == [False]


async def test_a_line_found_broken_on_waking_is_not_dialled_again(page: Page, url: str, stand_in: StandIn) -> None:
    await page.clock.install()
    await page.goto(url)
    await connect(page)
    await page.route("**/v1/calls/1", lambda route: route.abort())  # the network is not back yet
    await page.clock.fast_forward("01:00:00")

    await stand_in.close()

    await expect(page.get_by_role("alert")).to_have_text("The call ended while this computer was asleep.")
    await page.clock.run_for(30_000)
    assert stand_in.offers == 1


async def test_a_page_that_sleeps_while_it_waits_to_dial_does_not_dial(page: Page, url: str, stand_in: StandIn) -> None:
    await page.add_init_script(COUNT_MICROPHONES)
    await page.clock.install(time=1_000_000)
    await page.clock.pause_at(2_000_000)
    await page.goto(url)
    await connect(page)
    await stand_in.close()
    await expect(page.locator(".countdown")).to_contain_text("try 1 of 5")

    await page.clock.fast_forward("01:00:00")

    await expect(page.get_by_role("alert")).to_have_text("The call ended while this computer was asleep.")
    assert stand_in.offers == 1
    assert await page.evaluate("opened.map((stream) => stream.active)") == [False]


async def test_a_microphone_that_ends_in_sleep_is_not_opened_again(page: Page, url: str, stand_in: StandIn) -> None:
    await page.add_init_script(COUNT_MICROPHONES)
    await page.clock.install()
    await page.goto(url)
    await connect(page)
    await page.clock.fast_forward("01:00:00")

    await page.evaluate("opened[0].getTracks()[0].dispatchEvent(new Event('ended'))")

    await expect(page.get_by_role("alert")).to_have_text("The call ended while this computer was asleep.")
    assert await page.evaluate("opened.length") == 1


async def test_slow_timers_of_a_hidden_tab_are_not_taken_for_sleep(page: Page, url: str, stand_in: StandIn) -> None:
    await page.clock.install()
    await page.goto(url)
    await connect(page)

    for _ in range(3):
        stand_in.asked.clear()
        await page.clock.fast_forward("01:05")
        async with asyncio.timeout(PATIENCE_MS / 1000):
            await stand_in.asked.wait()  # whether the call still stands; it does

    await expect(page.locator("body")).to_have_attribute("data-phase", "live")
    await expect(page.locator("#notice")).to_be_hidden()
    assert stand_in.offers == 1


async def test_a_page_brought_back_from_the_browsers_memory_says_that_the_call_is_over(
    page: Page, url: str, stand_in: StandIn
) -> None:
    await page.goto(url)
    await connect(page)

    await page.evaluate(
        "for (const name of ['pagehide', 'pageshow']) dispatchEvent(new PageTransitionEvent(name, { persisted: true }))"
    )

    await expect(page.get_by_role("alert")).to_have_text("The call ended while this computer was asleep.")
    async with asyncio.timeout(PATIENCE_MS / 1000):
        await stand_in.hung_up.wait()
    assert stand_in.offers == 1
