"""A `KnowledgePort` that finds what the test put there, fails as told, or never answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from deployments.contracts.knowledge import KnowledgeAnswer, KnowledgeQuery, Passage
from deployments.contracts.speech import Phrasebook


def a_passage(text: str, score: float = 0.9, document: str = "tariffs.en", heading: str = "") -> Passage:
    """A passage of a document whose title is its name in capitals."""
    return Passage(text, score, document, document.upper(), f"{document}.md", (0, len(text)), heading)


class FakeKnowledge:
    """Counts the questions that are still waiting in `asking`."""

    def __init__(
        self, passages: Sequence[Passage] = (), fails: Exception | None = None, never_answers: bool = False
    ) -> None:
        self.passages = tuple(passages)
        self.fails = fails
        self.never_answers = never_answers
        self.queries: list[KnowledgeQuery] = []
        self.asking = 0

    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer:
        self.queries.append(query)
        self.asking += 1
        try:
            await asyncio.sleep(0)
            if self.never_answers:
                await asyncio.Event().wait()
            if self.fails is not None:
                raise self.fails
            return KnowledgeAnswer(self.passages, engine_ms=7.0)
        finally:
            self.asking -= 1

    async def phrasebook(self, tenant: str) -> Phrasebook:
        phrases = tuple(passage.heading for passage in self.passages if passage.heading)
        return Phrasebook(f"{tenant}-{len(phrases)}", phrases)
