"""The holes and what must fit them: engines (models without Ray), and the doors a call session works through.

An engine is built as `Engine(settings)`, is warm when its constructor returns, and is called from one thread at a time.
A port is what `serve_app.call` sees; `deployments.clients` fits it with Serve handles, tests fit it with fakes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Protocol

from deployments.contracts.audio import HeardAudio
from deployments.contracts.call_events import CallEvent
from deployments.contracts.dialogue import GenerationRequest, TokenGroup
from deployments.contracts.knowledge import Chunk, Document, Embedding, KnowledgeAnswer, KnowledgeQuery, Passage
from deployments.contracts.speech import (
    NeedAudio,
    Phrasebook,
    SpeechAudio,
    SpeechPiece,
    SynthesisRequest,
    Transcript,
    VadVerdict,
    VadWindows,
)

if TYPE_CHECKING:
    import numpy as np

# ---------------------------------------------------------------- engines


class VadEngine(Protocol):
    """Judges windows of several calls at once."""

    state_size: int
    """Floats of recurrent state per call."""

    def judge(self, windows: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(batch, 512) float32 in [-1, 1], (batch, state_size) float32 → probabilities (batch,), new states."""
        ...


class AsrStream(Protocol):
    """One utterance in a streaming-native recogniser."""

    def feed(self, pcm: bytes) -> Transcript:
        """Take s16le mono 16 kHz audio, return the interim transcript so far."""
        ...

    def finish(self) -> Transcript:
        """No more audio: return the final transcript. The stream is unusable afterwards."""
        ...

    def close(self) -> None:
        """Give the stream's resources back to the engine; safe to call twice, and after `finish`."""
        ...


class AsrEngine(Protocol):
    """A streaming-native recogniser. Holds a bounded number of streams."""

    def open(self, phrasebook: Phrasebook | None) -> AsrStream | None:
        """A fresh stream, or None when all are in use."""
        ...


class LlmEngine(Protocol):
    """Writes answers."""

    def generate(self, request: GenerationRequest) -> Iterator[TokenGroup]:
        """Blocking generator; closing it stops the work. Runs in a thread of its own, several at once."""
        ...


class TtsEngine(Protocol):
    """Speaks clauses."""

    def synthesise(self, request: SynthesisRequest) -> Iterator[SpeechAudio]:
        """Blocking generator of audio in pieces of ≥ 100 ms (the first may be shorter); closing it stops the work."""
        ...

    def voices(self) -> dict[str, tuple[str, ...]]:
        """Language → names of voices."""
        ...


class EmbeddingEngine(Protocol):
    """Turns text into dense and sparse vectors in one pass."""

    def embed(self, texts: Sequence[str]) -> list[Embedding]: ...


class RerankEngine(Protocol):
    """Scores how well passages answer a question."""

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        """One score in [0, 1] a passage."""
        ...


class IndexEngine(Protocol):
    """Finds chunks by vectors. Tenants never see each other's chunks."""

    def replace(self, document: Document, chunks: Sequence[Chunk], embeddings: Sequence[Embedding]) -> None:
        """Atomically put these chunks in the place of all earlier ones of the document."""
        ...

    def delete(self, tenant: str, document: str) -> bool:
        """Remove every chunk of the document; False when there was none."""
        ...

    def search(self, tenant: str, embedding: Embedding, limit: int, language: str | None) -> list[tuple[Chunk, float]]:
        """Hybrid search, best first."""
        ...

    def documents(self, tenant: str) -> list[Document]: ...


# ---------------------------------------------------------------- what a call works through


class VadPort(Protocol):
    """Voice activity for one call."""

    async def judge(self, windows: VadWindows) -> VadVerdict | None:
        """None when no verdict came in time: *unknown*."""
        ...


class AsrPort(Protocol):
    """Recognition. Raises `StageFailed`."""

    async def hear(self, piece: SpeechPiece, phrasebook: Phrasebook | None) -> Transcript | NeedAudio:
        """`phrasebook` is needed with the first piece of an utterance (offset 0) only."""
        ...

    async def forget(self, utterance: str) -> None:
        """The utterance will not be finished."""
        ...


class LlmPort(Protocol):
    """Answers. Leaving the context stops the remote work. Raises `StageFailed`."""

    def answer(self, request: GenerationRequest) -> AbstractAsyncContextManager[AsyncIterator[TokenGroup]]: ...


class TtsPort(Protocol):
    """A voice. Leaving the context stops the remote work. Raises `StageFailed`."""

    def speak(self, request: SynthesisRequest) -> AbstractAsyncContextManager[AsyncIterator[SpeechAudio]]: ...


class KnowledgePort(Protocol):
    """A tenant's documents. Raises `StageFailed`."""

    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer: ...

    async def phrasebook(self, tenant: str) -> Phrasebook:
        """What callers may say about the documents as they are now: headings and questions."""
        ...


class EventSink(Protocol):
    """Where stored events go. Never blocks the loop."""

    def append(self, event: CallEvent) -> None:
        """Take the event; durable within 200 ms. Raises `StageFailed` when the disk refuses."""
        ...


class CallPort(Protocol):
    """The caller's line, whatever door it came through."""

    def frames(self) -> AsyncIterator[HeardAudio]:
        """What the caller says, until the line is closed by either side."""
        ...

    def play_from(self, source: Callable[[], bytes]) -> None:
        """Ask `source` for each 20 ms frame at the moment it is to be sent (640 bytes; must not block)."""
        ...

    def hurry(self) -> None:
        """There is something to say after silence: ask for the next frame now, not at the end of the 20 ms."""
        ...

    def clear(self) -> None:
        """Drop what was sent but lies unplayed in a remote buffer, where the door has one."""
        ...

    def unheard_s(self) -> float:
        """Seconds since anything at all came from the caller's side."""
        ...

    async def quality(self) -> dict[str, object] | None:
        """How the line was since this was asked last, as the `quality` event tells it; None while nothing is known."""
        ...

    def send_event(self, event: dict[str, object]) -> None:
        """Show the caller's client an event, if it has a channel for that."""
        ...

    def on_message(self, handler: Callable[[dict[str, object]], None]) -> None:
        """Hand `handler` each message the caller's client sends, e.g. {"type": "caller.text", "text": "…"}."""
        ...

    async def close(self) -> None: ...


class KnowledgeStore(Protocol):
    """The writing side of a tenant's documents."""

    async def put(self, document: Document, chunks: Sequence[Chunk]) -> int:
        """Replace the document and all its chunks at once; returns the number of chunks."""
        ...

    async def remove(self, tenant: str, document: str) -> bool: ...

    async def documents(self, tenant: str) -> list[Document]: ...


__all__ = [
    "AsrEngine",
    "AsrPort",
    "AsrStream",
    "CallPort",
    "EmbeddingEngine",
    "EventSink",
    "IndexEngine",
    "KnowledgePort",
    "KnowledgeStore",
    "LlmEngine",
    "LlmPort",
    "Passage",
    "RerankEngine",
    "TtsEngine",
    "TtsPort",
    "VadEngine",
    "VadPort",
]
