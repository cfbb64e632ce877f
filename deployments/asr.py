"""Recognition (M2), streaming-native engines. In: pieces of utterances. Out: transcripts, or `NeedAudio`.

The state of an utterance lives here while it is spoken; the session keeps the audio. Whoever does not have the utterance
up to the piece's offset (a new replica, an evicted state, a piece lost or sent twice) asks for all of it again.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from configs.engines import AsrSettings
from deployments.contracts.audio import SAMPLE_RATE_HZ, samples_in
from deployments.contracts.errors import BadInput, StageBusy
from deployments.contracts.ports import AsrEngine, AsrStream
from deployments.contracts.speech import NeedAudio, Phrasebook, SpeechPiece, Transcript
from deployments.loading import load

LONGEST_S = 60
IDLE_S = 60.0
EVICTABLE_S = 0.5
"""An utterance not fed for so long may lose its stream to a new one."""


@dataclass(slots=True)
class _Utterance:
    stream: AsrStream
    fed: int = 0
    used_s: float = 0.0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Asr:
    """Server of an `AsrEngine`."""

    def __init__(self, settings: AsrSettings) -> None:
        self._settings = settings
        self._engine: AsrEngine = load(settings)
        self._threads = ThreadPoolExecutor(32, "asr")
        self._utterances: dict[str, _Utterance] = {}

    async def hear(self, piece: SpeechPiece, phrasebook: Phrasebook | None) -> Transcript | NeedAudio:
        """Raises `BadInput`, `StageBusy`."""
        if piece.offset < 0 or len(piece.pcm) % 2 or len(piece.pcm) > LONGEST_S * SAMPLE_RATE_HZ * 2:
            raise BadInput("speech_piece_wrong", "an offset ≥ 0 and at most 60 s of whole samples", "asr")
        known = self._utterances.get(piece.utterance)
        if known is not None and known.fed != piece.offset:
            self._drop(piece.utterance)
            known = None
        if known is None:
            if piece.offset:
                return NeedAudio(piece.utterance)
            known = self._open(piece.utterance, phrasebook)
        async with known.turn:
            return await self._feed(piece, known)

    async def _feed(self, piece: SpeechPiece, known: _Utterance) -> Transcript:
        loop = asyncio.get_running_loop()
        known.used_s = time.monotonic()
        known.fed += samples_in(piece.pcm)
        interim = await loop.run_in_executor(self._threads, known.stream.feed, piece.pcm) if piece.pcm else None
        if piece.last or known.fed > LONGEST_S * SAMPLE_RATE_HZ or interim is None:
            final = await loop.run_in_executor(self._threads, known.stream.finish)
            self._drop(piece.utterance)
            return final
        return interim

    def _open(self, utterance: str, phrasebook: Phrasebook | None) -> _Utterance:
        now = time.monotonic()
        for name, other in list(self._utterances.items()):
            if now - other.used_s > IDLE_S and not other.turn.locked():
                self._drop(name)
        stream = self._engine.open(phrasebook)
        if stream is None:
            idle = [(o.used_s, name) for name, o in self._utterances.items() if not o.turn.locked()]
            if not idle or now - min(idle)[0] < EVICTABLE_S:
                raise StageBusy("asr_busy", "every stream of the recogniser is in use", "asr")
            self._drop(min(idle)[1])
            stream = self._engine.open(phrasebook)
            if stream is None:
                raise StageBusy("asr_busy", "every stream of the recogniser is in use", "asr")
        opened = self._utterances[utterance] = _Utterance(stream, used_s=now)
        return opened

    def _drop(self, utterance: str) -> None:
        known = self._utterances.pop(utterance, None)
        if known is not None:
            known.stream.close()

    async def forget(self, utterance: str) -> None:
        """The utterance will not be finished."""
        self._drop(utterance)

    async def ready(self) -> dict[str, Any]:
        """Which engine runs."""
        return {"engine": self._settings.kind, "nature": self._settings.nature, "utterances": len(self._utterances)}
