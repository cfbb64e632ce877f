"""The voice replica streams, says what it is, knows when it is ill, and stops its engine when nobody listens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any, ClassVar, Literal, cast

import pytest

from configs.engines import EmulatedTts, EngineSettings
from deployments.contracts.errors import BadInput, StageFailed
from deployments.contracts.speech import SpeechAudio, SynthesisRequest
from deployments.tts import Tts

REQUEST = SynthesisRequest("test", "one two three", "en", "tone")


class EndlessSettings(EngineSettings):
    """Names the fake below."""

    engine: ClassVar[str] = f"{__name__}:EndlessVoice"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "emulated"
    kind: str = "endless"
    pcm: bytes = b"\x01\x00"
    pieces: int = 1_000_000


class EndlessVoice:
    """Says the same piece again and again, notes when it is closed. The text "wait" makes it hold its piece back."""

    closed: ClassVar[threading.Event]
    go_on: ClassVar[threading.Event]

    def __init__(self, settings: EndlessSettings) -> None:
        self._settings = settings
        EndlessVoice.closed = threading.Event()
        EndlessVoice.go_on = threading.Event()

    def voices(self) -> dict[str, tuple[str, ...]]:
        return {"en": ("any",)}

    def synthesise(self, request: SynthesisRequest) -> Iterator[SpeechAudio]:
        try:
            for _ in range(self._settings.pieces):
                if request.text == "wait":
                    self.go_on.wait(30)
                yield SpeechAudio(self._settings.pcm, last=False)
        finally:
            self.closed.set()


def endless(settings: EndlessSettings) -> Tts:
    return Tts(cast(Any, settings))  # the type of its settings lists only the product's engines


async def closed() -> bool:
    return await asyncio.to_thread(EndlessVoice.closed.wait, 30)


async def test_a_clause_comes_as_a_stream() -> None:
    tts = Tts(EmulatedTts(first_audio_ms=0, speed=1000))

    pieces = [piece async for piece in tts.synthesise(REQUEST)]

    assert [len(piece.pcm) for piece in pieces] == [3_200] * 3
    assert pieces[-1].last


async def test_it_says_which_engine_speaks() -> None:
    tts = Tts(EmulatedTts())

    assert await tts.ready() == {"engine": "emulated", "nature": "emulated"}
    assert await tts.voices() == {"en": ("tone",), "ar": ("tone",)}


async def test_bad_input_reaches_the_caller() -> None:
    tts = Tts(EmulatedTts())

    with pytest.raises(BadInput):
        await anext(aiter(tts.synthesise(SynthesisRequest("test", "one", "en", "tone", speed=9))))


async def test_closing_the_stream_closes_the_engine() -> None:
    tts = endless(EndlessSettings())

    async with aclosing(tts.synthesise(REQUEST)) as pieces:  # type: ignore[type-var]
        await anext(pieces)
        assert not EndlessVoice.closed.is_set()

    assert await closed()


async def test_cancelling_the_reader_closes_the_engine_even_while_it_works() -> None:
    tts = endless(EndlessSettings())

    async def read() -> None:
        async with aclosing(tts.synthesise(SynthesisRequest("test", "wait", "en", "any"))) as pieces:  # type: ignore[type-var]
            async for _ in pieces:
                pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0.05)  # the engine is inside its first piece now
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    EndlessVoice.go_on.set()

    assert await closed()


async def test_more_clauses_at_once_than_one_thread_could_serve() -> None:
    tts = Tts(EmulatedTts(first_audio_ms=0, speed=1000))

    async def length() -> int:
        return sum([len(piece.pcm) async for piece in tts.synthesise(REQUEST)])

    assert await asyncio.gather(*(length() for _ in range(40))) == [9_600] * 40


async def test_a_voice_that_speaks_is_healthy_and_a_silent_one_is_not() -> None:
    await endless(EndlessSettings(pieces=2)).check_health()

    with pytest.raises(StageFailed) as caught:
        await endless(EndlessSettings(pieces=2, pcm=b"\0\0")).check_health()

    assert caught.value.code == "voice_silent"
