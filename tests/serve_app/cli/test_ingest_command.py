"""`dukat ingest`, `documents`, `forget` against a real small server: real HTTP, real ingestion, the embedded index."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from configs.engines import HashedEmbedder, LexicalReranker, LocalIndex
from deployments.contracts.errors import NotAllowed
from deployments.embedder import Embedder
from deployments.knowledge import Knowledge
from deployments.reranker import Reranker
from kb_pipeline.ingest import ingest_document
from serve_app.api import build_api
from serve_app.cli import main
from serve_app.problems import problem
from tests.serve_app.test_api import FakeTenant, Ingested, services

Run = Callable[..., tuple[int, str, str]]


@contextmanager
def serving(app: ASGIApp) -> Iterator[tuple[str, uvicorn.Server]]:
    """The application on a port of its own; the address, and the server that can be told to stop."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join()


def allow(request: Request, tenant: FakeTenant) -> None:
    """As the gate does: a wrong token is wrong even where none is needed."""
    given = request.headers.get("authorization")
    if given is None and not tenant.open:
        raise NotAllowed("token_missing", "this needs a token")
    if given not in (None, "Bearer good"):
        raise NotAllowed("token_invalid", "the token is not one of this installation")


class House:
    """A server with a knowledge base."""

    def __init__(self, folder: Path) -> None:
        embedder, reranker = Embedder(HashedEmbedder()), Reranker(LexicalReranker())
        self.knowledge = Knowledge(LocalIndex(), str(folder), embedder, reranker, candidates=20)
        self.app = build_api(services(knowledge=self.knowledge, ingest_document=self._ingest, allow=allow))
        self.sent: list[str] = []

    async def _ingest(self, content: bytes, filename: str, tenant: str) -> Any:
        self.sent.append(filename)
        return await ingest_document(self.knowledge, content, filename, tenant)

    def texts(self, tenant: str = "demo") -> dict[str, str]:
        return {each.source: each.text for each in asyncio.run(self.knowledge.documents(tenant))}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "index")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder of files that can be taken in."""
    folder = tmp_path / "files"
    for name, text in {
        "hours.md": "# Opening hours\nFrom eight to six.\n## Is there parking?\nBehind the house.",
        "faq/hours.html": "<h1>Questions</h1><dl><dt>How do I pay?<dd>In the app.</dl>",
        "خدمات/ساعات العمل.txt": "نفتح من الثامنة.",
        ".hidden.md": "# not taken",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command as it is typed: (exit code, standard output, error output)."""
    monkeypatch.chdir(tmp_path)  # no `.dukat` of this machine is seen
    monkeypatch.delenv("DUKAT_TOKEN", raising=False)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dukat", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


def fates(out: str) -> dict[str, str | None]:
    """File → code, from `--json`."""
    return {each["file"]: each["code"] for each in json.loads(out.splitlines()[-1])["files"]}


# ---------------------------------------------------------------- what goes in


def test_a_folder_goes_in_and_can_be_asked_for_at_once(run: Run, house: House, files: Path) -> None:
    with serving(house.app) as (url, _):
        code, out, err = run("ingest", files, "--url", url)

        assert set(house.texts()) == {"hours.md", "faq/hours.html", "خدمات/ساعات العمل.txt"}
        book = asyncio.run(house.knowledge.phrasebook("demo"))
    assert (code, out.splitlines()[-1]) == (0, "3 taken in, 0 skipped")
    assert book.phrases == ("how do i pay", "is there parking", "opening hours")
    assert "faq/hours.html" in out
    assert "[3/3]" in err


def test_a_single_file_is_called_by_its_name(run: Run, house: House, files: Path) -> None:
    with serving(house.app) as (url, _):
        code, out, _ = run("ingest", files / "faq" / "hours.html", files / "hours.md", "--url", url, "--json")

    assert code == 1  # both would be "hours"
    assert fates(out) == {"hours.html": None, "hours.md": "document_duplicate"}
    assert set(house.texts()) == {"hours.html"}


def test_taking_the_same_in_again_changes_nothing(run: Run, house: House, files: Path) -> None:
    with serving(house.app) as (url, _):
        run("ingest", files, "--url", url)
        before = house.texts()
        code, _, _ = run("ingest", files, files, files / "hours.md", "--url", url)

    assert (code, house.texts()) == (0, before)
    assert sorted(house.sent) == sorted([*before, *before])  # and what is named twice is sent once


