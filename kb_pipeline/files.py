"""The files of a folder, safely: what may be read is listed, and of the rest it is said why not.

In: a folder. Out: names relative to it, with "/" between, in order. Hidden files and folders are passed over in
silence; links to folders and out of the folder, sockets, pipes and what cannot be read are named. Nothing is opened
that could block, and never more read than a document may have.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from deployments.contracts.errors import BadInput
from kb_pipeline.load import MOST_BYTES

_NOT_IN_NAMES = frozenset(["Cc", "Cs", "Zl", "Zp"])
"""Unicode categories: control characters, bytes that are no UTF-8, ends of lines. (Cf is in names of Arabic script.)"""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was not looked into."""

    file: str
    code: str
    detail: str


def find_files(folder: Path) -> tuple[list[str], list[Skipped]]:
    """Names of the files, and what is skipped. Raises `BadInput` when there is no such folder."""
    if not folder.is_dir():
        raise BadInput("folder_missing", f"{shown(str(folder))} is not a folder", "ingest")
    names: list[str] = []
    skipped: list[Skipped] = []

    def unreadable(error: OSError) -> None:
        name = shown(Path(os.path.relpath(error.filename, folder)).as_posix())
        skipped.append(Skipped(name, "folder_unreadable", f"the folder {name} cannot be opened: {error.strerror}"))

    # Links to folders are not followed: they may lead in a circle, or out of what was meant to be taken in. Links to
    # files may lead out as well; those that stay inside (a folder mounted by Kubernetes has them) are like others.
    inside = os.path.join(os.path.realpath(folder), "")
    for place, folders, files in os.walk(folder, onerror=unreadable):
        within = Path(place).relative_to(folder)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if Path(place, name).is_symlink():
                link = shown((within / name).as_posix())
                skipped.append(Skipped(link, "folder_link_skipped", f"{link} is a link to a folder; name it itself"))
        for name in (name for name in files if not name.startswith(".")):
            path = Path(place, name)
            if path.is_symlink() and not os.path.realpath(path).startswith(inside):
                link = shown((within / name).as_posix())
                detail = f"{link} is a link that leads out of the folder; name it itself"
                skipped.append(Skipped(link, "file_link_skipped", detail))
            else:
                names.append((within / name).as_posix())
    return sorted(names), sorted(skipped, key=lambda each: each.file)


def read_file(path: Path, name: str) -> bytes:
    """The file's bytes, called `name` in errors. Raises `BadInput`."""
    if any(unicodedata.category(char) in _NOT_IN_NAMES for char in name):
        raise BadInput("document_name_invalid", f"{shown(name)}: the name holds unprintable characters", "ingest")
    try:
        # A pipe would otherwise wait here for its writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise BadInput("document_not_a_file", f"{name} is no ordinary file", "ingest")
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        if stat.S_ISSOCK(_mode(path)):
            raise BadInput("document_not_a_file", f"{name} is no ordinary file", "ingest") from error
        raise BadInput("document_unreadable", f"{name}: {error.strerror}", "ingest") from error
    if len(content) > MOST_BYTES:
        raise BadInput("document_too_large", f"{name} has more than {MOST_BYTES} bytes", "ingest", 413)
    return content


def shown(name: str) -> str:
    """The name as it can be printed anywhere: control characters and foreign bytes escaped."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _NOT_IN_NAMES else char for char in name
    )


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0
