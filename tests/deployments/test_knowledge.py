"""The knowledge base as its callers see it, with the real embedded engines."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from configs.engines import HashedEmbedder, LexicalReranker, LocalIndex
from deployments.contracts.errors import BadInput, StageFailed
from deployments.contracts.knowledge import Chunk, Document, Embedding, KnowledgeQuery
from deployments.embedder import Embedder
from deployments.knowledge import MOST_CHUNKS, MOST_DOCUMENT_BYTES, EmbedderPort, Knowledge
from deployments.reranker import Reranker


class GatedEmbedder:
    """The real embedder, which can be held up, or broken, in the middle of its work."""

    def __init__(self) -> None:
        self.real = Embedder(HashedEmbedder())
        self.go = asyncio.Event()
        self.go.set()
        self.waiting = asyncio.Event()
        self.broken = False

    async def embed(self, texts: list[str]) -> tuple[list[Embedding], float]:
        if self.broken:
            raise StageFailed("embedder_failed", "as the test wants it", "embedder")
        if any("HOLD" in text for text in texts):
            self.waiting.set()
            await self.go.wait()
        return await self.real.embed(texts)


def open_knowledge(folder: Path, embedder: EmbedderPort | None = None) -> Knowledge:
    return Knowledge(
        LocalIndex(), str(folder), embedder or Embedder(HashedEmbedder()), Reranker(LexicalReranker()), candidates=20
    )


def document(
    name: str, sections: dict[str, str], tenant: str = "demo", language: str = "en"
) -> tuple[Document, list[Chunk]]:
    text, chunks = "", []
    for heading, answer in sections.items():
        text += f"## {heading}\n"
        span = (len(text), len(text) + len(answer))
        text += f"{answer}\n"
        chunks.append(Chunk(tenant, name, name.title(), f"{name}.md", language, heading, answer, span))
    return Document(tenant, name, name.title(), f"{name}.md", language, text), chunks


async def texts(
    knowledge: Knowledge, question: str, tenant: str = "demo", language: str | None = None
) -> Sequence[str]:
    answer = await knowledge.find(KnowledgeQuery(tenant, question, 3, language))
    return [passage.text for passage in answer.passages]


HOURS = document("hours", {"What are your opening hours?": "From eight to six.", "Is there parking?": "Behind it."})


async def test_a_question_finds_its_passage_with_its_citation(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    assert await knowledge.put(*HOURS) == 2

    answer = await knowledge.find(KnowledgeQuery("demo", "when are you open"))

    best = answer.passages[0]
    assert (best.text, best.heading, best.document, best.title) == (
        "From eight to six.",
        "What are your opening hours?",
        "hours",
        "Hours",
    )
    assert HOURS[0].text[slice(*best.span)] == best.text
    assert (best.source, best.language) == ("hours.md", "en")
    assert best.score > 0.5
    assert answer.engine_ms > 0


async def test_at_most_k_passages_are_returned_best_first(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    await knowledge.put(*document("bills", {f"Bill number {n}": f"The bill {'due ' * n}" for n in range(1, 9)}))

    answer = await knowledge.find(KnowledgeQuery("demo", "bill due", k=5))

    scores = [passage.score for passage in answer.passages]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)


async def test_of_equals_in_one_document_the_earlier_comes_first(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    await knowledge.put(
        *document("d", {"Open early": "Long words about it and many more of them.", "Open late": "No."})
    )

    assert (await texts(knowledge, "open"))[0].startswith("Long")


async def test_a_replaced_text_changes_what_is_found(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    await knowledge.put(*HOURS)

    await knowledge.put(*document("hours", {"What are your opening hours?": "From ten to four."}))

    assert await texts(knowledge, "what are your opening hours") == ["From ten to four."]
    assert await texts(knowledge, "is there parking") == []


async def test_the_old_text_is_found_until_the_new_one_is_in(tmp_path: Path) -> None:
    embedder = GatedEmbedder()
    knowledge = open_knowledge(tmp_path, embedder)
    await knowledge.put(*HOURS)
    embedder.go.clear()

    putting = asyncio.create_task(knowledge.put(*document("hours", {"What are your opening hours?": "HOLD ten."})))
    await embedder.waiting.wait()
    during = await texts(knowledge, "what are your opening hours")
    embedder.go.set()
    await putting

    assert during[0] == "From eight to six."
    assert (await texts(knowledge, "what are your opening hours"))[0] == "HOLD ten."


async def test_a_put_that_fails_changes_nothing(tmp_path: Path) -> None:
    embedder = GatedEmbedder()
    knowledge = open_knowledge(tmp_path, embedder)
    await knowledge.put(*HOURS)

    embedder.broken = True
    with pytest.raises(StageFailed):
        await knowledge.put(*document("hours", {"What are your opening hours?": "From ten to four."}))
    embedder.broken = False

    assert (await texts(knowledge, "what are your opening hours"))[0] == "From eight to six."
    assert (await knowledge.documents("demo"))[0] == HOURS[0]


async def test_changes_take_place_in_the_order_asked_for(tmp_path: Path) -> None:
    embedder = GatedEmbedder()
    knowledge = open_knowledge(tmp_path, embedder)
    await knowledge.ready()
    embedder.go.clear()

    slow = asyncio.create_task(knowledge.put(*document("hours", {"Opening hours": "HOLD the first."})))
    await embedder.waiting.wait()
    quick = asyncio.create_task(knowledge.put(*document("hours", {"Opening hours": "The second."})))
    await asyncio.sleep(0)
    embedder.go.set()
    await asyncio.gather(slow, quick)

    assert await texts(knowledge, "opening hours") == ["The second."]


async def test_a_tenant_sees_nothing_of_another(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    await knowledge.put(*HOURS)

    assert await texts(knowledge, "what are your opening hours", tenant="other") == []
    assert await knowledge.documents("other") == []
    assert (await knowledge.phrasebook("other")).phrases == ()
    assert await knowledge.remove("other", "hours") is False
    assert len(await knowledge.documents("demo")) == 1


async def test_a_removed_document_is_gone_for_good(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    await knowledge.put(*HOURS)

    assert await knowledge.remove("demo", "hours") is True
    assert await texts(knowledge, "what are your opening hours") == []
    assert await open_knowledge(tmp_path).documents("demo") == []


async def test_documents_are_found_after_a_restart(tmp_path: Path) -> None:
    await open_knowledge(tmp_path).put(*HOURS)

    reopened = open_knowledge(tmp_path)

    assert await reopened.documents("demo") == [HOURS[0]]
    assert (await texts(reopened, "what are your opening hours"))[0] == "From eight to six."
    assert (await reopened.phrasebook("demo")).phrases == ("is there parking", "what are your opening hours")


async def test_a_start_without_embedder_is_made_good_by_the_next_request(tmp_path: Path) -> None:
    await open_knowledge(tmp_path).put(*HOURS)
    embedder = GatedEmbedder()
    embedder.broken = True
    reopened = open_knowledge(tmp_path, embedder)

    with pytest.raises(StageFailed):
        await reopened.ready()
    embedder.broken = False

    assert await reopened.ready() == {"engine": "local", "nature": "embedded"}
    assert (await texts(reopened, "what are your opening hours"))[0] == "From eight to six."


async def test_the_phrasebook_follows_the_documents(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    await knowledge.put(*HOURS)
    before = await knowledge.phrasebook("demo")

    await knowledge.put(*document("bills", {"How can I pay?": "In the app.", "كيف أدفع؟": "في التطبيق"}))
    after = await knowledge.phrasebook("demo")

    assert set(after.phrases) - set(before.phrases) == {"how can i pay"}
    assert after.key != before.key
    await knowledge.remove("demo", "bills")
    assert await knowledge.phrasebook("demo") == before


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (KnowledgeQuery("demo", " \n"), "query_empty"),
        (KnowledgeQuery("demo", "a" * 2001), "query_too_long"),
        (KnowledgeQuery("demo", "open", 0), "query_k_invalid"),
        (KnowledgeQuery("demo", "open", 21), "query_k_invalid"),
        (KnowledgeQuery("demo", "open", 3, "fr"), "language_unknown"),
        (KnowledgeQuery("../demo", "open"), "tenant_invalid"),
    ],
)
async def test_an_unusable_question_is_refused(tmp_path: Path, query: KnowledgeQuery, code: str) -> None:
    with pytest.raises(BadInput, match=code):
        await open_knowledge(tmp_path).find(query)


async def test_an_unusable_document_is_refused(tmp_path: Path) -> None:
    knowledge = open_knowledge(tmp_path)
    made, chunks = HOURS
    foreign = replace(chunks[0], tenant="other")
    cases = [
        (replace(made, text="a" * (MOST_DOCUMENT_BYTES + 1)), chunks, "document_too_large"),
        (replace(made, language="fr"), chunks, "language_unknown"),
        (made, [], "chunk_count_invalid"),
        (made, [chunks[0]] * (MOST_CHUNKS + 1), "chunk_count_invalid"),
        (made, [*chunks, foreign], "chunk_foreign"),
        (made, [replace(chunks[0], text="a" * 16_001)], "chunk_too_long"),
        (made, [replace(chunks[0], span=(0, 10_000))], "chunk_span_invalid"),
        (replace(made, tenant="../x"), [replace(chunks[0], tenant="../x")], "tenant_invalid"),
    ]

    for document_, chunks_, code in cases:
        with pytest.raises(BadInput, match=code):
            await knowledge.put(document_, chunks_)
    assert await knowledge.documents("demo") == []


async def test_it_is_healthy_without_embedder(tmp_path: Path) -> None:
    embedder = GatedEmbedder()
    embedder.broken = True

    await open_knowledge(tmp_path, embedder).check_health()
