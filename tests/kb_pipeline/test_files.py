"""A folder is walked and its files read without surprises: nothing blocks, and nothing is passed over unsaid."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deployments.contracts.errors import BadInput
from kb_pipeline.files import find_files, read_file, shown
from kb_pipeline.load import MOST_BYTES


def code_of(path: Path, name: str = "a.md") -> str:
    with pytest.raises(BadInput) as refused:
        read_file(path, name)
    return refused.value.code


def test_names_are_relative_with_slashes_in_order_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    for name in ("b.md", "faq/hours.html", "faq/.git/x.md", ".env", "a.md", "ساعات/دوام.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")

    assert find_files(tmp_path) == (["a.md", "b.md", "faq/hours.html", "ساعات/دوام.md"], [])


def test_links_to_folders_are_named_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.md").write_text("x")
    (tmp_path / "real" / "loop").symlink_to(tmp_path)
    (tmp_path / "file.md").symlink_to(tmp_path / "real" / "a.md")

    names, skipped = find_files(tmp_path)

    assert names == ["file.md", "real/a.md"]
    assert [(each.file, each.code) for each in skipped] == [("real/loop", "folder_link_skipped")]


def test_links_out_of_the_folder_are_named_and_not_followed(tmp_path: Path) -> None:
    """Also those to a folder whose name begins like this one's, and those that lead through another link."""
    folder, beside = tmp_path / "in", tmp_path / "in-private"
    for each in (folder, beside):
        each.mkdir()
        (each / "a.md").write_text("x")
    (folder / "secret.md").symlink_to(beside / "a.md")
    (folder / "gone.md").symlink_to(beside / "nothing")
    (folder / "second.md").symlink_to(folder / "secret.md")
    (folder / "inside.md").symlink_to("a.md")
    (tmp_path / "named").symlink_to(folder)

    for named in (folder, tmp_path / "named"):
        names, skipped = find_files(named)

        assert names == ["a.md", "inside.md"]
        assert [each.file for each in skipped] == ["gone.md", "second.md", "secret.md"]
        assert {each.code for each in skipped} == {"file_link_skipped"}
    assert read_file(folder / "secret.md", "secret.md") == b"x"  # a link that is named itself


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by the operating system, which the superuser never is: so it is asked in its place."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.md").write_text("x")
    really = os.scandir

    def scandir(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)

    names, skipped = find_files(tmp_path)

    assert names == ["a.md"]
    assert [(each.file, each.code) for each in skipped] == [("closed", "folder_unreadable")]


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is limited to a hundred characters
    os.mkfifo("pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.md")

        assert code_of(Path("socket.md")) == "document_not_a_file"
    assert code_of(Path("pipe.md")) == "document_not_a_file"


def test_broken_and_circular_links_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.md").symlink_to(tmp_path / "self.md")

    assert code_of(tmp_path / "gone.md") == "document_unreadable"
    assert code_of(tmp_path / "self.md") == "document_unreadable"


def test_the_limit_is_exact_and_a_huge_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "fits.md").write_bytes(b"x" * MOST_BYTES)
    with (tmp_path / "huge.md").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing: reading it would fail

    assert len(read_file(tmp_path / "fits.md", "fits.md")) == MOST_BYTES
    assert code_of(tmp_path / "huge.md") == "document_too_large"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("ساعات\u200cالعمل.md", True),
        ("two words é.md", True),
        ("line\nbreak.md", False),
        ("\x1b[31mred.md", False),
        ("foreign\udcff.md", False),
    ],
)
def test_names_that_cannot_be_printed_are_escaped_and_refused(tmp_path: Path, name: str, plain: bool) -> None:
    (tmp_path / name).write_text("x")

    printable = shown(name)

    assert (printable == name) is plain
    assert printable.encode("utf-8").decode().isprintable() or plain
    assert plain or code_of(tmp_path / name, name) == "document_name_invalid"
