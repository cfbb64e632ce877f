"""The language model as a deployment: a `GenerationRequest` goes in, groups of the answer's tokens come out.

A plain class; `graph.py` binds it to Ray Serve. Each answer runs in a thread of its own: the replica's loop stays free.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from configs.engines import LlmSettings
from deployments.contracts.dialogue import GenerationRequest, TokenGroup
from deployments.contracts.errors import DukatError, StageFailed
from deployments.contracts.ports import LlmEngine
from deployments.loading import load
from deployments.threads import stream_from_thread

_THREADS = 32
"""Answers written at once; `max_ongoing_requests` of the deployment should not be larger."""

_log = logging.getLogger(__name__)


class Llm:
    """Holds one engine."""

    def __init__(self, engine_settings: LlmSettings) -> None:
        self._settings = engine_settings
        self._engine: LlmEngine = load(engine_settings)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="llm")

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenGroup, None]:
        """The answer as it is written. Cancelling or closing it closes the engine's. Raises `StageFailed`."""
        stream = stream_from_thread(self._threads, lambda: self._engine.generate(request))
        try:
            async with aclosing(stream) as groups:  # type: ignore[type-var]
                async for group in groups:
                    yield group
        except DukatError:
            raise
        except Exception as error:
            _log.exception("llm.failed", extra={"request": request.request, "tenant": request.tenant})
            raise StageFailed("llm_failed", f"the engine raised {type(error).__name__}", "llm") from error

    async def ready(self) -> dict[str, str]:
        """Which engine answers; a replica that replies is warm, since engines are warm when built."""
        return {"engine": self._settings.kind, "nature": self._settings.nature}

    async def check_health(self) -> None:
        """Returns while a thread still takes work; when all are stuck, Serve's check times out and replaces us."""
        await asyncio.get_running_loop().run_in_executor(self._threads, int)
