"""`dukat documents` and `dukat forget`: what a tenant's knowledge base holds, and taking a document out of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from serve_app.caller.plain import json_line, plain
from serve_app.cli.ingest_show import print_table, result_console
from serve_app.cli.kb_client import AsJson, KnowledgeBase, StateDir, TenantId, Token, Url


def documents(
    tenant: TenantId = "demo",
    url: Url = "http://127.0.0.1:8000",
    token: Token = None,
    state_dir: StateDir = Path(".dukat"),
    as_json: AsJson = False,
) -> None:
    """The tenant's documents, by title."""
    found = asyncio.run(_list(KnowledgeBase(url, tenant, token, state_dir)))
    if as_json:
        print(json_line({"documents": found}))
        return
    if not found:
        result_console().print("no documents yet; put some in with: dukat ingest FOLDER")
        return
    columns = ("document", "title", "source", "language", "characters")
    print_table(result_console(), columns, [tuple(str(each[column]) for column in columns) for each in found])


def forget(
    document: Annotated[str, typer.Argument(help="As `dukat documents` calls it.")],
    tenant: TenantId = "demo",
    url: Url = "http://127.0.0.1:8000",
    token: Token = None,
    state_dir: StateDir = Path(".dukat"),
    as_json: AsJson = False,
) -> None:
    """Take one document out of the knowledge base."""
    asyncio.run(_forget(KnowledgeBase(url, tenant, token, state_dir), document))
    if as_json:
        print(json_line({"forgotten": document}))
    else:
        result_console().print(Text(f"{plain(document)} is forgotten"))


async def _list(server: KnowledgeBase) -> list[dict[str, Any]]:
    async with server:
        return await server.documents()


async def _forget(server: KnowledgeBase, document: str) -> None:
    async with server:
        await server.forget(document)