def test_one_object_as_the_last_line(run: Run, house: House, files: Path) -> None:
    with serving(house.app) as (url, _):
        _, out, _ = run("ingest", files, "--url", url, "--tenant", "souk", "--json")

    said = json.loads(out)
    assert (said["tenant"], said["taken_in"], said["skipped"]) == ("souk", 3, 0)
    assert {each["file"]: each["chunks"] for each in said["files"]}["hours.md"] == 2
    assert set(house.texts("souk")) and not house.texts("demo")


def test_a_bad_file_is_told_and_stops_no_other(run: Run, house: House, files: Path) -> None:
    (files / "latin.md").write_bytes("Prix réduit".encode("latin-1"))
    (files / "empty.md").write_text(" \n")
    (files / "only-scripts.html").write_text("<script>x()</script>")
    (files / "picture.png").write_bytes(b"\x89PNG")
    (files / "hours.txt").write_text("another")
    (files / "again").symlink_to(files)
    (files / "gone.md").symlink_to(files / "nothing")
    (files / "passwd.txt").symlink_to("/etc/passwd")
    (files / "back\\slash.md").write_text("x")
    (files / "line\nbreak.md").write_text("x")
    (files / os.fsdecode(b"\xff.md")).write_text("x")
    os.mkfifo(files / "pipe.md")
    with (files / "huge.md").open("wb") as file:
        file.truncate(1 << 40)
    with serving(house.app) as (url, _):
        code, out, _ = run("ingest", files, "--url", url, "--json")
        again, table, err = run("ingest", files, "--url", url)

    assert (code, again) == (1, 1)
    assert {file: why for file, why in fates(out).items() if why} == {
        "latin.md": "document_not_utf8",
        "empty.md": "document_empty",
        "only-scripts.html": "document_empty",
        "picture.png": "document_type_unknown",
        "hours.txt": "document_duplicate",
        "again": "folder_link_skipped",
        "gone.md": "document_unreadable",
        "passwd.txt": "file_link_skipped",
        "back\\slash.md": "document_name_invalid",
        "line\\nbreak.md": "document_name_invalid",
        "\\udcff.md": "document_name_invalid",
        "pipe.md": "document_not_a_file",
        "huge.md": "document_too_large",
    }
    assert set(house.texts()) == {"hours.md", "faq/hours.html", "خدمات/ساعات العمل.txt"}
    assert table.splitlines()[-1] == "3 taken in, 13 skipped"
    assert "the name holds a backslash" in table
    assert "byte 6 is not UTF-8" in table
    assert "document_too_large" in err
    assert not {"empty.md", "picture.png", "huge.md"} & set(house.sent)


def test_an_empty_folder_is_said_to_be_empty(run: Run, house: House, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with serving(house.app) as (url, _):
        assert run("ingest", tmp_path / "nothing", "--url", url)[:2] == (1, "no files there\n")


EVIL = "\x1b]0;pwned\x07\u202e"


def test_what_documents_and_their_names_hold_does_not_steer_the_terminal(
    run: Run, house: House, tmp_path: Path
) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "a\u202e.md").write_text(f"# Title {EVIL}\ntext", "utf-8")
    (tmp_path / "evil" / f"b{EVIL}.md").write_text("x")
    with serving(house.app) as (url, _):
        said = [
            run("ingest", tmp_path / "evil", "--url", url),
            run("ingest", tmp_path / "evil", "--url", url, "--json"),
            run("ingest", tmp_path / "evil", "--dry-run"),
            run("ingest", tmp_path / "evil", "--dry-run", "--json"),
            run("documents", "--url", url),
            run("documents", "--url", url, "--json"),
            run("forget", "x\u202e", "--url", url),
            run("forget", "x\u202e", "--url", url, "--json"),
        ]

    for _, out, err in said:
        assert "\\u202e" in out + err
        assert not {"\x1b", "\x07", "\u202e"} & set(out + err)
    assert json.loads(said[5][1])["documents"][0]["source"] == "a\u202e.md"


def test_an_error_of_a_server_does_not_steer_the_terminal(run: Run, files: Path) -> None:
    async def evil(scope: Scope, receive: Receive, send: Send) -> None:
        await problem(400, EVIL, EVIL)(scope, receive, send)

    with serving(evil) as (url, _):
        said = [run("ingest", files, "--url", url), run("documents", "--url", url)]

    for code, out, err in said:
        assert code == 1 and "\\x1b]0;pwned" in err
        assert not {"\x1b", "\x07", "\u202e"} & set(out + err)


