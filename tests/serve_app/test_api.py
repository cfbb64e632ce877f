"""The control plane over HTTP, with fake parts, documents and tenants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from prometheus_client.parser import text_string_to_metric_families

from deployments.contracts.errors import BadInput, DukatError, NotAllowed, NotFound, StageBusy
from deployments.contracts.knowledge import Document, KnowledgeAnswer, KnowledgeQuery, Passage
from serve_app.api import Services, build_api
from serve_app.ingest_jobs import IngestJobs, Job
from serve_app.knowledge_api import MOST_DOCUMENT_BYTES
from serve_app.readiness import Readiness

TARIFFS = Document("demo", "tariffs.en", "Tariffs", "tariffs.md", "en", "# Tariffs\nA call costs one dirham.")


@dataclass
class FakeKnowledge:
    """Finds two passages for everything."""

    stored: list[Document] = field(default_factory=lambda: [TARIFFS])
    asked: list[KnowledgeQuery] = field(default_factory=list)

    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer:
        self.asked.append(query)
        near = Passage("A call costs one dirham.", 0.9, "tariffs.en", "Tariffs", "tariffs.md", (10, 34))
        return KnowledgeAnswer((near, replace(near, text="Far.", score=0.2)), 3.0)

    async def remove(self, tenant: str, document: str) -> bool:
        before = len(self.stored)
        self.stored = [d for d in self.stored if (d.tenant, d.document) != (tenant, document)]
        return len(self.stored) < before

    async def documents(self, tenant: str) -> list[Document]:
        return [document for document in self.stored if document.tenant == tenant]


@dataclass(frozen=True)
class FakeTenant:
    name: str
    languages: tuple[str, ...]
    open: bool = True


class FakeTenants:
    known = (FakeTenant("demo", ("en", "ar")), FakeTenant("souk", ("ar",)), FakeTenant("bank", ("en",), open=False))

    async def by_id(self, tenant: str) -> FakeTenant:
        for found in self.known:
            if found.name == tenant:
                return found
        raise NotFound("tenant_unknown", f"there is no tenant {tenant!r}")


@dataclass(frozen=True)
class Ingested:
    document: str
    chunks: int


def allow(request: Request, tenant: FakeTenant) -> None:
    if not tenant.open and request.headers.get("authorization") != "Bearer good":
        raise NotAllowed("token_missing", "this tenant needs a token")


async def ingest(content: bytes, filename: str, tenant: str) -> Ingested:
    if content == b"bad":
        raise BadInput("document_unsupported", f"{filename} is no document")
    return Ingested(filename.removesuffix(".md"), content.count(b"#"))


def ready(engine: str, nature: str = "embedded") -> Callable[[], Awaitable[Mapping[str, Any]]]:
    async def call() -> Mapping[str, Any]:
        return {"engine": engine, "nature": nature}

    return call


def services(**changes: Any) -> Services:
    whole = Services(
        profile="embedded",
        version="0.1.0",
        parts={"asr": ready("pocketsphinx"), "vad": ready("silero", "model")},
        knowledge=FakeKnowledge(),
        ingest_document=ingest,
        tenants=FakeTenants(),
        allow=allow,
    )
    return replace(whole, **changes)


def client_of(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = build_api(services())
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


async def finished(client: httpx.AsyncClient, job: str) -> dict[str, Any]:
    while True:
        view = (await client.get(f"/v1/kb/documents/{job}")).json()
        if view["status"] not in ("queued", "running"):
            return view
        await asyncio.sleep(0)  # the transport runs the application without ever leaving this task


# ---------------------------------------------------------------- health


async def test_health_names_every_engine_and_its_nature(client: httpx.AsyncClient) -> None:
    body = (await client.get("/healthz")).json()

    assert (body["status"], body["profile"]) == ("ok", "embedded")
    assert body["engines"] == {
        "asr": {"engine": "pocketsphinx", "nature": "embedded"},
        "vad": {"engine": "silero", "nature": "model"},
    }


async def test_ready_only_when_every_part_answers(client: httpx.AsyncClient) -> None:
    async def broken() -> Mapping[str, Any]:
        raise StageBusy("warming", "loads its weights", "asr")

    async def gone() -> Mapping[str, Any]:
        raise ConnectionError("secret address")

    half = client_of(build_api(services(parts={"vad": ready("silero"), "asr": broken, "tts": gone})))

    good, bad = await client.get("/readyz"), await half.get("/readyz")

    assert good.status_code == 200
    assert code(bad) == (503, "not_ready")
    assert int(bad.headers["retry-after"]) >= 1
    assert bad.json()["parts"] == {
        "vad": {"ready": True},
        "asr": {"ready": False, "code": "warming", "detail": "loads its weights"},
        "tts": {"ready": False, "code": "not_answering", "detail": "ConnectionError"},
    }


async def test_a_part_that_hangs_delays_readiness_by_its_timeout_and_liveness_hardly() -> None:
    async def hang() -> Mapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    readiness = Readiness({"asr": hang, "vad": ready("silero")}, timeout_s=0.05)

    early = await readiness.known(wait_s=0.001)
    states = await readiness.states()

    assert set(early) == {"vad"}
    assert (states["asr"].ready, states["asr"].code, states["vad"].ready) == (False, "timeout", True)


async def test_parts_are_asked_once_for_many_probes_and_again_when_the_answer_is_old() -> None:
    now_s = 0.0
    asked = 0

    async def count() -> Mapping[str, Any]:
        nonlocal asked
        asked += 1
        return {}

    readiness = Readiness({"asr": count}, max_age_s=2, clock=lambda: now_s)

    await asyncio.gather(*(readiness.states() for _ in range(5)))
    now_s = 1.9
    await readiness.states()
    after_many = asked
    now_s = 4.0
    await readiness.states()

    assert (after_many, asked) == (1, 2)


async def test_engines_stay_known_while_a_part_is_away() -> None:
    now_s = 0.0
    answers: list[Mapping[str, Any] | DukatError] = [{"engine": "silero"}, StageBusy("busy", "")]

    async def flaky() -> Mapping[str, Any]:
        answer = answers.pop(0)
        if isinstance(answer, DukatError):
            raise answer
        return answer

    readiness = Readiness({"vad": flaky}, clock=lambda: now_s)
    await readiness.states()
    now_s = 10.0

    state = (await readiness.states())["vad"]

    assert (state.ready, state.facts) == (False, {"engine": "silero"})


async def test_metrics_count_requests_by_route_template(client: httpx.AsyncClient) -> None:
    await client.get("/v1/kb/documents/tariffs.en")
    await client.get("/v1/kb/documents/nothing")
    await client.get("/no/such/route")

    text = (await client.get("/metrics")).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    counted = {
        (s.labels["route"], s.labels["status"]): s.value for s in samples if s.name == "dukat_http_requests_total"
    }

    assert counted[("/v1/kb/documents/{name}", "200")] == 1
    assert counted[("/v1/kb/documents/{name}", "404")] == 1
    assert counted[("unknown", "404")] == 1
    assert any(s.name == "process_cpu_seconds_total" for s in samples)


async def test_the_interface_describes_itself(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    assert {"/healthz", "/readyz", "/v1/kb/documents", "/v1/kb/documents/{name}", "/v1/kb/query"} <= set(paths)
    assert "multipart/form-data" in paths["/v1/kb/documents"]["post"]["requestBody"]["content"]


# ---------------------------------------------------------------- page


async def test_the_page_forbids_foreign_and_inline_content(client: httpx.AsyncClient) -> None:
    response = await client.get("/")

    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe-inline" not in policy
    assert "//" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in response.text
    assert " style=" not in response.text


@pytest.mark.parametrize(
    ("query", "tag"),
    [
        ("", '<html lang="en" dir="ltr">'),
        ("?tenant=souk", '<html lang="ar" dir="rtl">'),
        ("?lang=ar", '<html lang="ar" dir="rtl">'),
        ("?tenant=souk&lang=en", '<html lang="en" dir="ltr">'),
        ("?tenant=nobody", '<html lang="en" dir="ltr">'),
        ("?lang=%22onload=x", '<html lang="en" dir="ltr">'),
    ],
)
async def test_the_page_speaks_the_asked_language_else_the_tenants(
    client: httpx.AsyncClient, query: str, tag: str
) -> None:
    assert tag in (await client.get(f"/{query}")).text


async def test_static_files_are_a_fixed_list(client: httpx.AsyncClient) -> None:
    script = await client.get("/static/caller.js")
    page = await client.get("/static/caller.html")
    outside = await client.get("/static/..%2Fapi.py")

    assert (script.status_code, script.headers["content-type"].split(";")[0]) == (200, "text/javascript")
    assert script.headers["cache-control"] == "no-cache"
    assert code(page) == (404, "route_unknown")
    assert outside.status_code == 404


# ---------------------------------------------------------------- documents


async def test_a_document_is_taken_in_as_a_job_that_can_be_followed(client: httpx.AsyncClient) -> None:
    taken = await client.post("/v1/kb/documents", files={"file": ("C:\\docs\\hours.md", b"# a\n# b")})

    assert taken.status_code == 202
    assert (taken.json()["status"], taken.json()["document"], taken.json()["filename"]) == ("queued", None, "hours.md")
    done = await finished(client, taken.json()["job"])
    assert (done["status"], done["document"], done["chunks"], done["error"]) == ("done", "hours", 2, None)


async def test_a_document_nobody_can_read_fails_its_job_with_the_reason(client: httpx.AsyncClient) -> None:
    taken = await client.post("/v1/kb/documents", files={"file": ("x.bin", b"bad")})

    failed = await finished(client, taken.json()["job"])

    assert failed["status"] == "failed"
    assert failed["error"] == {"code": "document_unsupported", "detail": "x.bin is no document"}


async def test_a_job_is_hidden_from_other_tenants(client: httpx.AsyncClient) -> None:
    taken = await client.post("/v1/kb/documents", files={"file": ("a.md", b"# a")}, data={"tenant": "souk"})

    hidden = await client.get(f"/v1/kb/documents/{taken.json()['job']}?tenant=demo")
    shown = await client.get(f"/v1/kb/documents/{taken.json()['job']}?tenant=souk")

    assert code(hidden) == (404, "document_unknown")
    assert shown.status_code == 200


async def test_unusable_uploads_are_refused(client: httpx.AsyncClient) -> None:
    async def post(**parts: Any) -> tuple[int, str]:
        return code(await client.post("/v1/kb/documents", **parts))

    assert await post(data={"tenant": "demo"}) == (400, "document_missing")
    assert await post(files={"file": ("a.md", b"")}) == (400, "document_empty")
    assert await post(files={"file": ("a/..", b"x")}) == (400, "document_name_invalid")
    assert await post(files={"file": ("a" * 201, b"x")}) == (400, "document_name_invalid")
    assert await post(content=b"--x", headers={"content-type": "multipart/form-data"}) == (400, "request_invalid")


async def test_the_limit_of_a_document_is_exact(client: httpx.AsyncClient) -> None:
    fits = await client.post("/v1/kb/documents", files={"file": ("a.md", bytes(MOST_DOCUMENT_BYTES))})
    one_over = await client.post("/v1/kb/documents", files={"file": ("a.md", bytes(MOST_DOCUMENT_BYTES + 1))})

    assert fits.status_code == 202
    assert code(one_over) == (413, "body_too_large")


async def test_an_endless_upload_is_stopped_while_it_is_read(client: httpx.AsyncClient) -> None:
    sent_bytes = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent_bytes
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.md"\r\n\r\n'
        while sent_bytes < 50_000_000:
            sent_bytes += 100_000
            yield bytes(100_000)

    response = await client.post(
        "/v1/kb/documents", content=endless(), headers={"content-type": "multipart/form-data; boundary=x"}
    )

    assert code(response) == (413, "body_too_large")
    assert sent_bytes < 3_000_000


async def test_documents_are_listed_shown_and_removed(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/kb/documents?tenant=demo")).json()["documents"]
    shown = await client.get("/v1/kb/documents/tariffs.en")
    removed = await client.delete("/v1/kb/documents/tariffs.en")
    again = await client.delete("/v1/kb/documents/tariffs.en")

    assert [document["document"] for document in listed] == ["tariffs.en"]
    assert (shown.json()["title"], shown.json()["characters"]) == ("Tariffs", len(TARIFFS.text))
    assert (removed.status_code, removed.content) == (204, b"")
    assert code(again) == (404, "document_unknown")
    assert (await client.get("/v1/kb/documents")).json() == {"documents": []}


async def test_a_question_gets_passages_with_their_source() -> None:
    knowledge = FakeKnowledge()
    client = client_of(build_api(services(knowledge=knowledge)))

    body = (await client.post("/v1/kb/query", json={"query": "what is the price", "k": 1, "language": "en"})).json()

    assert knowledge.asked == [KnowledgeQuery("demo", "what is the price", 1, "en")]
    assert body["passages"] == [
        {
            "text": "A call costs one dirham.",
            "score": 0.9,
            "document": "tariffs.en",
            "title": "Tariffs",
            "source": "tariffs.md",
            "span": [10, 34],
        }
    ]
    assert body["took_ms"] >= 0


@pytest.mark.parametrize("wrong", [{"query": ""}, {"query": "x", "k": 0}, {"query": "x", "langage": "en"}, {}])
async def test_a_malformed_question_is_refused(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    assert code(await client.post("/v1/kb/query", json=wrong)) == (422, "request_invalid")


async def test_every_knowledge_route_knows_tenants_and_asks_for_their_token(client: httpx.AsyncClient) -> None:
    async def each(tenant: str, **rest: Any) -> set[int]:
        route, only = "/v1/kb/documents", {"tenant": tenant}
        return {
            (await client.get(route, params=only, **rest)).status_code,
            (await client.get(f"{route}/tariffs.en", params=only, **rest)).status_code,
            (await client.delete(f"{route}/tariffs.en", params=only, **rest)).status_code,
            (await client.post(route, data=only, files={"file": ("a.md", b"# a")}, **rest)).status_code,
            (await client.post("/v1/kb/query", json={"query": "x", **only}, **rest)).status_code,
        }

    assert await each("nobody") == {404}
    assert await each("bank") == {401}
    assert await each("bank", headers={"authorization": "Bearer good"}) == {200, 202, 404}


# ---------------------------------------------------------------- jobs


async def test_too_many_unfinished_documents_are_refused_and_closing_ends_them() -> None:
    began = asyncio.Event()

    async def stuck(content: bytes, filename: str, tenant: str) -> Ingested:
        began.set()
        await asyncio.Event().wait()
        return Ingested("", 0)

    jobs = IngestJobs(stuck, at_once=1, most_unfinished=2)
    first, second = jobs.start(b"", "a", "demo"), jobs.start(b"", "b", "demo")
    await began.wait()

    with pytest.raises(StageBusy, match="ingest_busy"):
        jobs.start(b"", "c", "demo")
    assert [_status(jobs, first), _status(jobs, second)] == ["running", "queued"]
    await jobs.close()
    assert [_status(jobs, first), _status(jobs, second)] == ["failed", "failed"]


async def test_an_unforeseen_failure_of_ingestion_keeps_its_inside_to_the_log() -> None:
    async def broken(content: bytes, filename: str, tenant: str) -> Ingested:
        raise RuntimeError("password=hunter2")

    jobs = IngestJobs(broken)
    job = jobs.start(b"", "a", "demo")
    await _all_tasks_done()

    failed = jobs.get(job.job, "demo")

    assert failed is not None
    assert failed.code == "internal"
    assert "hunter2" not in (failed.detail or "")


async def test_only_the_newest_finished_jobs_are_kept() -> None:
    jobs = IngestJobs(ingest, most_kept=2)
    started = []
    for number in range(4):
        started.append(jobs.start(b"#", f"{number}.md", "demo"))
        await _all_tasks_done()

    kept = [jobs.get(job.job, "demo") is not None for job in started]

    assert kept == [False, False, True, True]


def _status(jobs: IngestJobs, job: Job) -> str:
    found = jobs.get(job.job, job.tenant)
    assert found is not None
    return found.status


async def _all_tasks_done() -> None:
    current = asyncio.current_task()
    await asyncio.wait([task for task in asyncio.all_tasks() if task is not current])
