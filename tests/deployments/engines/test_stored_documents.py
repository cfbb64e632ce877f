"""Documents on disk: whole or not at all."""

import os
from pathlib import Path

import pytest

from deployments.contracts.knowledge import Chunk, Document
from deployments.engines.stored_documents import StoredDocuments


def document(text: str) -> tuple[Document, list[Chunk]]:
    made = Document("demo", "hours.en", "Hours", "hours.en.md", "en", text)
    return made, [Chunk("demo", "hours.en", "Hours", "hours.en.md", "en", "Open?", text, (0, len(text)))]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    StoredDocuments(str(tmp_path)).write(*document("من الثامنة"))

    assert list(StoredDocuments(str(tmp_path)).read_all()) == [document("من الثامنة")]


def test_a_crash_while_writing_leaves_the_old_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredDocuments(str(tmp_path))
    stored.write(*document("old"))

    def power_cut(*_: object) -> None:
        raise OSError("no power")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", power_cut)
        with pytest.raises(OSError, match="no power"):
            stored.write(*document("new"))

    assert list(StoredDocuments(str(tmp_path)).read_all()) == [document("old")]
    stored.write(*document("new"))
    assert list(StoredDocuments(str(tmp_path)).read_all()) == [document("new")]


def test_a_damaged_file_is_reported_and_the_others_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    StoredDocuments(str(tmp_path)).write(*document("good"))
    for name, content in {"cut": '{"version": 1, "docu', "list": "[]", "later": '{"version": 9}'}.items():
        (tmp_path / "demo" / f"{name}.json").write_text(content)
    (tmp_path / "demo" / "copy.json").write_bytes((tmp_path / "demo" / "hours.en.json").read_bytes())

    read = list(StoredDocuments(str(tmp_path)).read_all())

    assert read == [document("good")]
    assert [record.message for record in caplog.records] == ["knowledge.document_damaged"] * 4


def test_writing_the_same_again_touches_nothing(tmp_path: Path) -> None:
    stored = StoredDocuments(str(tmp_path))
    stored.write(*document("same"))
    before = (tmp_path / "demo" / "hours.en.json").stat().st_ino

    stored.write(*document("same"))

    assert (tmp_path / "demo" / "hours.en.json").stat().st_ino == before