def test_one_chunk_is_one_chunk(run: Run, house: House, tmp_path: Path) -> None:
    with serving(house.app) as (url, _):
        _, _, err = run("ingest", names(1, tmp_path / "one"), "--url", url)

    assert err == "[1/1] 00.md: 1 chunk\n"


# ---------------------------------------------------------------- server, tenant, token


def test_without_a_server_one_line_says_what_to_do(run: Run, files: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        url = f"http://127.0.0.1:{door.getsockname()[1]}"

    code, out, err = run("ingest", files, "--url", url)

    assert (code, out) == (1, "")
    assert err == f"dukat ingest: server_unreachable: no Dukat at {url}: start it with make run\n"


@pytest.mark.parametrize("says", ["hello", '{"hello": 1}', "[]", "null"])
def test_another_server_is_not_taken_for_dukat(run: Run, files: Path, says: str) -> None:
    with serving(PlainTextResponse(says)) as (url, _):
        code, _, err = run("ingest", files, "--url", url)

    assert code == 1
    assert "not_dukat" in err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tenant", "nobody"], "tenant_unknown"),
        (["--tenant", "bank"], "token_missing"),
        (["--tenant", "bank", "--token", "wrong"], "token_invalid"),
        (["--tenant", "demo", "--token", "wrong"], "token_invalid"),
    ],
)
def test_a_wrong_tenant_or_token_is_named_and_nothing_sent(
    run: Run, house: House, files: Path, words: list[str], why: str
) -> None:
    with serving(house.app) as (url, _):
        code, out, err = run("ingest", files, "--url", url, *words)
        _, as_json, _ = run("ingest", files, "--url", url, *words, "--json")

    assert (code, out, house.sent) == (1, "", [])
    assert err.count("\n") == 1
    assert err.startswith(f"dukat ingest: {why}")
    assert set(fates(as_json).values()) == {why}


def test_the_token_is_given_or_found_in_the_state_folder(run: Run, house: House, files: Path, tmp_path: Path) -> None:
    (tmp_path / "state" / "keys").mkdir(parents=True)
    key = tmp_path / "state" / "keys" / "api.token"
    with serving(house.app) as (url, _):
        key.write_text("good\n")
        found, _, _ = run("ingest", files, "--url", url, "--tenant", "bank", "--state-dir", tmp_path / "state")
        given, _, _ = run("ingest", files, "--url", url, "--tenant", "bank", "--token", "good")
        key.write_text("of another installation")
        stale, _, _ = run("ingest", files, "--url", url, "--tenant", "demo", "--state-dir", tmp_path / "state")

    assert (found, given, stale) == (0, 0, 0)


