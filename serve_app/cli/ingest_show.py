"""What `dukat ingest` shows: progress on the error stream while it works, then what became of each file."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from serve_app.caller.plain import json_line, plain

_WIDE = 400
"""Characters; there is room in a file."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one file: its document, or the code and detail of an error."""

    file: str
    document: str | None = None
    chunks: int = 0
    code: str | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.code is None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file would become."""

    file: str
    document: str
    title: str
    language: str
    headings: int
    phrases: int
    """Of the headings, what callers can say to the embedded recogniser."""
    chunks: int


class Progress:
    """A bar on a terminal, a line a file elsewhere; standard output is left to the result."""

    def __init__(self, files: int) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._files = files
        self._done = 0
        self._bar: Bar | None = None
        if self._console.is_terminal:
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[file]}", markup=False),
            )
            self._bar = Bar(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=files, file="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tell(self, fate: Fate) -> None:
        """One file more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, file=plain(fate.file))
            return
        chunks = f"{fate.chunks} chunk" if fate.chunks == 1 else f"{fate.chunks} chunks"
        said = chunks if fate.ok else f"{fate.code}: {fate.detail}"
        self._console.print(Text(plain(f"[{self._done}/{self._files}] {fate.file}: {said}")), soft_wrap=True)


def print_fates(fates: list[Fate], stopped: str) -> None:
    """The table and the sum; when nothing could be sent at all, one line says why."""
    out = result_console()
    if stopped:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(plain(f"dukat ingest: {stopped}")))
        return
    good, bad = [fate for fate in fates if fate.ok], [fate for fate in fates if not fate.ok]
    if good:
        print_table(out, ("file", "document", "chunks"), [(f.file, f.document or "", str(f.chunks)) for f in good])
    _print_skipped(out, bad)
    out.print(f"{len(good)} taken in, {len(bad)} skipped" if fates else "no files there")


def as_dict(fates: list[Fate], tenant: str, url: str, took_s: float, stopped: str) -> dict[str, Any]:
    """The same as one object."""
    good = sum(fate.ok for fate in fates)
    whole: dict[str, Any] = {"tenant": tenant, "url": url, "taken_in": good, "skipped": len(fates) - good}
    whole |= {"took_s": round(took_s, 2), "files": [dataclasses.asdict(fate) for fate in fates]}
    return {**whole, "failure": stopped} if stopped else whole


def print_checked(checked: list[Checked], fates: list[Fate], as_json: bool) -> None:
    """What would go in, and what would not."""
    if as_json:
        files = [dataclasses.asdict(each) for each in checked] + [dataclasses.asdict(fate) for fate in fates]
        print(json_line({"would_go_in": len(checked), "skipped": len(fates), "files": files}))
        return
    out = result_console()
    if checked:
        columns = ("file", "title", "language", "headings", "can be spoken", "chunks")
        rows = [(c.file, c.title, c.language, str(c.headings), str(c.phrases), str(c.chunks)) for c in checked]
        print_table(out, columns, rows)
    _print_skipped(out, fates)
    out.print(f"{len(checked)} would go in, {len(fates)} would be skipped" if checked or fates else "no files there")


def _print_skipped(out: Console, fates: list[Fate]) -> None:
    if fates:
        print_table(out, ("skipped", "code", "why"), [(fate.file, fate.code or "", fate.detail) for fate in fates])


def result_console() -> Console:
    """Standard output. Nothing in a table is cut off: on a terminal it goes on in the next line, in a file it fits."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDE)


def print_table(out: Console, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Rows of foreign text under their columns."""
    table = Table(box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    out.print(table)
