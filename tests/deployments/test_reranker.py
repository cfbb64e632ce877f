"""The reranker's deployment: bounded input, scores in order, the engine's own time."""

import pytest

from configs.engines import LexicalReranker as Settings
from deployments.contracts.errors import BadInput, StageFailed
from deployments.reranker import MOST_PASSAGE_CHARS, MOST_PASSAGES, MOST_QUESTION_CHARS, Reranker


async def test_scores_stand_in_the_order_of_the_passages() -> None:
    reranker = Reranker(Settings())

    scores, engine_ms = await reranker.score("pay my bill", ["solar panels", "pay my bill", "pay the fine"])

    assert scores[1] > scores[2] > scores[0]
    assert engine_ms > 0


@pytest.mark.parametrize(
    ("question", "passages", "code"),
    [
        ("a", ["b"] * (MOST_PASSAGES + 1), "too_many_passages"),
        ("a" * (MOST_QUESTION_CHARS + 1), ["b"], "text_too_long"),
        ("a", ["b" * (MOST_PASSAGE_CHARS + 1)], "text_too_long"),
    ],
)
async def test_too_much_at_once_is_refused(question: str, passages: list[str], code: str) -> None:
    with pytest.raises(BadInput, match=code):
        await Reranker(Settings()).score(question, passages)


async def test_a_failing_engine_is_a_failed_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    reranker = Reranker(Settings())

    def fail(question: str, passages: list[str]) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(reranker, "_engine", type("Broken", (), {"score": staticmethod(fail)}))

    with pytest.raises(StageFailed, match="reranker_failed"):
        await reranker.score("a", ["b"])
    with pytest.raises(StageFailed):
        await reranker.check_health()


async def test_it_says_which_engine_it_is() -> None:
    assert await Reranker(Settings()).ready() == {"engine": "lexical", "nature": "embedded"}
