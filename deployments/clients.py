"""Typed doors to the deployments; the only place that touches a `DeploymentHandle`.

Applications find each other by name, so each can be redeployed alone. Whatever Ray raises is translated once, here,
into our own tree of errors. Stream only through `closing_stream`: cancelling our task does not stop the remote
generator, `response.cancel()` does, in 5-8 ms (measured on Ray 2.60).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import ray.exceptions
from ray import serve
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.contracts.dialogue import GenerationRequest, TokenGroup
from deployments.contracts.errors import DukatError, StageBusy, StageFailed
from deployments.contracts.knowledge import Chunk, Document, Embedding, KnowledgeAnswer, KnowledgeQuery
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

T = TypeVar("T")

DEPLOYMENTS: dict[str, str] = {
    "vad": "speech",
    "asr": "speech",
    "tts": "speech",
    "llm": "llm",
    "embedder": "knowledge",
    "reranker": "knowledge",
    "knowledge": "knowledge",
    "committer": "lake",
    "call_host": "voice",
}
"""Deployment → the application it belongs to."""


def handle_to(deployment: str) -> DeploymentHandle:
    """The handle by name. Only inside a replica."""
    return serve.get_deployment_handle(deployment, app_name=DEPLOYMENTS[deployment])


def translate(error: BaseException, stage: str) -> DukatError:
    """Ray's error as ours."""
    cause = getattr(error, "cause", None)
    # The cause first: Ray raises a cross of its own error and ours, whose text is the remote stack.
    for ours in (cause, error, getattr(error, "__cause__", None)):
        if isinstance(ours, DukatError):
            return ours
    if isinstance(error, BackPressureError):
        return StageBusy(f"{stage}_busy", f"the queue of {stage} is full", stage)
    if isinstance(error, ray.exceptions.RayActorError | RayServeException):
        return StageFailed(f"{stage}_gone", f"{stage} is not there at the moment", stage)
    return StageFailed(f"{stage}_failed", f"{stage} failed: {type(cause or error).__name__}: {cause or error}", stage)


async def ask(response: Awaitable[T], stage: str) -> T:
    """Await a handle's response. Raises our errors; cancelling the caller cancels the request."""
    try:
        return await response
    except asyncio.CancelledError:
        response.cancel()  # type: ignore[attr-defined]
        raise
    except Exception as error:
        raise translate(error, stage) from error


@asynccontextmanager
async def closing_stream(response: Any, stage: str) -> AsyncIterator[AsyncIterator[Any]]:
    """Iterate a streaming response; leaving the context early stops the remote generator."""
    finished = False

    async def items() -> AsyncIterator[Any]:
        nonlocal finished
        try:
            async for item in response:
                yield item
            finished = True
        except Exception as error:
            finished = True
            raise translate(error, stage) from error

    try:
        yield items()
    finally:
        if not finished:
            response.cancel()


class VadClient:
    """The `vad` deployment; give `judge_batch` to a `VadTicker`."""

    def __init__(self) -> None:
        self._handle = handle_to("vad")

    async def judge_batch(self, batch: list[VadWindows]) -> list[VadVerdict]:
        """One tick."""
        return await ask(self._handle.judge.remote(batch), "vad")


class AsrClient:
    """The `asr` deployment. An `AsrPort`.

    `session_id` keeps an utterance with one replica where the deployment has a router that knows it; one that does
    not have the utterance says `NeedAudio`, so a wrong guess costs time, never words.
    """

    def __init__(self) -> None:
        self._handle = handle_to("asr")

    async def hear(self, piece: SpeechPiece, phrasebook: Phrasebook | None) -> Transcript | NeedAudio:
        """The next piece of an utterance."""
        handle = self._handle.options(session_id=piece.utterance)
        return await ask(handle.hear.remote(piece, phrasebook), "asr")

    async def forget(self, utterance: str) -> None:
        """The utterance will not be finished."""
        await ask(self._handle.options(session_id=utterance).forget.remote(utterance), "asr")


class LlmClient:
    """The `llm` deployment. An `LlmPort`."""

    def __init__(self) -> None:
        self._handle = handle_to("llm").options(stream=True)

    def answer(self, request: GenerationRequest) -> AbstractAsyncContextManager[AsyncIterator[TokenGroup]]:
        """Stream an answer."""
        return closing_stream(self._handle.generate.remote(request), "llm")


class TtsClient:
    """The `tts` deployment. A `TtsPort`."""

    def __init__(self) -> None:
        self._handle = handle_to("tts").options(stream=True)

    def speak(self, request: SynthesisRequest) -> AbstractAsyncContextManager[AsyncIterator[SpeechAudio]]:
        """Stream a clause's audio."""
        return closing_stream(self._handle.synthesise.remote(request), "tts")


class EmbedderClient:
    """The `embedder` deployment."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def embed(self, texts: list[str]) -> tuple[list[Embedding], float]:
        """Vectors, and what the engine took in milliseconds."""
        return await ask(self._handle.embed.remote(texts), "embedder")


class RerankerClient:
    """The `reranker` deployment."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def score(self, question: str, passages: list[str]) -> tuple[list[float], float]:
        """Scores, and what the engine took in milliseconds."""
        return await ask(self._handle.score.remote(question, passages), "reranker")


class KnowledgeClient:
    """The `knowledge` deployment. A `KnowledgePort` and a `KnowledgeStore`."""

    def __init__(self) -> None:
        self._handle = handle_to("knowledge")

    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer:
        """Passages that may answer."""
        return await ask(self._handle.find.remote(query), "knowledge")

    async def phrasebook(self, tenant: str) -> Phrasebook:
        """What callers may say about the documents as they are now."""
        return await ask(self._handle.phrasebook.remote(tenant), "knowledge")

    async def put(self, document: Document, chunks: Sequence[Chunk]) -> int:
        """Replace a document."""
        return await ask(self._handle.put.remote(document, list(chunks)), "knowledge")

    async def remove(self, tenant: str, document: str) -> bool:
        """Delete a document."""
        return await ask(self._handle.remove.remote(tenant, document), "knowledge")

    async def documents(self, tenant: str) -> list[Document]:
        """All documents of a tenant."""
        return await ask(self._handle.documents.remote(tenant), "knowledge")


async def readiness(deployment: str) -> dict[str, Any]:
    """Ask a deployment whether it is ready, and which engine it runs."""
    return await ask(handle_to(deployment).ready.remote(), deployment)
