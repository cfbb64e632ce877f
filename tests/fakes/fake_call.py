"""A whole call of fakes: a line that speaks and records, ears by loudness, a recogniser and a voice that do as told.

Under `run_virtual` a call of minutes takes milliseconds. The line sends and takes a frame every 20 ms of loop time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from configs.engines import EmulatedAsr, EmulatedLlm, EmulatedTts, Engines
from configs.settings import Profile
from deployments.contracts.audio import FRAME_BYTES, FRAME_MS, SAMPLE_RATE_HZ, SILENT_FRAME, HeardAudio, samples_in
from deployments.contracts.call_events import CallEvent
from deployments.contracts.ports import KnowledgePort, LlmPort
from deployments.contracts.speech import (
    VAD_WINDOW_SAMPLES,
    NeedAudio,
    Phrasebook,
    SpeechAudio,
    SpeechPiece,
    SynthesisRequest,
    Transcript,
    VadVerdict,
    VadWindows,
    WordMark,
)
from serve_app.call.ear import WINDOW_BYTES, level_dbfs
from serve_app.call.record import CallRecord
from serve_app.call.session import CallParts, CallSession
from serve_app.call.standard_lines import StandardLines
from serve_app.dialogue.agents import Dialogue
from serve_app.tenants.models import Tenant
from tests.fakes.fake_knowledge import FakeKnowledge, a_passage
from tests.fakes.fake_llm import FakeLlm
from tests.fakes.fake_tenant import a_tenant

WORD_MS = 200
"""A word of the fake voice lasts so long."""


def tone(ms: float, level: float = 0.3) -> bytes:
    """A 400 Hz tone: speech, to the fake ears."""
    at = np.arange(int(ms * SAMPLE_RATE_HZ / 1000)) / SAMPLE_RATE_HZ
    return (np.sin(2 * np.pi * 400 * at) * level * 32767).astype("<i2").tobytes()


def quiet(ms: float) -> bytes:
    """Digital silence."""
    return bytes(int(ms * SAMPLE_RATE_HZ / 1000) * 2)


def a_profile(**changes: Any) -> Profile:
    """Emulated engines, default figures."""
    engines = Engines(asr=EmulatedAsr(), llm=EmulatedLlm(), tts=EmulatedTts())
    return Profile.model_validate({"name": "test", "engines": engines, **changes})


class FakeLine:
    """A `CallPort`."""

    def __init__(self) -> None:
        self._to_say = bytearray()
        self._heard: asyncio.Queue[HeardAudio | None] = asyncio.Queue()
        self._source: Callable[[], bytes] = lambda: SILENT_FRAME
        self.handler: Callable[[dict[str, object]], None] = lambda message: None
        self.played: list[bytes] = []
        """Every frame the caller's side got, one a 20 ms."""
        self.shown: list[dict[str, Any]] = []
        self.cleared = 0
        self.closed = False
        self.broke_s: float | None = None
        """Since when nothing comes any more from the caller's side."""
        self.report: dict[str, object] | None = None
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not self.closed:
            frame = bytes(self._to_say[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
            del self._to_say[:FRAME_BYTES]
            if self.broke_s is None:
                self._heard.put_nowait(HeardAudio(frame, loop.time()))
            self.played.append(self._source())
            due += FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due - loop.time()))
        self._heard.put_nowait(None)

    async def say(self, pcm: bytes) -> None:
        """Speak, and wait until it has been sent."""
        self._to_say += pcm
        while self._to_say and not self.closed:  # noqa: ASYNC110  # virtual time
            await asyncio.sleep(FRAME_MS / 1000)

    def loud_ms(self, since_frame: int = 0) -> int:
        """How long the agent was heard since that frame."""
        return sum(level_dbfs(frame) > -50 for frame in self.played[since_frame:]) * FRAME_MS

    async def frames(self) -> AsyncIterator[HeardAudio]:
        while (audio := await self._heard.get()) is not None:
            yield audio

    def play_from(self, source: Callable[[], bytes]) -> None:
        self._source = source

    def hurry(self) -> None:
        pass

    def clear(self) -> None:
        self.cleared += 1

    def unheard_s(self) -> float:
        return asyncio.get_running_loop().time() - self.broke_s if self.broke_s is not None else 0.0

    async def quality(self) -> dict[str, object] | None:
        return self.report

    def send_event(self, event: dict[str, object]) -> None:
        self.shown.append(event)

    def on_message(self, handler: Callable[[dict[str, object]], None]) -> None:
        self.handler = handler

    async def close(self) -> None:
        self.closed = True
        if self._running is not None:
            self._running.cancel()


class FakeVad:
    """Loud is speech. `deaf` gives no verdicts."""

    def __init__(self) -> None:
        self.deaf = False

    async def judge(self, windows: VadWindows) -> VadVerdict | None:
        await asyncio.sleep(0.002)
        if self.deaf:
            return None
        cut = range(0, len(windows.pcm), WINDOW_BYTES)
        loud = (level_dbfs(windows.pcm[at : at + WINDOW_BYTES]) > -30 for at in cut)
        return VadVerdict(tuple(0.95 if is_loud else 0.02 for is_loud in loud), b"")


