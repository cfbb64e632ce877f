"""Without a microphone, or without the right to one: the caller writes, and hears the agent speak."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.fakes.chromium import CHROMIUM, browser_with, open_page, shot
from tests.fakes.page_talk import DESK_HZ, connect, heard_hz
from tests.fakes.stand_in_host import StandIn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shy_browser(caller_wav: Path) -> AsyncIterator[Browser]:
    """One that may not use the microphone."""
    async with browser_with(caller_wav, microphone=False) as browser:
        yield browser


@pytest.mark.parametrize(
    ("lang", "refused", "without", "field"),
    [
        ("en", "The microphone was refused.", "Call without a microphone", "Write your question"),
        ("ar", "رُفض استخدام الميكروفون.", "اتصال دون ميكروفون", "اكتب سؤالك"),
    ],
)
async def test_who_refuses_the_microphone_may_write_and_listen(
    shy_browser: Browser,
    url: str,
    stand_in: StandIn,
    complaints: list[str],
    lang: str,
    refused: str,
    without: str,
    field: str,
) -> None:
    page = await open_page(shy_browser, complaints)
    await page.goto(f"{url}/?lang={lang}")
    await page.locator("#call").click()
    await expect(page.get_by_role("alert")).to_contain_text(refused)
    await shot(page, f"refused-{lang}")
    assert stand_in.offers == 0

    await page.get_by_role("button", name=without).click()

    await page.get_by_placeholder(field).fill("when are you open")
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.press("Enter")
    assert (await stand_in.typed.get())["text"] == "when are you open"
    assert np.abs(await stand_in.hears()).max() <= 3  # silence, but a second of it: the line is alive
    await page.wait_for_function("document.querySelector('#agent').currentTime > 0.5")
    await page.context.close()


async def test_a_page_that_may_not_have_the_microphone_still_calls(page: Page, url: str, stand_in: StandIn) -> None:
    await page.add_init_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined });")
    await page.goto(url)

    await page.locator("#call").click()
    await expect(page.get_by_role("alert")).to_contain_text("only to https pages")
    await page.get_by_role("button", name="Call without a microphone").click()

    await expect(page.locator("#connection")).to_have_text("connected")
    await expect(page.locator("#writing")).to_have_text("No microphone: you write, the agent speaks.")


async def test_no_microphone_can_be_chosen_before_the_call(desk: Page, stand_in: StandIn) -> None:
    await desk.get_by_text("Microphone and speaker").click()
    await desk.get_by_label("Microphone", exact=True).select_option("None: I will write")

    await connect(desk)

    assert await desk.evaluate("devices.opened.length") == 0
    await desk.get_by_label("Microphone", exact=True).select_option("")
    await heard_hz(stand_in, DESK_HZ)
    await expect(desk.locator("#writing")).to_be_hidden()
