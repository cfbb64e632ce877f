"""The reranker as a deployment: a question and passages go in, scores in [0, 1] and the engine's own time come out.

A plain class; `graph.py` binds it to Ray Serve. The engine runs in one thread: the replica's loop stays free.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from configs.engines import LexicalReranker
from deployments.contracts.errors import BadInput, DukatError, StageFailed
from deployments.contracts.ports import RerankEngine
from deployments.loading import load

MOST_PASSAGES = 100
MOST_QUESTION_CHARS = 2_000
MOST_PASSAGE_CHARS = 20_000

_log = logging.getLogger(__name__)


class Reranker:
    """Holds one engine."""

    def __init__(self, engine_settings: LexicalReranker) -> None:
        self._settings = engine_settings
        self._engine: RerankEngine = load(engine_settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reranker")

    async def score(self, question: str, passages: list[str]) -> tuple[list[float], float]:
        """One score a passage, in order, and what the engine took in ms.

        A passage is its heading, a line end, and its text. Raises `BadInput`, `StageFailed`.
        """
        if len(passages) > MOST_PASSAGES:
            raise BadInput("too_many_passages", f"at most {MOST_PASSAGES} at once, not {len(passages)}", "reranker")
        if len(question) > MOST_QUESTION_CHARS or any(len(passage) > MOST_PASSAGE_CHARS for passage in passages):
            detail = f"a question may have {MOST_QUESTION_CHARS} characters, a passage {MOST_PASSAGE_CHARS}"
            raise BadInput("text_too_long", detail, "reranker")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._score, question, passages)
        except DukatError:
            raise
        except Exception as error:
            _log.exception("reranker.failed", extra={"passages": len(passages)})
            raise StageFailed("reranker_failed", f"the engine raised {type(error).__name__}", "reranker") from error

    async def ready(self) -> dict[str, str]:
        """Which engine answers; a replica that replies is warm, since engines are warm when built."""
        return {"engine": self._settings.kind, "nature": self._settings.nature}

    async def check_health(self) -> None:
        """Score a word: returns while the engine's thread still works."""
        await self.score("health", ["health"])

    def _score(self, question: str, passages: list[str]) -> tuple[list[float], float]:
        began_s = time.perf_counter()
        scores = self._engine.score(question, passages)
        return scores, (time.perf_counter() - began_s) * 1000
