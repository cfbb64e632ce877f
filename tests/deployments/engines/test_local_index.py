"""The index finds a tenant's own chunks and nobody else's, replaces at once, and keeps what it was given."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.engines import HashedEmbedder as EmbedderSettings
from configs.engines import LocalIndex as Settings
from deployments.contracts.errors import BadInput
from deployments.contracts.knowledge import Chunk, Document, Embedding
from deployments.engines.hashed_embedder import HashedEmbedder
from deployments.engines.local_index import LocalIndex
from deployments.loading import load

EMBEDDER = HashedEmbedder(EmbedderSettings())
TENANTS = ("demo", "other", "third")


def put(index: LocalIndex, tenant: str, name: str, texts: list[str], language: str = "en") -> None:
    document = Document(tenant, name, name, f"{name}.md", language, "\n".join(texts))
    chunks = [Chunk(tenant, name, name, document.source, language, "", text, (0, len(text))) for text in texts]
    index.replace(document, chunks, EMBEDDER.embed(texts))


def find(index: LocalIndex, tenant: str, text: str, language: str | None = None, limit: int = 20) -> list[str]:
    return [chunk.text for chunk, _ in index.search(tenant, EMBEDDER.embed([text])[0], limit, language)]


@pytest.fixture
def index(tmp_path: Path) -> LocalIndex:
    return load(Settings(), str(tmp_path / "documents"))


def test_the_best_chunk_comes_first_and_scores_fall(index: LocalIndex) -> None:
    put(index, "demo", "all", ["pay the bill in the app", "report a water leak", "opening hours on friday"])

    found = index.search("demo", EMBEDDER.embed(["a water leak"])[0], 20, None)

    assert found[0][0].text == "report a water leak"
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


def test_chunks_that_share_nothing_are_not_found(index: LocalIndex) -> None:
    put(index, "demo", "all", ["pay the bill in the app", "report a water leak"])

    assert find(index, "demo", "elephants") == []


def test_no_more_than_the_limit_is_found(index: LocalIndex) -> None:
    put(index, "demo", "all", [f"bill number {number}" for number in range(30)])

    assert len(find(index, "demo", "bill", limit=7)) == 7


def test_rare_words_count_more_than_common_ones(index: LocalIndex) -> None:
    put(index, "demo", "all", [*(f"bill number {number}" for number in range(6)), "refund slip"])

    (asked,) = EMBEDDER.embed(["bill refund"])
    only_terms = Embedding(np.zeros_like(asked.dense), asked.sparse)

    assert index.search("demo", only_terms, 20, None)[0][0].text == "refund slip"


def test_a_misspelt_word_is_found_by_its_parts(index: LocalIndex) -> None:
    put(index, "demo", "all", ["installment plan", "water leak", "friday noon"])

    assert find(index, "demo", "instalments")[0] == "installment plan"


@settings(max_examples=60, deadline=None)
@given(
    placed=st.lists(
        st.tuples(st.sampled_from(TENANTS), st.sampled_from(["a", "b"]), st.sampled_from(["water", "bill", "leak"])),
        max_size=12,
    ),
    removed=st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from(["a", "b"])), max_size=4),
    asker=st.sampled_from(TENANTS),
)
def test_a_tenant_finds_exactly_its_own_chunks(
    tmp_path_factory: pytest.TempPathFactory,
    placed: list[tuple[str, str, str]],
    removed: list[tuple[str, str]],
    asker: str,
) -> None:
    index = LocalIndex(Settings(), str(tmp_path_factory.mktemp("index")))
    expected: dict[tuple[str, str], str] = {}
    for tenant, name, word in placed:
        put(index, tenant, name, [f"{word} of {tenant}"])
        expected[tenant, name] = f"{word} of {tenant}"
    for tenant, name in removed:
        index.delete(tenant, name)
        expected.pop((tenant, name), None)

    found = find(index, asker, "water bill leak")

    assert sorted(found) == sorted(text for (tenant, _), text in expected.items() if tenant == asker)


def test_chunks_of_the_asked_language_are_preferred(index: LocalIndex) -> None:
    put(index, "demo", "en", ["tariff 2025 of the app"], "en")
    put(index, "demo", "ar", ["تعرفة 2025 app"], "ar")

    assert find(index, "demo", "tariff 2025", "ar") == ["تعرفة 2025 app"]
    assert find(index, "demo", "tariff 2025", "en") == ["tariff 2025 of the app"]
    assert len(find(index, "demo", "tariff 2025", None)) == 2


def test_another_language_is_better_than_nothing(index: LocalIndex) -> None:
    put(index, "demo", "en", ["opening hours"], "en")
    put(index, "demo", "ar", ["كيف أقدم شكوى"], "ar")

    assert find(index, "demo", "opening hours", "ar") == ["opening hours"]


def test_replacing_takes_the_old_chunks_away(index: LocalIndex) -> None:
    put(index, "demo", "hours", ["open until five", "closed on sunday"])

    put(index, "demo", "hours", ["open until seven"])

    assert find(index, "demo", "open closed sunday until") == ["open until seven"]


def test_a_replacement_that_fails_leaves_the_old_chunks(index: LocalIndex, tmp_path: Path) -> None:
    put(index, "demo", "hours", ["open until five"])
    document = Document("demo", "hours", "", "", "en", "new")
    chunk = Chunk("demo", "hours", "", "", "en", "", "new", (0, 3))

    with pytest.raises(ValueError):
        index.replace(document, [chunk, chunk], EMBEDDER.embed(["one embedding for two chunks"]))

    assert find(index, "demo", "open until five") == ["open until five"]
    (kept,) = LocalIndex(Settings(), str(tmp_path / "documents")).unembedded()
    assert kept[1][0].text == "open until five"


def test_deleting_removes_every_chunk_and_says_whether_there_was_any(index: LocalIndex) -> None:
    put(index, "demo", "hours", ["open until five", "open on friday"])

    assert index.delete("demo", "hours") is True
    assert index.delete("demo", "hours") is False
    assert find(index, "demo", "open") == []
    assert index.documents("demo") == []


def test_what_was_put_in_is_there_after_a_restart(index: LocalIndex, tmp_path: Path) -> None:
    put(index, "demo", "hours", ["open until five", "مفتوح يوم الجمعة"])
    put(index, "other", "gone", ["to be deleted"])
    index.delete("other", "gone")

    reopened = LocalIndex(Settings(), str(tmp_path / "documents"))

    assert reopened.documents("demo") == index.documents("demo")
    ((document, chunks),) = reopened.unembedded()
    assert chunks == index.chunks("demo")
    reopened.replace(document, chunks, EMBEDDER.embed([chunk.text for chunk in chunks]))
    assert reopened.unembedded() == []
    assert find(reopened, "demo", "open until five") == ["open until five"]
    assert reopened.documents("demo") == [document]


@pytest.mark.parametrize("tenant", ["", "..", "../demo", "a/b", "Demo", "demo\n", "-demo", "d" * 65, "دبي"])
def test_a_tenant_id_that_is_no_id_is_refused(index: LocalIndex, tenant: str) -> None:
    with pytest.raises(BadInput, match="tenant_invalid"):
        put(index, tenant, "hours", ["open"])
    with pytest.raises(BadInput, match="tenant_invalid"):
        find(index, tenant, "open")
    with pytest.raises(BadInput, match="tenant_invalid"):
        index.delete(tenant, "hours")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a\\b", "a\0b", "x" * 129, "Hours"])
def test_a_document_id_that_is_no_id_is_refused(index: LocalIndex, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="document_id_invalid"):
        put(index, "demo", name, ["open"])
    with pytest.raises(BadInput, match="document_id_invalid"):
        index.delete("demo", name)

    assert not list(tmp_path.rglob("*.json"))
