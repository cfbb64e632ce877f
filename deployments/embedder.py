"""The embedder as a deployment: texts go in, their dense and sparse vectors and the engine's own time come out.

A plain class; `graph.py` binds it to Ray Serve. The engine runs in one thread: the replica's loop stays free.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

from configs.engines import HashedEmbedder
from deployments.contracts.errors import BadInput, DukatError, StageFailed
from deployments.contracts.knowledge import Embedding
from deployments.contracts.ports import EmbeddingEngine
from deployments.loading import load

MOST_TEXTS = 256
MOST_TEXT_CHARS = 20_000
"""A chunk has at most 8,192 characters; a heading and a title come on top."""

_log = logging.getLogger(__name__)


class Embedder:
    """Holds one engine."""

    def __init__(self, engine_settings: HashedEmbedder) -> None:
        self._settings = engine_settings
        self._engine: EmbeddingEngine = load(engine_settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="embedder")

    async def embed(self, texts: list[str]) -> tuple[list[Embedding], float]:
        """One embedding a text, in order, and what the engine took in ms. Raises `BadInput`, `StageFailed`."""
        if len(texts) > MOST_TEXTS:
            raise BadInput("too_many_texts", f"at most {MOST_TEXTS} texts at once, not {len(texts)}", "embedder")
        if any(len(text) > MOST_TEXT_CHARS for text in texts):
            raise BadInput("text_too_long", f"a text may have {MOST_TEXT_CHARS} characters", "embedder")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._embed, texts)
        except DukatError:
            raise
        except Exception as error:
            _log.exception("embedder.failed", extra={"texts": len(texts)})
            raise StageFailed("embedder_failed", f"the engine raised {type(error).__name__}", "embedder") from error

    async def ready(self) -> dict[str, str]:
        """Which engine answers; a replica that replies is warm, since engines are warm when built."""
        return {"engine": self._settings.kind, "nature": self._settings.nature}

    async def check_health(self) -> None:
        """Embed a word: returns while the engine's thread still works."""
        await self.embed(["health"])

    def _embed(self, texts: list[str]) -> tuple[list[Embedding], float]:
        began_s = time.perf_counter()
        embeddings = self._engine.embed(texts)
        return embeddings, (time.perf_counter() - began_s) * 1000
