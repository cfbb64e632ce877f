"""Vectors of one text are the same everywhere, of unit length, and near for texts with common words."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from configs.engines import HashedEmbedder as Settings
from deployments.engines.hashed_embedder import HashedEmbedder

EMBEDDER = HashedEmbedder(Settings())


def cosine(one: str, other: str) -> float:
    left, right = EMBEDDER.embed([one, other])
    return float(left.dense @ right.dense)


@given(st.text())
def test_every_text_has_a_dense_vector_of_unit_length(text: str) -> None:
    (embedding,) = EMBEDDER.embed([text])

    assert embedding.dense.shape == (512,)
    assert embedding.dense.dtype == np.float32
    assert abs(float(np.linalg.norm(embedding.dense)) - 1) < 1e-5


def test_another_process_makes_the_same_vectors() -> None:
    text = "How can I pay my bill? كيف أدفع الفاتورة؟"
    program = (
        "from configs.engines import HashedEmbedder as S; from deployments.engines.hashed_embedder import *;"
        f"e = HashedEmbedder(S()).embed([{text!r}])[0]; print(e.dense.tobytes().hex(), sorted(e.sparse.items()))"
    )
    # Python's own hash differs with this seed; vectors must not.
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    (embedding,) = EMBEDDER.embed([text])

    assert made.stdout.split()[0] == embedding.dense.tobytes().hex()
    assert made.stdout.partition(" ")[2].strip() == str(sorted(embedding.sparse.items()))


def test_texts_with_common_words_are_nearer() -> None:
    assert cosine("pay my bill", "paying bills") > 0.8
    assert cosine("opening hours", "opning hours") > 0.5
    assert cosine("pay my bill", "solar panels") < 0.2


def test_vowel_signs_do_not_change_the_vector() -> None:
    assert cosine("سَاعَاتُ العَمَلِ", "ساعات العمل") > 0.999


def test_sparse_weights_count_words_and_stop_words_count_little() -> None:
    (one,), (two,) = EMBEDDER.embed(["the bill"]), EMBEDDER.embed(["bills and bills"])

    (common,) = one.sparse.keys() & two.sparse.keys()
    assert two.sparse[common] == 2 * one.sparse[common]
    assert sorted(one.sparse.values())[0] < 0.1 * one.sparse[common]


def test_many_texts_together_are_as_each_alone() -> None:
    texts = ["one bill", "", "two meters", "ثلاث فواتير"]

    together = EMBEDDER.embed(texts)

    for text, embedding in zip(texts, together, strict=True):
        (alone,) = EMBEDDER.embed([text])
        assert np.array_equal(alone.dense, embedding.dense)
        assert alone.sparse == embedding.sparse
