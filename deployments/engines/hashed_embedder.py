"""Vectors without a model: character n-grams hashed to a dense one, stemmed words to a sparse one, in one pass.

In: texts. Out: one `Embedding` each; dense (dimensions,) float32 of unit length, sparse term id → weighted count.
Texts are near when they share words or parts of words; meaning is not known. The dense form is the signed feature
hashing of Weinberger et al., "Feature Hashing for Large Scale Multitask Learning" (2009), over the subwords of
Bojanowski et al., "Enriching Word Vectors with Subword Information" (2017). The hash is CRC-32: unlike Python's own,
it is the same in every process, so vectors made by two replicas can be compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from configs.engines import HashedEmbedder as HashedEmbedderSettings
from deployments.contracts.knowledge import Embedding
from deployments.engines.words import words

_SHORTEST, _LONGEST = 3, 5
"""Characters of an n-gram; a word stands between two marks, so that its beginning and end count."""
_WHOLE_WORD = 1.0
"""Weight of a word itself beside that of all its n-grams together (1.0): equal words stay nearer than similar ones."""


class HashedEmbedder:
    """An `EmbeddingEngine` without state."""

    def __init__(self, settings: HashedEmbedderSettings) -> None:
        self._dimensions = settings.dimensions

    def embed(self, texts: Sequence[str]) -> list[Embedding]:
        """One embedding a text, in order."""
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> Embedding:
        weights: dict[str, float] = {}
        for word in words(text):
            weights[word.stem] = weights.get(word.stem, 0.0) + word.weight
        dense = np.zeros(self._dimensions, np.float32)
        for stem, weight in weights.items():
            places, values = _features(stem, self._dimensions)
            # The square root damps repetition: a word said nine times is not nine times the topic.
            np.add.at(dense, places, values * np.float32(weight) ** 0.5)
        length = float(np.linalg.norm(dense))
        if length == 0:
            # Nothing to go by (or all of it cancelled out): a fixed direction keeps the promise of unit length.
            dense[0] = length = 1.0
        return Embedding(
            dense / np.float32(length), {zlib.crc32(stem.encode()): weight for stem, weight in weights.items()}
        )


@lru_cache(maxsize=50_000)
def _features(stem: str, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Places in the vector and what a word adds there: (features,) int64, (features,) float32."""
    marked = f"<{stem}>"
    grams = [
        marked[start : start + size]
        for size in range(_SHORTEST, min(_LONGEST, len(marked)) + 1)
        for start in range(len(marked) - size + 1)
    ]
    hashes = np.array([zlib.crc32(f"={stem}".encode()), *(zlib.crc32(gram.encode()) for gram in grams)], np.int64)
    signs = np.where(hashes >> 31 & 1, np.float32(1), np.float32(-1))
    amounts = np.array([_WHOLE_WORD] + [1 / len(grams) ** 0.5] * len(grams), np.float32)
    return hashes % dimensions, signs * amounts
