"""A tenant's agent in this process: documents, recogniser and dialogue as the product has them, without Ray.

In: what a caller said, as audio. Out: what was recognised and what the agent did about it. For benches.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from configs.settings import Profile
from deployments.contracts.audio import to_samples
from deployments.contracts.dialogue import GenerationRequest, TokenGroup
from deployments.contracts.errors import StageBusy, StageFailed
from deployments.contracts.ports import AsrEngine, LlmEngine
from deployments.contracts.speech import Phrasebook, Transcript
from deployments.embedder import Embedder
from deployments.knowledge import Knowledge
from deployments.loading import load
from deployments.reranker import Reranker
from kb_pipeline.ingest import ingest_folder
from serve_app.cli.recognition_score import Reply
from serve_app.dialogue.agents import Dialogue
from serve_app.dialogue.steps import Failed, Say, TurnInput
from serve_app.phrasebooks import Phrasebooks
from serve_app.tenants.models import Tenant

LAST_ANSWER = "This is what I said last."


class OneAgent:
    """Hears one utterance after the other; each is the first turn of a call."""

    def __init__(self, tenant: Tenant, profile: Profile, knowledge: Knowledge, book: Phrasebook) -> None:
        self.book = book
        self._step_bytes = 2 * to_samples(profile.limits.asr_step_ms)
        self._asr: AsrEngine = load(profile.engines.asr)
        self._llm = _WatchedLlm(load(profile.engines.llm))
        self._dialogue = Dialogue(tenant, knowledge, self._llm, profile.dialogue, profile.budgets)

    def hear(self, pcm: bytes) -> Transcript:
        """The final transcript of an utterance, given in the pieces a call gives it in."""
        stream = self._asr.open(self.book)
        if stream is None:
            raise StageBusy("asr_full", "the recogniser has no free stream", "asr")
        try:
            for at in range(0, len(pcm), self._step_bytes):
                stream.feed(pcm[at : at + self._step_bytes])
            return stream.finish()
        finally:
            stream.close()

    async def answer(self, heard: Transcript) -> Reply:
        """What the agent does about it. Raises `StageFailed` when it cannot."""
        self._llm.heading = None
        turn = TurnInput(1, heard.text, "en", last_heard=LAST_ANSWER, confidence=heard.confidence)
        line, repeated = None, False
        async with aclosing(self._dialogue.respond(turn)) as steps:
            async for step in steps:
                if isinstance(step, Failed):
                    raise StageFailed(step.code, "the agent failed", step.stage)
                if isinstance(step, Say):
                    line, repeated = step.standard, step.text == LAST_ANSWER
        return Reply(self._llm.heading, line, repeated)


async def one_agent(tenant: Tenant, profile: Profile, folder: Path) -> OneAgent:
    """With the tenant's documents taken in; the index lies in `folder`. Raises `StageFailed` when one cannot be."""
    engines = profile.engines
    knowledge = Knowledge(
        engines.index, str(folder), Embedder(engines.embedder), Reranker(engines.reranker), profile.dialogue.candidates
    )
    if tenant.documents is not None:
        for result in await ingest_folder(knowledge, tenant.id, tenant.documents):
            # What lies beside the documents, a sound say, is no document; that is `ingest`'s to report.
            if not result.ok and result.file.endswith(".md"):
                raise StageFailed(result.code or "ingest_failed", f"{result.file}: {result.detail}", "ingest")
    books = Phrasebooks(knowledge)
    await books.refresh(tenant)
    return OneAgent(tenant, profile, knowledge, books.of(tenant))


class _WatchedLlm:
    """An `LlmPort` on an engine of this process, that notes the heading it answered under."""

    def __init__(self, engine: LlmEngine) -> None:
        self._engine = engine
        self.heading: str | None = None

    @asynccontextmanager
    async def answer(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[TokenGroup]]:
        groups = self._groups(request, self._engine.generate(request))
        try:
            yield groups
        finally:
            await groups.aclose()

    async def _groups(
        self, request: GenerationRequest, groups: Iterator[TokenGroup]
    ) -> AsyncGenerator[TokenGroup, None]:
        for group in groups:
            if self.heading is None:
                used = group.used if group.used is not None else (0,)
                self.heading = next((request.passages[place].heading for place in used), None)
            yield group
