"""The voice replica: a clause in, a stream of 16 kHz audio out.

In: `SynthesisRequest`. Out: `SpeechAudio` pieces (≥ 100 ms but for the first and the last). Closing the stream stops
the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from configs.engines import TtsSettings
from deployments.contracts.errors import StageFailed
from deployments.contracts.speech import SpeechAudio, SynthesisRequest
from deployments.loading import load
from deployments.threads import stream_from_thread

_THREADS = 32
"""Clauses in the making at once; a thread is held only while a piece is awaited."""


class Tts:
    """Holds one engine, warm."""

    def __init__(self, engine_settings: TtsSettings, *beside: object) -> None:
        """`beside` holds the other deployments of the application, which nobody here calls."""
        self._settings = engine_settings
        self._engine = load(engine_settings)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="tts")

    async def synthesise(self, request: SynthesisRequest) -> AsyncIterator[SpeechAudio]:
        """Speak one clause. Raises `BadInput`, `StageFailed`."""
        async with aclosing(stream_from_thread(self._threads, lambda: self._engine.synthesise(request))) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                yield piece

    async def voices(self) -> dict[str, tuple[str, ...]]:
        """Language → names of voices."""
        return self._engine.voices()

    async def ready(self) -> dict[str, str]:
        """Which engine speaks, and whether it is a real one."""
        return {"engine": self._settings.kind, "nature": self._settings.nature}

    async def check_health(self) -> None:
        """Speak a word. Raises `StageFailed` when nothing is heard."""
        # Not in the pool of the calls: that all its threads are busy is no illness.
        await asyncio.to_thread(self._speak_a_word)

    def _speak_a_word(self) -> None:
        language, voices = next(iter(self._engine.voices().items()))
        word = SynthesisRequest(request="health", text="ok", language=language, voice=voices[0])
        if not any([any(piece.pcm) for piece in self._engine.synthesise(word)]):
            raise StageFailed("voice_silent", f"{self._settings.kind} made no sound for a word", "tts")
