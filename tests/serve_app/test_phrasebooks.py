"""Phrasebooks: every call's phrases, the tenant's documents, its own words; fresh when possible, never missing."""

from __future__ import annotations

import asyncio

import pytest

from deployments.contracts.errors import NotFound, StageFailed
from serve_app import phrasebooks
from serve_app.dialogue.intents import SPOKEN_PHRASES
from serve_app.phrasebooks import Phrasebooks
from tests.fakes.fake_knowledge import FakeKnowledge, a_passage
from tests.fakes.fake_tenant import a_tenant

TENANT = a_tenant(lexicon={"noor": "N UH R"})


def test_before_the_first_refresh_there_is_what_every_caller_may_say() -> None:
    book = Phrasebooks(FakeKnowledge()).of(TENANT)

    assert book.phrases == tuple(dict.fromkeys(SPOKEN_PHRASES))
    assert book.lexicon == (("noor", "N UH R"),)
    assert book.key.startswith("fake-")


async def test_a_new_document_can_be_asked_about() -> None:
    knowledge = FakeKnowledge()
    books = Phrasebooks(knowledge)
    await books.refresh(TENANT)
    before = books.of(TENANT)
    knowledge.passages = (a_passage("text", heading="how do i move house"), a_passage("x", heading=SPOKEN_PHRASES[0]))

    await books.refresh(TENANT)

    assert books.of(TENANT).phrases == (*before.phrases, "how do i move house")
    assert books.of(TENANT).key != before.key


async def test_the_key_changes_only_with_what_may_be_said() -> None:
    books = Phrasebooks(FakeKnowledge())
    key = books.of(TENANT).key
    await books.refresh(TENANT)

    assert books.of(TENANT).key == key
    assert Phrasebooks(FakeKnowledge()).of(a_tenant()).key != key  # other pronunciations


async def test_tenants_have_their_own() -> None:
    knowledge = FakeKnowledge([a_passage("text", heading="a secret of fake")])
    books = Phrasebooks(knowledge)
    await books.refresh(TENANT)

    assert "a secret of fake" in books.of(TENANT).phrases
    assert "a secret of fake" not in books.of(a_tenant(id="other")).phrases


@pytest.mark.parametrize("failure", [StageFailed("knowledge_gone", "-"), NotFound("tenant_unknown", "-"), None])
async def test_when_the_knowledge_base_fails_the_last_one_stays(
    monkeypatch: pytest.MonkeyPatch, failure: Exception | None
) -> None:
    monkeypatch.setattr(phrasebooks, "REFRESH_S", 0.05)
    knowledge = FakeKnowledge([a_passage("text", heading="opening hours")])
    books = Phrasebooks(knowledge)
    await books.refresh(TENANT)
    before = books.of(TENANT)

    async def fails(tenant: str) -> None:
        if failure is not None:
            raise failure
        await asyncio.Event().wait()  # never answers

    monkeypatch.setattr(knowledge, "phrasebook", fails)
    await books.refresh(TENANT)

    assert books.of(TENANT) == before
    assert "opening hours" in before.phrases