class FakeAsr:
    """Hears `texts` one utterance after the other; can fail or forget."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.fails: Exception | None = None
        self.hangs = False
        self.forgets = 0
        """So many pieces from now on are answered with `NeedAudio`."""
        self.heard: dict[str, int] = {}
        self.dropped: list[str] = []

    async def hear(self, piece: SpeechPiece, phrasebook: Phrasebook | None) -> Transcript | NeedAudio:
        await asyncio.sleep(0.003)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        if self.forgets and piece.offset:
            self.forgets -= 1
            self.heard.pop(piece.utterance, None)
            return NeedAudio(piece.utterance)
        assert piece.offset == self.heard.get(piece.utterance, 0), "audio lost or sent twice"
        assert (phrasebook is not None) == (piece.offset == 0)
        self.heard[piece.utterance] = piece.offset + samples_in(piece.pcm)
        text = self.texts[0] if self.texts else ""
        if not piece.last:
            return Transcript(text[: self.heard[piece.utterance] // 2000], False, complete=False, engine_ms=1.0)
        if self.texts:
            self.texts.pop(0)
        return Transcript(text, True, len(text), True, 0.9, "en", engine_ms=2.0)

    async def forget(self, utterance: str) -> None:
        self.dropped.append(utterance)


class FakeTts:
    """A tone of `WORD_MS` for each word, in pieces of 100 ms."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.hangs = False
        self.spoken: list[str] = []
        self.voices: dict[str, tuple[str, str]] = {}
        """Text → (language, voice) it was spoken with."""
        self.open_streams = 0

    @asynccontextmanager
    async def speak(self, request: SynthesisRequest) -> AsyncIterator[AsyncIterator[SpeechAudio]]:
        self.open_streams += 1
        self.spoken.append(request.text)
        self.voices[request.text] = (request.language, request.voice)
        try:
            yield self._pieces(request.text)
        finally:
            self.open_streams -= 1

    async def _pieces(self, text: str) -> AsyncIterator[SpeechAudio]:
        await asyncio.sleep(0.004)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails
        end_char, total = 0, 0
        words = text.split()
        for place, word in enumerate(words):
            end_char = text.index(word, end_char) + len(word)
            half = tone(WORD_MS / 2)
            total += 2 * samples_in(half)
            yield SpeechAudio(half, False, (), 3.0)
            yield SpeechAudio(half, place == len(words) - 1, (WordMark(total, end_char),), 1.0)


class FakeSink:
    """An `EventSink` that keeps what it is given; `fails` is raised instead."""

    def __init__(self) -> None:
        self.events: list[CallEvent] = []
        self.fails: Exception | None = None

    def append(self, event: CallEvent) -> None:
        if self.fails is not None:
            raise self.fails
        self.events.append(event)


class FakeCall:
    """All of it together. Inside `async with`, the call runs; `hang_up` ends it."""

    def __init__(
        self,
        *texts: str,
        llm: LlmPort | None = None,
        knowledge: KnowledgePort | None = None,
        tenant: Tenant | None = None,
        profile: Profile | None = None,
        language: str | None = None,
    ) -> None:
        self.language = language
        self.line, self.vad, self.asr, self.tts, self.sink = (
            FakeLine(),
            FakeVad(),
            FakeAsr(*texts),
            FakeTts(),
            FakeSink(),
        )
        self.llm = llm or FakeLlm("We are open from eight to eight. On Friday we close at noon.")
        self.knowledge = knowledge or FakeKnowledge([a_passage("We are open from eight to eight.")])
        self.tenant = tenant or a_tenant()
        self.profile = profile or a_profile()
        self.lines = StandardLines(self.tts)

    async def __aenter__(self) -> FakeCall:
        loop = asyncio.get_running_loop()
        await self.lines.prepare_all(self.tenant)
        self.record = CallRecord("c1", self.tenant.id, 1, self.sink, self.line.send_event)
        heard = self.profile.engines.asr.languages
        dialogue = Dialogue(self.tenant, self.knowledge, self.llm, self.profile.dialogue, self.profile.budgets, heard)
        parts = CallParts(
            self.line,
            self.vad,
            self.asr,
            self.tts,
            dialogue,
            self.lines,
            self.record,
            lambda: Phrasebook("fake-1", ("what are your opening hours",)),
            loop.time,
        )
        self.session = CallSession("c1", self.tenant, self.profile, parts, self.language)
        self.line.start()
        self.running = asyncio.create_task(self.session.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.session.end("test_over")
        await self.running

    async def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The first event of that type with those fields, when it has come; fails after a minute."""
        async with asyncio.timeout(60):
            while True:
                for event in self.line.shown:
                    if event["type"] == kind and all(event.get(name) == value for name, value in fields.items()):
                        return event
                await asyncio.sleep(0.01)

    async def greeted(self) -> None:
        """The greeting has been heard."""
        await self.until("agent.heard", reply=0)

    def shown(self, kind: str) -> list[dict[str, Any]]:
        """All events of that type so far."""
        return [event for event in self.line.shown if event["type"] == kind]


__all__ = ["VAD_WINDOW_SAMPLES", "WORD_MS", "FakeCall", "FakeTts", "a_profile", "quiet", "tone"]
