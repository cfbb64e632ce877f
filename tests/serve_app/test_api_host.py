"""A new tenant's first documents: taken in once, when the knowledge base is there, and `/readyz` waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import serve_app.api_host
from configs.settings import AppArgs
from deployments.contracts.errors import BadInput, DukatError, StageBusy, StageFailed
from deployments.contracts.knowledge import Document
from serve_app.api_host import ApiHost
from tests.fakes.answering_machine import until
from tests.fakes.fake_tenant import a_tenant


class FakeStore:
    """The knowledge base of the seeding: what it has, and how often it fails first."""

    def __init__(self) -> None:
        self.has: dict[str, list[Document]] = {}
        self.failures: list[DukatError] = []
        self.asked = 0

    async def documents(self, tenant: str) -> list[Document]:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return self.has.get(tenant, [])


Open = Callable[..., Awaitable[ApiHost]]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    made = FakeStore()
    monkeypatch.setattr(serve_app.api_host, "KnowledgeClient", lambda: made)
    monkeypatch.setattr(serve_app.api_host, "RETRY_S", 0.01)
    return made


@pytest.fixture
def taken_in() -> list[tuple[str, Path]]:
    return []


@pytest.fixture
def open_host(tmp_path: Path, store: FakeStore, taken_in: list[tuple[str, Path]]) -> Open:
    """Opens a host over three tenants: two with documents, one of them inactive, and one without."""
    folder = tmp_path / "tenants"
    (folder / "papers").mkdir(parents=True)
    changes: dict[str, dict[str, Any]] = {
        "new": {"documents": "papers"},
        "asleep": {"documents": "papers", "active": False},
        "bare": {},
    }
    for name, change in changes.items():
        tenant = a_tenant(id=name, **change).model_dump(mode="json", exclude_none=True)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(tenant), encoding="utf-8")

    async def ingest_folder(knowledge: Any, tenant: str, papers: Path) -> list[Any]:
        taken_in.append((tenant, papers))
        return [SimpleNamespace(file="a.md", code=None), SimpleNamespace(file="b.exe", code="type_unknown")]

    async def ingest_document(*_: Any) -> Any:
        raise AssertionError("nothing is uploaded here")

    async def open_one() -> ApiHost:
        host = ApiHost.__new__(ApiHost)
        args = AppArgs(profile="emulated", state_dir=str(tmp_path), tenants=str(folder))
        await ApiHost.__init__(host, args, ingest_document, ingest_folder)
        return host

    return open_one


async def seeded(host: ApiHost) -> None:
    async with asyncio.timeout(20):
        await asyncio.wait([host._seeding])


async def test_a_tenant_without_documents_gets_those_of_its_folder(
    open_host: Open, taken_in: list[tuple[str, Path]], tmp_path: Path
) -> None:
    host = await open_host()
    with pytest.raises(StageBusy, match="documents_loading"):
        await host._documents_ready()
    await seeded(host)

    assert taken_in == [("new", tmp_path / "tenants" / "papers")]
    assert await host._documents_ready() == {}


async def test_a_tenant_that_has_documents_keeps_them(
    open_host: Open, store: FakeStore, taken_in: list[tuple[str, Path]]
) -> None:
    store.has["new"] = [Document("new", "d", "D", "d.md", "en", "text")]

    await seeded(await open_host())

    assert taken_in == []


@pytest.mark.parametrize("had_some", [True, False])
async def test_documents_that_were_all_forgotten_stay_forgotten(
    open_host: Open, store: FakeStore, taken_in: list[tuple[str, Path]], had_some: bool
) -> None:
    """Whether the first ones were the shipped ones or the operator's own."""
    store.has["new"] = [Document("new", "d", "D", "d.md", "en", "text")] if had_some else []
    await seeded(await open_host())
    at_first = len(taken_in)
    store.has.clear()

    again = await open_host()
    await seeded(again)

    assert len(taken_in) == at_first == (0 if had_some else 1)
    assert await again._documents_ready() == {}


async def test_a_seeding_that_failed_is_tried_again_at_the_next_start(
    open_host: Open, store: FakeStore, taken_in: list[tuple[str, Path]]
) -> None:
    store.failures = [BadInput("folder_unreadable", "-")]
    first = await open_host()
    await until(first._seeding.done)
    assert taken_in == [] and first._seeding.exception() is not None

    await seeded(await open_host())

    assert len(taken_in) == 1


async def test_a_knowledge_base_that_is_still_starting_is_waited_for(
    open_host: Open, store: FakeStore, taken_in: list[tuple[str, Path]]
) -> None:
    store.failures = [StageFailed("knowledge_gone", "-"), StageBusy("knowledge_busy", "-")]

    await seeded(await open_host())

    assert (store.asked, len(taken_in)) == (3, 1)


async def test_what_will_never_succeed_is_said_by_readyz(open_host: Open, store: FakeStore) -> None:
    store.failures = [BadInput("folder_unreadable", "-")]
    host = await open_host()
    await until(host._seeding.done)

    with pytest.raises(BadInput, match="folder_unreadable"):
        await host._documents_ready()
