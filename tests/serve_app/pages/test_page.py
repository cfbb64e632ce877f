"""The caller's page in a real browser, against a small stand-in for the call host: sound, events, hanging up."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import wave
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import aioice.ice
import av
import numpy as np
import pytest
import uvicorn
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from fastapi import Request
from playwright.async_api import Browser, Page, expect
from starlette.responses import JSONResponse, Response

from deployments.contracts.errors import NotFound
from deployments.contracts.knowledge import Document, KnowledgeAnswer, KnowledgeQuery
from serve_app.api import Services, build_api
from tests.fakes.chromium import CHROMIUM, PATIENCE_MS, browser_with, open_page, shot

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: install chromium to test the page"),
]

RATE_HZ = 48_000
FRAME_SAMPLES = 960
CALLER_HZ = 440.0
AGENT_HZ = 1000.0

ANSWER = "We are open from eight to eight. On Saturday we close at two."
TALK: list[dict[str, Any]] = [
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
    {
        "type": "turn.ledger",
        "turn": 1,
        "reply": 1,
        "stages": {"asr": {"engine_ms": 88.2}, "retrieval": {"engine_ms": 12.0}, "llm": {"engine_ms": None}},
        "wait_ms": 320.0,
        "response_ms": 512.4,
        "over_floor_ms": 61.7,
    },
    {"type": "transcript.interim", "turn": 2, "text": "and on sunday", "stable_chars": 3},
]


class Tone(MediaStreamTrack):
    """What the agent "says": a steady tone."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = 0
        self._began_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self._began_s = self._began_s or time.monotonic()
        await asyncio.sleep(max(0.0, self._began_s + self._samples / RATE_HZ - time.monotonic()))
        angles = 2 * np.pi * AGENT_HZ * (np.arange(FRAME_SAMPLES) + self._samples) / RATE_HZ
        pcm = (np.sin(angles) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._samples, Fraction(1, RATE_HZ)
        self._samples += FRAME_SAMPLES
        return frame


class StandIn:
    """Answers calls like the call host: tone and events out, what it hears is recorded."""

    def __init__(self) -> None:
        self.talk: list[dict[str, Any]] = []
        self.refuse_with: Response | None = None
        self.tenants: list[str] = []
        self.credentials: list[str | None] = []
        self.typed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.heard = bytearray()
        self.heard_enough = asyncio.Event()
        """Two seconds."""
        self.hung_up = asyncio.Event()
        self.channel: Any = None
        self.peer: RTCPeerConnection | None = None
        self._recording: asyncio.Task[None] | None = None

    async def offer(self, request: Request) -> Response:
        self.tenants.append(request.query_params["tenant"])
        self.credentials.append(request.headers.get("authorization"))
        assert request.headers["content-type"] == "application/sdp"
        if self.refuse_with is not None:
            return self.refuse_with
        self.peer = RTCPeerConnection()
        self.peer.on("track", self._record)
        self.peer.on("datachannel", self._open_channel)
        await self.peer.setRemoteDescription(RTCSessionDescription((await request.body()).decode(), "offer"))
        self.peer.addTrack(Tone())
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        headers = {"Location": "/v1/calls/one"}
        return Response(self.peer.localDescription.sdp, 201, headers, "application/sdp")

    async def hang_up(self) -> Response:
        await self.close()
        self.hung_up.set()
        return Response(status_code=204)

    async def close(self) -> None:
        if self.peer is not None:
            await self.peer.close()
        if self._recording is not None:
            await self._recording

    def send(self, event: Mapping[str, Any]) -> None:
        self.channel.send(json.dumps(event))

    def _open_channel(self, channel: Any) -> None:
        self.channel = channel
        channel.on("message", lambda text: self.typed.put_nowait(json.loads(text)))
        for event in self.talk:
            self.send(event)

    def _record(self, track: MediaStreamTrack) -> None:
        async def record() -> None:
            while True:
                try:
                    frame = await track.recv()
                except MediaStreamError:
                    return
                assert isinstance(frame, av.AudioFrame)
                self.heard += frame.to_ndarray().reshape(-1, 2)[:, 0].astype("<i2").tobytes()
                if len(self.heard) >= 2 * RATE_HZ * 2:
                    self.heard_enough.set()

        self._recording = asyncio.create_task(record())


class NoKnowledge:
    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer:
        return KnowledgeAnswer(())

    async def remove(self, tenant: str, document: str) -> bool:
        return False

    async def documents(self, tenant: str) -> list[Document]:
        return []


@dataclass(frozen=True)
class PageTenant:
    languages: tuple[str, ...]


class PageTenants:
    async def by_id(self, tenant: str) -> PageTenant:
        if tenant not in ("demo", "souk"):
            raise NotFound("tenant_unknown", "no such tenant")
        return PageTenant(("en",) if tenant == "demo" else ("ar",))


@dataclass(frozen=True)
class NeverIngested:
    document: str = ""
    chunks: int = 0


async def ingest(content: bytes, filename: str, tenant: str) -> NeverIngested:
    return NeverIngested()


async def embedded() -> Mapping[str, Any]:
    return {"engine": "pocketsphinx", "nature": "embedded"}


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    # aioice never gathers loopback by itself; Chromium does so with the flag below.
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4=True, use_ipv6=True: ["127.0.0.1"])
    return StandIn()