@pytest.mark.parametrize(
    "words",
    [
        ["no/such/file.md"],
        [],
        [".", "--url", "127.0.0.1:8000"],
        [".", "--url", "ftp://host"],
        [".", "--url", "http://[bad"],
        [".", "--token", "line\nbreak"],
        [".", "--speed", "9"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, words: list[str]) -> None:
    assert run("ingest", *words)[0] == 2


class Busy:
    """Says 503 to the first uploads."""

    def __init__(self, app: ASGIApp, refusals: int) -> None:
        self.app = app
        self.left = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and self.left:
            self.left -= 1
            answer: Response = problem(503, "ingest_busy", "too many", headers={"Retry-After": "0"})
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def test_a_busy_server_is_asked_again(run: Run, house: House, files: Path) -> None:
    busy = Busy(house.app, refusals=5)
    with serving(busy) as (url, _):
        code, _, _ = run("ingest", files, "--url", url)

    assert (code, busy.left, len(house.texts())) == (0, 0, 3)


def test_patience_has_an_end(run: Run, house: House, files: Path) -> None:
    class AlwaysBusy(Busy):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["method"] == "POST":
                await problem(503, "ingest_busy", "too many", headers={"Retry-After": "1"})(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    with serving(AlwaysBusy(house.app, 0)) as (url, _):
        code, out, _ = run("ingest", files, "--url", url, "--busy-s", "0.5", "--json")

    assert code == 1
    assert set(fates(out).values()) == {"ingest_busy"}


def names(count: int, folder: Path) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:02}.md").write_text(f"# {number}\ntext")
    return folder


def test_when_the_server_dies_the_rest_is_told_as_not_sent(run: Run, tmp_path: Path) -> None:
    stop: list[uvicorn.Server] = []

    async def ingest(content: bytes, filename: str, tenant: str) -> Ingested:
        if int(filename.removesuffix(".md")) >= 4:
            stop[0].should_exit = True
            await asyncio.Event().wait()
        return Ingested(filename, 1)

    with serving(build_api(services(ingest_document=ingest))) as (url, server):
        stop.append(server)
        code, out, _ = run("ingest", names(20, tmp_path / "files"), "--url", url, "--json")

    told = json.loads(out)
    assert code == 1
    assert 2 <= told["taken_in"] <= 4
    assert fates(out)["04.md"] in ("server_lost", "shut_down")
    assert len(told["files"]) == 20
    assert [each for each in told["files"] if each["code"] == "server_lost" and each["detail"].startswith("not sent")]


def test_a_job_that_the_server_forgot_is_told(run: Run, tmp_path: Path, house: House) -> None:
    class Forgets(Busy):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"].startswith("/v1/kb/documents/"):
                await problem(404, "document_unknown", "no such job")(scope, receive, send)
            else:
                await self.app(scope, receive, send)

    with serving(Forgets(house.app, 0)) as (url, _):
        code, out, _ = run("ingest", names(1, tmp_path / "one"), "--url", url, "--json")

    assert (code, fates(out)) == (1, {"00.md": "job_lost"})


def test_ctrl_c_tells_what_was_done(run: Run, tmp_path: Path) -> None:
    async def ingest(content: bytes, filename: str, tenant: str) -> Ingested:
        if filename == "03.md":  # sent only when one of the first three is told
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        return Ingested(filename, 1)

    with serving(build_api(services(ingest_document=ingest))) as (url, _):
        code, out, _ = run("ingest", names(6, tmp_path / "six"), "--url", url)

    assert code == 130
    assert out.count("interrupted") >= 2
    last = out.splitlines()[-1].split()
    assert (last[1:3], int(last[0]) >= 1, int(last[0]) + int(last[3])) == (["taken", "in,"], True, 6)


# ---------------------------------------------------------------- without a server


def test_a_dry_run_needs_no_server_and_tells_what_can_be_spoken(run: Run, files: Path) -> None:
    code, out, _ = run("ingest", files, "--dry-run", "--url", "http://127.0.0.1:9")
    _, as_json, _ = run("ingest", files, "--dry-run", "--json")

    assert code == 0
    assert out.splitlines()[-1] == "3 would go in, 0 would be skipped"
    told = {each["file"]: each for each in json.loads(as_json)["files"]}
    assert (told["faq/hours.html"]["headings"], told["faq/hours.html"]["phrases"]) == (2, 1)
    assert told["خدمات/ساعات العمل.txt"]["language"] == "ar"
    assert told["hours.md"]["chunks"] == 2


def test_a_dry_run_finds_what_would_be_refused(run: Run, files: Path) -> None:
    (files / "deep.html").write_text("<div>" * 2000)
    (files / "picture.png").write_bytes(b"\x89PNG")

    code, out, _ = run("ingest", files, "--dry-run")

    assert code == 1
    assert out.splitlines()[-1] == "3 would go in, 2 would be skipped"
    assert "document_too_deep" in out


# ---------------------------------------------------------------- what is there


def test_documents_are_listed_and_forgotten(run: Run, house: House, files: Path) -> None:
    with serving(house.app) as (url, _):
        run("ingest", files, "--url", url)
        _, listed, _ = run("documents", "--url", url, "--json")
        gone, _, _ = run("forget", "faq.hours", "--url", url)
        missing, _, err = run("forget", "faq.hours", "--url", url)
        _, table, _ = run("documents", "--url", url)

    found = {each["document"]: each for each in json.loads(listed)["documents"]}
    assert (found["faq.hours"]["source"], found["faq.hours"]["language"]) == ("faq/hours.html", "en")
    assert (gone, missing, err.startswith("dukat: document_unknown")) == (0, 1, True)
    assert "hours.md" in table and "faq" not in table
    assert "faq/hours.html" not in house.texts()


def test_an_empty_listing_says_how_to_fill_it(run: Run, house: House) -> None:
    with serving(house.app) as (url, _):
        said = run("documents", "--url", url)
        as_json = run("documents", "--url", url, "--json")

    assert said == (0, "no documents yet; put some in with: dukat ingest FOLDER\n", "")
    assert json.loads(as_json[1]) == {"documents": []}


def test_a_listing_without_a_server_is_one_line(run: Run) -> None:
    code, _, err = run("documents", "--url", "http://127.0.0.1:9")

    assert (code, err.count("\n")) == (1, 1)
    assert "start it with make run" in err
