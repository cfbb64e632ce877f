"""The page in a real browser against the real product: a spoken question in, a spoken answer out."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from playwright.async_api import expect

from configs.settings import TENANTS
from serve_app.caller.wav import read_wav
from tests.fakes.chromium import CHROMIUM, browser_with, open_page, shot
from tests.system.running import RunningProduct

pytestmark = [
    pytest.mark.ray,
    pytest.mark.browser,
    pytest.mark.timeout(400),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]


def microphone_file(folder: Path) -> Path:
    """The question at 48 kHz, after six seconds of silence for the greeting; the browser plays it over and over."""
    spoken = np.frombuffer(read_wav(TENANTS / "demo-question.wav"), "<i2")
    at_48k = np.interp(np.arange(len(spoken) * 3) / 3, np.arange(len(spoken)), spoken).astype("<i2")
    path = folder / "microphone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(2 * 48_000 * 7) + at_48k.tobytes() + bytes(2 * 48_000 * 12))
    return path


async def test_a_question_spoken_into_the_page_is_answered_there(product: RunningProduct, tmp_path: Path) -> None:
    complaints: list[str] = []
    async with browser_with(microphone_file(tmp_path)) as browser:
        page = await open_page(browser, complaints)
        await page.goto(product.url)

        await page.click("#call")

        conversation = page.locator("#conversation")
        await expect(conversation).to_contain_text("what are your opening hours", timeout=60_000)
        await expect(conversation).to_contain_text("opening-hours.en.md", timeout=30_000)
        await expect(page.locator("#state")).to_have_attribute("data-state", "listening", timeout=30_000)
        await page.locator(".times summary").first.click()
        await expect(page.get_by_role("table")).to_be_visible()
        await shot(page, "page")
        heard = await page.evaluate(
            "() => { const audio = document.querySelector('#agent');"
            " return audio.srcObject !== null && audio.currentTime > 3; }"
        )
        await page.click("#call")
        await expect(page.locator("#state")).to_have_attribute("data-state", "ended", timeout=30_000)
    assert heard
    assert complaints == []


async def test_who_has_no_microphone_writes_and_is_answered(product: RunningProduct, tmp_path: Path) -> None:
    complaints: list[str] = []
    async with browser_with(microphone_file(tmp_path), microphone=False) as browser:
        page = await open_page(browser, complaints)
        await page.goto(product.url)
        await page.click("#call")

        await page.get_by_role("button", name="Call without a microphone").click()
        await expect(page.locator("#state")).to_have_attribute("data-state", "listening", timeout=60_000)
        await page.fill("#text", "What are your opening hours?")
        await page.press("#text", "Enter")

        await expect(page.locator("#conversation")).to_contain_text("opening-hours.en.md", timeout=30_000)
        await expect(page.locator(".times summary")).to_contain_text("ms after sending", timeout=60_000)
    assert complaints == []