@pytest.fixture
async def url(stand_in: StandIn) -> AsyncIterator[str]:
    services = Services(
        profile="embedded",
        version="0.1.0",
        parts={"asr": embedded},
        knowledge=NoKnowledge(),
        ingest_document=ingest,
        tenants=PageTenants(),
        allow=lambda request, tenant: None,
    )
    app = build_api(services)
    app.add_api_route("/v1/calls", stand_in.offer, methods=["POST"])
    app.add_api_route("/v1/calls/one", stand_in.hang_up, methods=["DELETE"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, ws="none", log_level="warning", timeout_graceful_shutdown=2))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        await stand_in.close()
        server.should_exit = True
        await serving


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


@pytest.fixture
async def browser(caller_wav: Path) -> AsyncIterator[Browser]:
    async with browser_with(caller_wav) as browser:
        yield browser


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """Script errors and breaches of the content policy: none is expected in any test."""
    heard: list[str] = []
    yield heard
    assert heard == []


@pytest.fixture
async def page(browser: Browser, complaints: list[str]) -> Page:
    return await open_page(browser, complaints)


expect.set_options(timeout=PATIENCE_MS)


def share_at(samples: np.ndarray, hz: float) -> float:
    """Share of the sound's energy within 20 Hz of `hz`."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    around = np.abs(np.fft.rfftfreq(len(samples), 1 / RATE_HZ) - hz) <= 20
    return float(spectrum[around].sum() / spectrum.sum())


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
        await stand_in.heard_enough.wait()
    heard_by_agent = np.frombuffer(bytes(stand_in.heard), "<i2").astype(np.float64)

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
    await expect(talk.nth(2).locator(".figures")).to_have_text(
        "Answered after 512 msplatform 62 mspause 320 mshearing 88 mssearch 12 ms"
    )
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
    await field.press("Enter")

    async with asyncio.timeout(PATIENCE_MS / 1000):
        assert await stand_in.typed.get() == {"type": "caller.text", "text": "when are you open"}
    await expect(field).to_have_value("")


async def test_hanging_up_with_the_keyboard_ends_the_call(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(f"{url}/?tenant=souk&lang=en#token=secret")
    await page.get_by_role("button", name="Call").press("Enter")
    await expect(page.locator("#connection")).to_have_text("connected")

    await page.get_by_role("button", name="Hang up").press("Enter")

    async with asyncio.timeout(PATIENCE_MS / 1000):
        await stand_in.hung_up.wait()
    await expect(page.locator("#state")).to_have_text("Call ended")
    await expect(page.get_by_role("button", name="Call")).to_be_visible()
    assert (stand_in.tenants, stand_in.credentials) == (["souk"], ["Bearer secret"])
    assert await page.evaluate("document.querySelector('audio').srcObject") is None


async def test_leaving_the_page_ends_the_call(page: Page, url: str, stand_in: StandIn) -> None:
    await page.goto(url)
    await page.get_by_role("button", name="Call").click()
    await expect(page.locator("#connection")).to_have_text("connected")

    await page.goto("about:blank")

    async with asyncio.timeout(PATIENCE_MS / 1000):
        await stand_in.hung_up.wait()


async def test_the_agent_ending_the_call_is_shown(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [{"type": "call.state", "state": "ended", "reason": "longest_call"}]
    await page.goto(url)

    await page.get_by_role("button", name="Call").click()

    await expect(page.locator("#state")).to_have_text("Call ended")
    await expect(page.get_by_role("alert")).to_have_text("The call reached its longest duration.")
    await expect(page.get_by_role("button", name="Call")).to_be_visible()


async def test_a_line_closed_by_the_server_ends_the_call(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = TALK[:1]
    await page.goto(url)
    await page.get_by_role("button", name="Call").click()
    await expect(page.locator("#state")).to_have_text("Speaking")

    await stand_in.close()

    await expect(page.locator("#state")).to_have_text("Call ended")


async def test_a_refused_microphone_is_explained(
    caller_wav: Path, url: str, stand_in: StandIn, complaints: list[str]
) -> None:
    async with browser_with(caller_wav, microphone=False) as browser:
        page = await open_page(browser, complaints)
        await page.goto(url)

        await page.get_by_role("button", name="Call").click()

        await expect(page.get_by_role("alert")).to_contain_text("The microphone was refused.")
        await expect(page.get_by_role("button", name="Call")).to_be_visible()
        assert stand_in.tenants == []


@pytest.mark.parametrize(
    ("status", "problem", "words"),
    [
        (503, {"code": "no_line_free", "detail": "20 of 20"}, "All lines are busy. Please try again in a moment."),
        (404, {"code": "tenant_unknown", "detail": "x"}, "There is no call centre of this name."),
        (400, {"code": "offer_odd", "detail": "no audio"}, "The call did not work. (no audio)"),
        (502, None, "The call did not work. (Bad Gateway)"),
    ],
)
async def test_a_refused_call_is_explained(
    page: Page, url: str, stand_in: StandIn, status: int, problem: dict[str, Any] | None, words: str
) -> None:
    stand_in.refuse_with = JSONResponse(problem, status) if problem else Response("<h1>proxy</h1>", status)
    await page.goto(url)

    await page.get_by_role("button", name="Call").click()

    await expect(page.get_by_role("alert")).to_have_text(words)
    await expect(page.get_by_role("button", name="Call")).to_be_visible()


async def test_a_server_that_is_gone_is_explained(page: Page, url: str) -> None:
    await page.goto(url)
    await page.route("**/v1/calls*", lambda route: route.abort())

    await page.get_by_role("button", name="Call").click()

    await expect(page.get_by_role("alert")).to_have_text(
        "The server does not answer. Check your connection and call again."
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_phone_screen_needs_no_sideways_scrolling(
    browser: Browser, url: str, stand_in: StandIn, complaints: list[str], theme: Any
) -> None:
    stand_in.talk = [*TALK, {"type": "transcript.final", "turn": 2, "text": "w" * 200}]
    page = await open_page(browser, complaints, viewport={"width": 390, "height": 844}, color_scheme=theme)
    await page.goto(url)
    await shot(page, f"phone-idle-{theme}")

    await page.get_by_role("button", name="Call").click()
    await expect(page.get_by_role("log").locator("li.said")).to_have_count(4)
    await shot(page, f"phone-{theme}")

    assert await page.evaluate("document.documentElement.scrollWidth") <= 390
    assert await page.evaluate("document.querySelector('main').scrollWidth") <= 390
    for name in ("Hang up", "Send"):
        await expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)


async def test_arabic_runs_from_right_to_left(page: Page, url: str, stand_in: StandIn) -> None:
    stand_in.talk = [
        {"type": "agent.text", "turn": 0, "reply": 0, "text": "أهلاً بك. كيف أساعدك؟", "sources": []},
        {"type": "transcript.final", "turn": 1, "text": "ما هي ساعات العمل؟"},
        {"type": "call.state", "state": "listening"},
    ]
    await page.goto(f"{url}/?tenant=souk")

    await page.get_by_role("button", name="اتصال").click()
    await expect(page.locator("#state")).to_have_text("يستمع")
    agent = await page.locator(".by-agent").bounding_box()
    caller = await page.locator("li.by-caller").bounding_box()
    await shot(page, "arabic")

    assert await page.evaluate("getComputedStyle(document.body).direction") == "rtl"
    assert agent is not None
    assert caller is not None
    assert agent["x"] + agent["width"] > caller["x"] + caller["width"]
    await expect(page.get_by_role("button", name="إنهاء المكالمة")).to_be_visible()
