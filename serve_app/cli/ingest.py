"""`dukat ingest`: files and folders into a running Dukat, a few at once; each file's fate is told.

In: paths. Out: a table and a sum for people, or one JSON object; exit 0 = all went in, 1 = something did not, 2 = wrong
usage, 130 = interrupted. A document is called by its path inside the folder that was named, a single file by its name.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from deployments.contracts.errors import BadInput, DukatError
from deployments.phrases import make_phrasebook
from kb_pipeline.chunk import chunk_document, sections
from kb_pipeline.files import find_files, read_file, shown
from kb_pipeline.load import TYPES, document_id, load_document
from serve_app.caller.plain import json_line
from serve_app.cli.ingest_show import Checked, Fate, Progress, as_dict, print_checked, print_fates
from serve_app.cli.kb_client import AsJson, KnowledgeBase, StateDir, TenantId, Token, Url

AT_ONCE = 3
"""The server works on two; the third is on its way meanwhile."""
INTERRUPTED = 130


@dataclass(slots=True)
class Selection:
    """What is to be taken in, by name, and what is not, with the reason."""

    files: dict[str, Path] = field(default_factory=dict)
    skipped: list[Fate] = field(default_factory=list)


def ingest(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="Files, or folders of them: Markdown, text, HTML.")],
    tenant: TenantId = "demo",
    url: Url = "http://127.0.0.1:8000",
    token: Token = None,
    state_dir: StateDir = Path(".dukat"),
    busy_s: Annotated[float, typer.Option(min=0, help="How long a busy server is asked again, for each file.")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read the files; no server is needed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put documents into the knowledge base. What was there under the same name is replaced."""
    selection = select(paths)
    if dry_run:
        _dry_run(selection, tenant, as_json)
        return
    server = KnowledgeBase(url, tenant, token, state_dir, busy_s)
    began_s = time.monotonic()
    fates = list(selection.skipped)
    stopped, interrupted = "", False
    with Progress(len(selection.files)) as progress:

        def tell(fate: Fate) -> None:
            fates.append(fate)
            progress.tell(fate)

        try:
            asyncio.run(_send_all(server, selection.files, tell))
        except KeyboardInterrupt:
            interrupted = True
        except DukatError as error:
            # Only the first contact raises: no server, wrong tenant, wrong token. No file was sent.
            stopped = f"{error.code}: {error.detail}"
            fates += [Fate(name, code=error.code, detail=error.detail) for name in selection.files]
    known = {fate.file for fate in fates}
    fates += [
        Fate(name, code="interrupted", detail="not sent, or sent and not waited for; taking it in again does no harm")
        for name in selection.files
        if name not in known
    ]
    if as_json:
        print(json_line(as_dict(fates, tenant, url, time.monotonic() - began_s, stopped)))
    else:
        print_fates(fates, stopped)
    all_in = bool(fates) and all(fate.ok for fate in fates)
    raise typer.Exit(INTERRUPTED if interrupted else 0 if all_in else 1)


def select(paths: list[Path]) -> Selection:
    """The files under these paths. One bad file, or two that would be one document, never stop the others."""
    selection = Selection()
    by_document: dict[str, str] = {}
    for path in paths:
        if not path.is_dir():
            _choose(selection, by_document, path.name, path)
            continue
        names, skipped = find_files(path)
        selection.skipped += [Fate(each.file, code=each.code, detail=each.detail) for each in skipped]
        for name in names:
            _choose(selection, by_document, name, path / name)
    return selection


def _choose(selection: Selection, by_document: dict[str, str], name: str, file: Path) -> None:
    if shown(name) != name:
        fate = Fate(shown(name), code="document_name_invalid", detail="the name holds unprintable characters")
    elif "\\" in name:
        # The server takes it for a way out of the folder, as it is on Windows.
        fate = Fate(name, code="document_name_invalid", detail="the name holds a backslash; rename the file")
    elif PurePosixPath(name).suffix.lower() not in TYPES:
        fate = Fate(name, code="document_type_unknown", detail=f"only {', '.join(TYPES)} can be read")
    else:
        twin = by_document.setdefault(document_id(name), name)
        if twin == name and os.path.realpath(selection.files.setdefault(name, file)) == os.path.realpath(file):
            return
        # Otherwise the second of "tariffs.md" and "tariffs.html" would silently take the place of the first.
        fate = Fate(name, code="document_duplicate", detail=f"{file} and {selection.files[twin]} would be one document")
    selection.skipped.append(fate)


async def _send_all(server: KnowledgeBase, files: dict[str, Path], tell: Callable[[Fate], None]) -> None:
    """A few at once. When the server is lost, the rest is not tried: each would wait for nothing."""
    waiting = iter(files.items())
    lost: list[DukatError] = []

    async def work() -> None:
        for name, path in waiting:
            if lost:
                tell(Fate(name, code=lost[0].code, detail=f"not sent: {lost[0].detail}"))
                continue
            try:
                content = await asyncio.to_thread(_read, path, name)
                document, chunks = await server.put(content, name)
                tell(Fate(name, document, chunks))
            except DukatError as error:
                if error.code == "server_lost":
                    lost.append(error)
                tell(Fate(name, code=error.code, detail=error.detail))

    async with server, asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())


def _read(path: Path, name: str) -> bytes:
    """What the server would refuse without looking inside is not sent."""
    content = read_file(path, name)
    if not content.strip():
        raise BadInput("document_empty", f"{name} has no text", "ingest")
    return content


def _dry_run(selection: Selection, tenant: str, as_json: bool) -> None:
    checked: list[Checked] = []
    fates = list(selection.skipped)
    for name, path in selection.files.items():
        try:
            document = load_document(read_file(path, name), name, tenant)
            chunks = chunk_document(document)
        except DukatError as error:
            fates.append(Fate(name, code=error.code, detail=error.detail))
            continue
        headings = sum(bool(section.heading) for section in sections(document.text))
        phrases = len(make_phrasebook(tenant, chunks).phrases)
        checked.append(
            Checked(name, document.document, document.title, document.language, headings, phrases, len(chunks))
        )
    print_checked(checked, fates, as_json)
    raise typer.Exit(0 if checked and not fates else 1)
