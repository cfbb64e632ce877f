"""Recognition (M2), streaming-native engines. In: pieces of utterances. Out: transcripts, or `NeedAudio`.

The state of an utterance lives here while it is spoken; the session keeps the audio. A replica that does not have the
utterance up to the offset of a piece (it is new, evicted the state, lost a piece or got one twice) asks for all of it.
Everything an engine does runs in threads; one utterance is fed by one at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from configs.engines import AsrSettings
from deployments.contracts.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, samples_in
from deployments.contracts.errors import BadInput, DukatError, StageBusy, StageFailed
from deployments.contracts.ports import AsrEngine, AsrStream
from deployments.contracts.speech import NeedAudio, Phrasebook, SpeechPiece, Transcript
from deployments.loading import load

LONGEST_S = 60
"""An utterance this long is finished, whoever still speaks."""
IDLE_S = 60.0
"""An utterance not fed for so long is closed: its call has died."""
EVICTABLE_S = 0.5
"""An utterance not fed for so long may lose its stream to a new one."""
_THREADS = 32
_HEALTH_PHRASES = Phrasebook("health", ("hello",))
_HEALTH_AUDIO = bytes(SAMPLE_RATE_HZ // 5 * SAMPLE_BYTES)

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Utterance:
    stream: AsrStream | None = None
    fed: int = 0
    used_s: float = field(default_factory=time.monotonic)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    over: bool = False


class Asr:
    """Server of an `AsrEngine`."""

    def __init__(self, settings: AsrSettings) -> None:
        self._settings = settings
        self._engine: AsrEngine = load(settings)
        self._threads = ThreadPoolExecutor(_THREADS, "asr")
        self._utterances: dict[str, _Utterance] = {}
        self._opening = asyncio.Lock()

    async def hear(self, piece: SpeechPiece, phrasebook: Phrasebook | None) -> Transcript | NeedAudio:
        """Raises `BadInput`, `StageFailed`, `StageBusy`."""
        if piece.offset < 0 or len(piece.pcm) % SAMPLE_BYTES or samples_in(piece.pcm) > LONGEST_S * SAMPLE_RATE_HZ:
            raise BadInput("speech_piece_wrong", f"an offset ≥ 0 and at most {LONGEST_S} s of whole samples", "asr")
        known = self._utterances.get(piece.utterance)
        if known is None:
            if piece.offset:
                return NeedAudio(piece.utterance)
            known = self._utterances[piece.utterance] = _Utterance()
        async with known.turn:
            if known.over:
                return NeedAudio(piece.utterance)
            try:
                if known.fed != piece.offset:
                    await self._close(known)
                    if piece.offset:
                        self._end(piece.utterance, known)
                        return NeedAudio(piece.utterance)
                if known.stream is None:
                    known.stream = await self._open(phrasebook)
                return await self._feed(piece, known, known.stream)
            except BaseException:
                # Whatever went wrong (cancelled in the middle of a piece, too), what the stream holds is not certain.
                self._end(piece.utterance, known)
                await self._close(known)
                raise

    async def forget(self, utterance: str) -> None:
        """The utterance will not be finished."""
        known = self._utterances.get(utterance)
        if known is not None:
            async with known.turn:
                self._end(utterance, known)
                await self._close(known)

    async def ready(self) -> dict[str, Any]:
        """Which engine runs."""
        return {"engine": self._settings.kind, "nature": self._settings.nature, "utterances": len(self._utterances)}

    async def check_health(self) -> None:
        """Listen to a moment of silence; raises when the engine does not. Skipped while calls keep the engine busy."""
        async with self._opening:
            await self._close_idle()
            if not self._utterances:
                await asyncio.to_thread(self._listen_to_silence)

    async def _feed(self, piece: SpeechPiece, known: _Utterance, stream: AsrStream) -> Transcript:
        known.used_s = time.monotonic()
        interim = await self._in_thread(lambda: stream.feed(piece.pcm))
        known.fed += samples_in(piece.pcm)
        if not piece.last and known.fed < LONGEST_S * SAMPLE_RATE_HZ:
            return interim
        final = await self._in_thread(stream.finish)
        self._end(piece.utterance, known)
        await self._close(known)
        return replace(final, engine_ms=interim.engine_ms + final.engine_ms)

    async def _open(self, phrasebook: Phrasebook | None) -> AsrStream:
        async with self._opening:
            await self._close_idle()
            stream = await self._in_thread(lambda: self._engine.open(phrasebook))
            if stream is None and await self._evict():
                stream = await self._in_thread(lambda: self._engine.open(phrasebook))
        if stream is None:
            raise StageBusy("asr_busy", "every stream of the recogniser is in use", "asr")
        return stream

    async def _close_idle(self) -> None:
        for name, known in self._idle_since(IDLE_S):
            self._end(name, known)
            await self._close(known)

    async def _evict(self) -> bool:
        idle = self._idle_since(EVICTABLE_S)
        if not idle:
            return False
        name, known = min(idle, key=lambda item: item[1].used_s)
        log.warning("utterance_evicted", extra={"utterance": name, "idle_s": time.monotonic() - known.used_s})
        self._end(name, known)
        await self._close(known)
        return True

    def _idle_since(self, seconds: float) -> list[tuple[str, _Utterance]]:
        before_s = time.monotonic() - seconds
        return [(n, u) for n, u in self._utterances.items() if u.used_s < before_s and not u.turn.locked()]

    def _end(self, utterance: str, known: _Utterance) -> None:
        known.over = True
        if self._utterances.get(utterance) is known:
            del self._utterances[utterance]

    async def _close(self, known: _Utterance) -> None:
        stream, known.stream, known.fed = known.stream, None, 0
        if stream is not None:
            await self._in_thread(stream.close)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run engine code; if we are cancelled meanwhile, wait for it: two threads must never share a stream."""
        job = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            await asyncio.wait([job])
            raise
        except DukatError:
            raise
        except Exception as error:
            log.exception("asr_failed")
            raise StageFailed("asr_failed", f"the engine raised {type(error).__name__}", "asr") from error

    def _listen_to_silence(self) -> None:
        stream = self._engine.open(_HEALTH_PHRASES)
        if stream is None:
            raise StageFailed("asr_stuck", "no utterance is open, and yet every stream is in use", "asr")
        try:
            stream.feed(_HEALTH_AUDIO)
            if not stream.finish().final:
                raise StageFailed("asr_wrong", "the last transcript of an utterance is not called final", "asr")
        finally:
            stream.close()
