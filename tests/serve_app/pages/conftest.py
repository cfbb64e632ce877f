"""One browser for the tests of a file, one stand-in host and one fresh page for each test."""

from __future__ import annotations

import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aioice.ice
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.fakes.chromium import PATIENCE_MS, browser_with, open_page
from tests.fakes.page_talk import DEVICES
from tests.fakes.stand_in_host import RATE_HZ, OneDocument, StandIn, serving

CALLER_HZ = 440.0

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def caller_wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of tone, half a second of silence: noise suppression takes a tone that never pauses for noise."""
    path = tmp_path_factory.mktemp("caller") / "caller.wav"
    times_s = np.arange(RATE_HZ * 4) / RATE_HZ
    pcm = (np.sin(2 * np.pi * CALLER_HZ * times_s) * (times_s % 1 < 0.5) * 16000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(pcm.tobytes())
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(caller_wav: Path) -> AsyncIterator[Browser]:
    async with browser_with(caller_wav) as browser:
        yield browser


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    # aioice never gathers loopback by itself; Chromium does so with a flag.
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4=True, use_ipv6=True: ["127.0.0.1"])
    return StandIn()


@pytest.fixture
def knowledge() -> OneDocument:
    return OneDocument()


@pytest_asyncio.fixture(loop_scope="module")
async def url(stand_in: StandIn, knowledge: OneDocument) -> AsyncIterator[str]:
    async with serving(stand_in, knowledge) as address:
        yield address


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """Script errors and breaches of the content policy: none is expected in any test."""
    heard: list[str] = []
    yield heard
    assert heard == []


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, complaints: list[str]) -> AsyncIterator[Page]:
    page = await open_page(browser, complaints)
    yield page
    await page.context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def phone(browser: Browser, complaints: list[str]) -> AsyncIterator[Page]:
    screen = {"width": 390, "height": 844}
    page = await open_page(browser, complaints, viewport=screen, has_touch=True, is_mobile=True, device_scale_factor=2)
    yield page
    await page.context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(page: Page, url: str) -> Page:
    """The page on a computer with two microphones and two speakers."""
    await page.add_init_script(path=DEVICES)
    await page.goto(url)
    return page
