"""A real headless Chromium whose microphone is a file, for page tests; it may use loopback and nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MS = 20_000


@asynccontextmanager
async def browser_with(caller_wav: Path, microphone: bool = True) -> AsyncIterator[Browser]:
    allowed = ["--use-fake-ui-for-media-stream"] if microphone else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            headless=False,  # headless in the new way, by the flag; the old one lacks media
            args=[
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                *allowed,
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={caller_wav}",
                "--allow-loopback-in-peer-connection",
                "--autoplay-policy=no-user-gesture-required",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-default-apps",
                "--disable-domain-reliability",
                "--no-first-run",
                "--no-pings",
                "--dns-prefetch-disable",
                "--disable-features=OptimizationHints,MediaRouter,DialMediaRouteProvider",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()


async def open_page(browser: Browser, complaints: list[str], **options: Any) -> Page:
    """A page of its own context; script errors, console errors and breaches of the content policy are noted."""

    def note(message: ConsoleMessage) -> None:
        # An answer of 4xx or 5xx is put there by the browser itself; tests of refusals want those.
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    context = await browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", note)
    return page


async def shot(page: Page, name: str) -> None:
    """Keeps a picture when `DUKAT_SHOTS` names a folder, to be looked at."""
    if folder := os.environ.get("DUKAT_SHOTS"):
        await page.screenshot(path=f"{folder}/{name}.png")
