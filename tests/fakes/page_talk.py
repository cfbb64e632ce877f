"""What happens on the page's line in tests: a press on Call, answers, and how long they took."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.fakes.chromium import PATIENCE_MS
from tests.fakes.stand_in_host import StandIn, share_at

DEVICES = Path(__file__).with_name("page_devices.js")
"""An init script: microphones that are tones, to be plugged and unplugged."""


def stage(began: float, first: float | None, ended: float | None, engine: float | None = None) -> dict[str, Any]:
    return {"began_ms": began, "first_ms": first, "ended_ms": ended, "engine_ms": engine}


STAGES = {
    "end_of_turn": stage(0, None, 320),
    "asr": stage(320, 400, 400, 71.5),
    "retrieval": stage(400, 412.4, 412.4, 11),
    "llm": stage(412, 440, 700, 28),
    "clause": stage(440, 450, 2100),
    "tts": stage(450, 480, 2150, 30),
    "playout": stage(487, 487, 4100),
}
SPOKEN = {
    "type": "turn.ledger",
    "turn": 1,
    "reply": 1,
    "spoken": True,
    "stages": STAGES,
    "wait_ms": 320.0,
    "engines_ms": 140.5,
    "response_ms": 487.2,
    "over_floor_ms": 26.7,
}
TYPED = {
    **SPOKEN,
    "spoken": False,
    "stages": {"retrieval": stage(0, 12, 12, 11), "llm": stage(12, 40, 90, 28), "playout": stage(95.4, 95.4, 3000)},
    "wait_ms": 0.0,
    "response_ms": None,
    "over_floor_ms": None,
}
ANSWER = {"type": "agent.text", "turn": 1, "reply": 1, "text": "From eight to eight.", "sources": []}


async def connect(page: Page) -> None:
    await page.locator("#call").click()
    await expect(page.locator("#text")).to_be_enabled()


def showcase(lang: str) -> list[dict[str, Any] | str]:
    """A conversation under way, for pictures."""
    greeting, question, answer, title, file, next_question = SHOWN[lang]
    greeted = {"type": "agent.text", "turn": 0, "reply": 0, "text": greeting, "sources": []}
    source = {"document": file, "title": title, "source": file}
    return [
        greeted,
        {"type": "transcript.final", "turn": 1, "text": question},
        {**ANSWER, "text": answer, "sources": [source]},
        SPOKEN,
        {"type": "call.state", "state": "listening"},
        {"type": "transcript.interim", "turn": 2, "text": next_question, "stable_chars": 8},
    ]


SHOWN = {
    "en": (
        "Welcome to Noor Water and Power. I am the automated assistant. How can I help you?",
        "What are your opening hours?",
        "From Monday to Thursday our offices are open from eight in the morning to six in the evening, Dubai time. "
        "On Friday we are open from eight to twelve noon.",
        "Opening hours",
        "opening-hours.en.md",
        "and how do I pay my bi",
    ),
    "ar": (
        "أهلًا بك في نور للمياه والكهرباء. أنا المساعد الآلي. كيف أقدر أن أساعدك؟",
        "ما هي ساعات العمل؟",
        "مكاتبنا مفتوحة من الاثنين إلى الخميس من الثامنة صباحًا إلى السادسة مساءً بتوقيت دبي، ويوم الجمعة من الثامنة "
        "إلى الثانية عشرة ظهرًا.",
        "ساعات العمل",
        "opening-hours.ar.md",
        "وكيف أدفع فاتورتي",
    ),
}


DESK_HZ, HEADSET_HZ = 440.0, 880.0
"""The two microphones of `DEVICES`."""


async def heard_hz(stand_in: StandIn, hz: float) -> None:
    """Until the other end hears that tone and nothing else of note."""
    async with asyncio.timeout(PATIENCE_MS / 1000):
        while share_at(await stand_in.hears(), hz) < 0.8:
            pass
