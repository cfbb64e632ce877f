"""The caller's page in a real browser, against a small stand-in for the call host: sound, events, hanging up."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from playwright.async_api import Page, expect

from tests.fakes.chromium import CHROMIUM, PATIENCE_MS, shot
from tests.fakes.page_talk import connect
from tests.fakes.stand_in_host import AGENT_HZ, StandIn, share_at

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]

CALLER_HZ = 440.0
ANSWER = "We are open from eight to eight. On Saturday we close at two."
TALK: list[dict[str, Any] | str] = [
    {"type": "call.state", "state": "greeting"},
    {"type": "agent.text", "turn": 0, "reply": 0, "text": "Welcome to Dukat. How can I help?", "sources": []},
    {"type": "agent.heard", "turn": 0, "reply": 0, "text": "Welcome to Dukat. How can I help?", "complete": True},
    {"type": "call.state", "state": "listening"},
    {"type": "transcript.interim", "turn": 1, "text": "when are you", "stable_chars": 8},
    {"type": "transcript.final", "turn": 1, "text": "when are you open <b>today</b>"},
    {"type": "call.state", "state": "thinking"},
    {
        "type": "agent.text",
        "turn": 1,
        "reply": 1,
        "text": ANSWER,
        "sources": [{"document": "hours.en", "title": "Opening hours", "source": "hours.md"}],
    },
    {"type": "call.state", "state": "speaking"},
    {"type": "agent.heard", "turn": 1, "reply": 1, "text": "We are open from eight to eight.", "complete": False},
    {"type": "transcript.interim", "turn": 2, "text": "and on sunday", "stable_chars": 3},
]

LOUDEST_HZ = """async () => {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 8192 });
  context.createMediaStreamSource(document.querySelector("audio").srcObject).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  await new Promise((resolve) => setTimeout(resolve, 400));
  analyser.getFloatFrequencyData(bins);
  const peak = bins.indexOf(Math.max(...bins));
  return { hz: (peak * context.sampleRate) / analyser.fftSize, dbfs: bins[peak] };
}"""


async def test_sound_goes_both_ways(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)

    await page.get_by_role("button", name="Call").click()
    await expect(page.locator("#connection")).to_have_text("connected")
    heard_by_caller = await page.evaluate(LOUDEST_HZ)
    async with asyncio.timeout(PATIENCE_MS / 1000):
        heard_by_agent = await stand_in.hears()

    assert heard_by_caller["hz"] == pytest.approx(AGENT_HZ, abs=20)
    assert heard_by_caller["dbfs"] > -50
    assert np.sqrt(np.mean(heard_by_agent**2)) > 300
    assert share_at(heard_by_agent, CALLER_HZ) > 0.5


async def test_the_conversation_is_shown_as_it_happens(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = TALK
    await page.goto(url)

    await page.get_by_role("button", name="Call").click()
    talk = page.get_by_role("log").locator("li.said")

    await expect(talk).to_have_count(3)
    await expect(talk.nth(0)).to_contain_text("Welcome to Dukat. How can I help?")
    await expect(talk.nth(1)).to_have_text("You: when are you open <b>today</b>")
    await expect(talk.nth(2)).to_contain_text("We are open from eight to eight.")
    await expect(talk.nth(2).locator("s")).to_have_text("On Saturday we close at two.")
    await expect(talk.nth(2).locator(".sources")).to_have_text("Source: Opening hours (hours.md)")
    await expect(page.locator("#interim")).to_have_text("and on sunday")
    await expect(page.locator("#state")).to_have_text("Speaking")
    await expect(page.locator("#engines")).to_have_text("Profile: embedded · embedded engines")
    await shot(page, "conversation")


async def test_typed_text_reaches_the_agent(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    field = page.get_by_role("textbox", name="Type instead of speaking")
    await expect(field).to_be_disabled()

    await page.get_by_role("button", name="Call").click()
    await field.fill("  when are you open ")
    await field.fill("  when are you open  ")
    await field.press("Enter")

    async with asyncio.timeout(PATIENCE_MS / 1000):
        assert await stand_in.typed.get() == {"type": "caller.text", "text": "when are you open"}
    await expect(field).to_have_value("")
    assert stand_in.typing == 1, "told once, however much is written within two seconds"


async def test_hanging_up_with_the_keyboard_ends_the_call(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(f"{url}/?tenant=souk&lang=en#token=secret")
    await page.get_by_role("button", name="Call").press("Enter")
    await expect(page.locator("#connection")).to_have_text("connected")

    await page.get_by_role("button", name="Hang up").press("Enter")

    async with asyncio.timeout(PATIENCE_MS / 1000):
        await stand_in.hung_up.wait()
    await expect(page.locator("#state")).to_have_text("Call ended")
    await expect(page.get_by_role("button", name="Call again")).to_be_visible()
    assert (stand_in.tenants, stand_in.credentials) == (["souk"], ["Bearer secret"])
    assert await page.evaluate("document.querySelector('audio').srcObject") is None


async def test_leaving_the_page_ends_the_call(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    await page.get_by_role("button", name="Call").click()
    await expect(page.locator("#connection")).to_have_text("connected")

    await page.goto("about:blank")

    async with asyncio.timeout(PATIENCE_MS / 1000):
        await stand_in.hung_up.wait()


REASONS = {
    "silence": ("Nobody spoke for a while, so the call was ended.", "لم يتكلم أحد منذ مدة، فأُنهيت المكالمة."),
    "longest_call": ("The call reached its longest duration.", "بلغت المكالمة أقصى مدة لها."),
    "caller_goodbye": ("The agent said goodbye.", "ودّعك المساعد وانتهت المكالمة."),
    "caller_hung_up": ("The call was hung up.", "أُنهيت المكالمة."),
    "host_shutdown": (
        "The server was stopped or is being restarted. Call again in a moment.",
        "أُوقف الخادم أو يُعاد تشغيله. اتصل من جديد بعد قليل.",
    ),
    "internal_error": ("The call ended because of an error on our side.", "انتهت المكالمة بسبب خطأ لدينا."),
    "constructor": ("", ""),
    None: ("", ""),
}


@pytest.mark.parametrize(("tenant", "column"), [("demo", 0), ("souk", 1)])
async def test_the_reason_of_an_end_is_said(page: Page, url: str, stand_in: StandIn, tenant: str, column: int) -> None:
    await page.goto(f"{url}/?tenant={tenant}")

    for calls, (reason, words) in enumerate(REASONS.items(), start=1):
        await connect(page)
        stand_in.send({"type": "call.state", "state": "ended", "reason": reason})

        await expect(page.locator("#state")).to_have_attribute("data-state", "ended")
        await expect(page.locator("#notice")).to_have_text(words[column])
        await expect(page.locator("#notice")).to_be_visible(visible=bool(words[column]))
        await expect(page.locator("body")).to_have_attribute("data-phase", "idle")
        assert stand_in.offers == calls


async def test_a_turn_that_the_caller_gave_up_is_no_trouble(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [
        {"type": "error", "code": "turn_abandoned", "detail": "the caller went on"},
        {"type": "transcript.final", "turn": 1, "text": "hello?"},
    ]
    await page.goto(url)
    await page.get_by_role("button", name="Call").click()
    await expect(page.locator("#conversation")).to_contain_text("hello?")

    await expect(page.locator("#notice")).to_be_hidden()


async def test_trouble_in_the_call_is_told_until_the_call_has_gone_on(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [{"type": "error", "code": "tts_failed", "detail": "no voice"}]
    await page.goto(url)
    await page.get_by_role("button", name="Call").click()
    await expect(page.get_by_role("alert")).to_have_text(
        "Something did not work just now; the call goes on. (no voice)"
    )

    stand_in.send({"type": "transcript.final", "turn": 2, "text": "hello?"})

    await expect(page.locator("#notice")).to_be_hidden()


async def test_odd_events_do_not_break_the_page(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [
        "not JSON {",
        "null",
        "[]",
        "7",
        '{"type": 3}',
        {"type": "constructor"},
        {"type": "tomorrow.news", "text": "x"},
        {"type": "call.state"},
        {"type": "call.state", "state": "toString"},
        {"type": "transcript.interim"},
        {"type": "transcript.interim", "text": {"a": 1}, "stable_chars": -4},
        {"type": "transcript.final"},
        {"type": "agent.text"},
        {"type": "agent.text", "reply": 1, "text": "Sources of all kinds.", "sources": [None, 3, {"title": 5}, {}]},
        {"type": "agent.text", "reply": 2, "text": "No list of sources.", "sources": "none"},
        {"type": "agent.heard", "reply": 99},
        {"type": "agent.heard", "reply": 2},
        {"type": "turn.ledger"},
        {"type": "turn.ledger", "reply": 1, "turn": 1, "response_ms": "soon", "stages": None},
        {"type": "turn.ledger", "reply": 1, "turn": 1, "response_ms": 100, "stages": {"asr": None, "x": {}, "llm": 3}},
        {"type": "error"},
        {"type": "agent.text", "reply": 3, "text": "Still here."},
    ]
    await page.goto(url)

    await page.get_by_role("button", name="Call").click()

    await expect(page.get_by_role("log")).to_contain_text("Still here.")
    await expect(page.locator("li.said")).to_have_count(4)
    await expect(page.locator("li.by-caller")).to_have_text("You: (not understood)")
    await expect(page.locator(".sources li")).to_have_count(0)
    await expect(page.get_by_text("Answered after 100 ms")).to_be_visible()
    await expect(page.get_by_role("button", name="Hang up")).to_be_visible()


async def test_without_documents_the_page_says_how_to_add_some(page: Page, url: str, knowledge: Any) -> None:
    knowledge.empty = {"souk"}

    await page.goto(f"{url}/?tenant=souk&lang=en")

    await expect(page.locator("#no-documents")).to_contain_text("This agent has no documents yet")
    command = f".venv/bin/dukat ingest FOLDER --tenant souk --url {url}"
    await expect(page.locator("#ingest")).to_have_text(command)
    await shot(page, "no-documents")
    await page.goto(f"{url}/?tenant=demo")
    await expect(page.locator("#engines")).not_to_be_empty()
    await expect(page.locator("#no-documents")).to_be_hidden()
