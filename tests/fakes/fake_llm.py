"""An `LlmPort` that says the words the test put there, fails or falls silent where told, and counts open streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from deployments.contracts.dialogue import GenerationRequest, TokenGroup

OPENING = -1
"""`stops_at` this: the stream is never opened."""


class FakeLlm:
    """One group a word. At group `stops_at` it raises `fails`, or waits for ever when that is None."""

    def __init__(self, text: str = "", stops_at: int | None = None, fails: Exception | None = None) -> None:
        self.words = text.split()
        self.stops_at = stops_at
        self.fails = fails
        self.requests: list[GenerationRequest] = []
        self.open_streams = 0
        self.opened = 0

    @asynccontextmanager
    async def answer(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[TokenGroup]]:
        self.requests.append(request)
        self.open_streams += 1
        self.opened += 1
        try:
            await self._stop_here(OPENING)
            yield self._groups()
        finally:
            self.open_streams -= 1

    async def _groups(self) -> AsyncIterator[TokenGroup]:
        for place, word in enumerate(self.words):
            await self._stop_here(place)
            last = place == len(self.words) - 1
            yield TokenGroup(word + ("" if last else " "), 1, last, engine_ms=2.0)
        await self._stop_here(len(self.words))

    async def _stop_here(self, place: int) -> None:
        await asyncio.sleep(0)
        if place != self.stops_at:
            return
        if self.fails is not None:
            raise self.fails
        await asyncio.Event().wait()
