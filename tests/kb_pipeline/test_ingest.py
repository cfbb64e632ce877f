"""A folder goes in file by file; each file's fate is told, and a bad one stops nothing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from deployments.contracts.errors import BadInput, StageFailed
from deployments.contracts.knowledge import Chunk, Document
from kb_pipeline.ingest import FileResult, Ingested, ingest_document, ingest_folder


class FakeStore:
    """Keeps what is put into it; fails for one document."""

    def __init__(self, failing: str = "") -> None:
        self.kept: dict[str, tuple[Document, Sequence[Chunk]]] = {}
        self.failing = failing

    async def put(self, document: Document, chunks: Sequence[Chunk]) -> int:
        if document.document == self.failing:
            raise StageFailed("embedder_failed", "down", "embedder")
        self.kept[document.document] = (document, chunks)
        return len(chunks)

    async def remove(self, tenant: str, document: str) -> bool:
        return self.kept.pop(document, None) is not None

    async def documents(self, tenant: str) -> list[Document]:
        return [document for document, _ in self.kept.values()]


async def test_a_document_is_stored_with_its_chunks() -> None:
    store = FakeStore()

    done = await ingest_document(store, b"# A\none\n# B\ntwo", "hours.en.md", "demo")

    assert done == Ingested("hours.en", 2)
    document, chunks = store.kept["hours.en"]
    assert document.tenant == "demo"
    assert [chunk.text for chunk in chunks] == ["one", "two"]


async def test_an_unusable_document_is_refused_and_not_stored() -> None:
    store = FakeStore()

    with pytest.raises(BadInput, match="document_type_unknown"):
        await ingest_document(store, b"%PDF", "hours.pdf", "demo")

    assert store.kept == {}


async def test_one_bad_file_never_stops_the_rest(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.md").write_text("# A\ntext")
    (tmp_path / "b.md").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.pdf").write_bytes(b"%PDF")
    (tmp_path / "d.md").write_text("# down\ntext")
    (tmp_path / "e.md").write_text("")
    (tmp_path / "sub" / "a.md").write_text("another")
    (tmp_path / ".hidden.md").write_text("not taken")
    store = FakeStore(failing="d")
    heard: list[tuple[int, int, FileResult]] = []

    results = await ingest_folder(store, "demo", tmp_path, lambda *told: heard.append(told))

    assert [(result.file, result.code or result.chunks) for result in results] == [
        ("a.md", 1),
        ("b.md", "document_not_utf8"),
        ("c.pdf", "document_type_unknown"),
        ("d.md", "embedder_failed"),
        ("e.md", "document_empty"),
        ("sub/a.md", 1),
    ]
    assert [result.ok for result in results] == [True, False, False, False, False, True]
    assert set(store.kept) == {"a", "sub.a"}
    assert heard == [(number, 6, result) for number, result in enumerate(results, 1)]


async def test_two_files_of_one_identity_do_not_replace_each_other(tmp_path: Path) -> None:
    (tmp_path / "tariffs.md").write_text("first")
    (tmp_path / "tariffs.txt").write_text("second")
    store = FakeStore()

    results = await ingest_folder(store, "demo", tmp_path)

    assert [result.code for result in results] == [None, "document_duplicate"]
    assert store.kept["tariffs"][0].text == "first"


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="folder_missing"):
        await ingest_folder(FakeStore(), "demo", tmp_path / "nothing")


async def test_what_is_passed_over_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<h1>A</h1>text")
    (tmp_path / "again").symlink_to(tmp_path)
    heard: list[tuple[int, int, str]] = []

    results = await ingest_folder(FakeStore(), "demo", tmp_path, lambda n, of, told: heard.append((n, of, told.file)))

    assert [(result.file, result.code) for result in results] == [("again", "folder_link_skipped"), ("a.html", None)]
    assert heard == [(1, 2, "again"), (2, 2, "a.html")]
