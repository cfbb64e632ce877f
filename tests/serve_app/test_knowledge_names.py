"""Names of uploaded files: any language, kept inside their folder, told apart by it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve_app.api import build_api
from tests.serve_app.test_api import Ingested, client_of, code, services


async def taken_in(**parts: Any) -> list[str]:
    """The names that reach ingestion."""
    names: list[str] = []
    arrived = asyncio.Event()

    async def ingest(content: bytes, filename: str, tenant: str) -> Ingested:
        names.append(filename)
        arrived.set()
        return Ingested("x", 1)

    app = build_api(services(ingest_document=ingest))
    async with app.router.lifespan_context(app), client_of(app) as client:
        answer = await client.post("/v1/kb/documents", **parts)
        assert answer.status_code == 202, code(answer)
        await arrived.wait()
        assert answer.json()["filename"] == names[0]
    return names


@pytest.mark.parametrize(
    "name",
    ["ساعات العمل.md", "two words.html", "ساعات\u200cالعمل\u200f.md", "50% off;a=b.txt", "é.md"],
)
async def test_a_file_may_be_called_anything(name: str) -> None:
    assert await taken_in(files={"file": (name, b"# a")}) == [name]


async def test_names_arrive_as_browsers_and_curl_send_them() -> None:
    """Raw UTF-8 in the header, and no charset said."""
    body = 'Content-Disposition: form-data; name="file"; filename="ساعات العمل.md"\r\n\r\n# a\r\n'

    names = await taken_in(
        content=f"--x\r\n{body}--x--\r\n".encode(), headers={"content-type": "multipart/form-data; boundary=x"}
    )

    assert names == ["ساعات العمل.md"]


@pytest.mark.parametrize(
    "path", ["faq/hours.html", "خدمات/ساعات العمل.md", 'a "b"/c d/e.txt', "hours.md", "ع" * 297 + ".md"]
)
async def test_the_path_tells_files_of_one_name_apart(path: str) -> None:
    assert await taken_in(files={"file": ("hours.html", b"# a")}, data={"path": path}) == [path]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../a.md",
        "a/../b.md",
        "./a.md",
        "a//b.md",
        "a/",
        "C:\\a.md",
        "a\nb.md",
        "a\x1b.md",
        "x" * 301,
    ],
)
async def test_a_path_out_of_its_folder_is_refused(path: str) -> None:
    app = build_api(services())
    async with client_of(app) as client:
        answer = await client.post("/v1/kb/documents", files={"file": ("a.md", b"# a")}, data={"path": path})

    assert code(answer) == (400, "document_name_invalid")


async def test_a_backslash_is_called_a_backslash() -> None:
    async with client_of(build_api(services())) as client:
        answer = await client.post("/v1/kb/documents", files={"file": ("a.md", b"# a")}, data={"path": "faq\\a.md"})

    assert "backslash" in answer.json()["detail"]


async def test_a_path_that_is_a_file_is_refused() -> None:
    async with client_of(build_api(services())) as client:
        answer = await client.post("/v1/kb/documents", files={"path": ("a.md", b"# a")})

    assert code(answer) == (400, "document_missing")
