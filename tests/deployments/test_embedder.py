"""The embedder's deployment: bounded input, results in order, the engine's own time."""

import asyncio

import numpy as np
import pytest

from configs.engines import HashedEmbedder as Settings
from deployments.contracts.errors import BadInput, StageFailed
from deployments.embedder import MOST_TEXT_CHARS, MOST_TEXTS, Embedder


async def test_concurrent_requests_get_their_own_embeddings() -> None:
    embedder = Embedder(Settings())

    answers = await asyncio.gather(*(embedder.embed([f"bill {n}", f"meter {n}"]) for n in range(8)))

    for n, (embeddings, engine_ms) in enumerate(answers):
        (expected, _), _ = await embedder.embed([f"bill {n}", ""])
        assert np.array_equal(embeddings[0].dense, expected.dense)
        assert len(embeddings) == 2
        assert engine_ms > 0


async def test_too_much_at_once_is_refused() -> None:
    embedder = Embedder(Settings())

    with pytest.raises(BadInput, match="too_many_texts"):
        await embedder.embed(["a"] * (MOST_TEXTS + 1))
    with pytest.raises(BadInput, match="text_too_long"):
        await embedder.embed(["a" * (MOST_TEXT_CHARS + 1)])


async def test_a_failing_engine_is_a_failed_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = Embedder(Settings())

    def fail(texts: list[str]) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(embedder, "_engine", type("Broken", (), {"embed": staticmethod(fail)}))

    with pytest.raises(StageFailed, match="embedder_failed"):
        await embedder.embed(["a"])
    with pytest.raises(StageFailed):
        await embedder.check_health()


async def test_it_says_which_engine_it_is() -> None:
    assert await Embedder(Settings()).ready() == {"engine": "hashed", "nature": "embedded"}
