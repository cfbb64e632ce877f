"""Real calls on real Ray: WebRTC, spoken questions, the shipped documents, the laptop's engines."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import yaml

from configs.engines import EspeakTts
from configs.settings import TENANTS
from deployments.contracts.speech import SynthesisRequest
from deployments.engines.espeak import Espeak
from serve_app.caller.event_log import EventLog
from serve_app.caller.line import CallerLine
from serve_app.caller.report import CallReport
from serve_app.caller.scripted import place_call
from serve_app.caller.speech import prepare
from serve_app.caller.wav import read_wav
from serve_app.cli.stored import wait_for_call
from tests.system.running import DUKAT, RunningProduct

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]

QUESTION = TENANTS / "demo-question.wav"
AUDIO = Path(__file__).parents[1] / "audio"
LOOPBACK = ("127.0.0.1",)


def ask(product: RunningProduct, *questions: Path, **more: Any) -> CallReport:
    return asyncio.run(
        place_call(product.url, "demo", [read_wav(path) for path in questions], host_addresses=LOOPBACK, **more)
    )


def test_a_spoken_question_is_answered_from_the_shipped_documents(product: RunningProduct, tmp_path: Path) -> None:
    saved = tmp_path / "answer.wav"
    command = [DUKAT, "call", QUESTION, "--url", product.url, "--json", "--save", saved]

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    (turn,) = report["turns"]
    assert turn["transcript"] == "what are your opening hours"
    hours = (TENANTS / "demo" / "opening-hours.en.md").read_text("utf-8")
    assert turn["answer"].split(". ")[0].rstrip(".") in " ".join(hours.split())
    assert turn["sources"] == [
        {"document": "opening-hours.en", "title": "Opening hours", "source": "opening-hours.en.md"}
    ]
    assert set(turn["ledger"]["stages"]) == {"end_of_turn", "asr", "retrieval", "llm", "clause", "tts", "playout"}
    assert turn["ear_ms"] > turn["ledger"]["over_floor_ms"] > 0
    agent = np.frombuffer(saved.read_bytes()[44:], "<i2")[1::2]
    assert np.abs(agent).max() > 3000


def test_the_call_is_in_the_lakehouse_as_it_was_heard(product: RunningProduct) -> None:
    report = ask(product, QUESTION)

    stored = wait_for_call(product.state_dir, report.call, 20)
    shown = subprocess.run(
        [DUKAT, "show", report.call, "--state-dir", product.state_dir], capture_output=True, text=True, check=True
    )

    assert stored.turns[1].caller == "what are your opening hours"
    assert stored.turns[1].heard == report.turns[0].heard_text
    assert stored.summary.engines["asr"] == {"engine": "pocketsphinx", "nature": "embedded"}
    assert report.turns[0].heard_text in shown.stdout


def test_speech_outside_the_grammar_is_not_answered_at_random(product: RunningProduct) -> None:
    report = ask(product, AUDIO / "out-of-domain.wav")

    assert report.turns[0].transcript == ""
    assert "did not catch" in report.turns[0].answer_text
    assert report.turns[0].sources == ()


def test_the_caller_can_interrupt_and_the_history_keeps_what_was_heard(product: RunningProduct) -> None:
    report = ask(product, QUESTION, interrupt=read_wav(QUESTION))

    first, second = report.turns
    assert not first.heard_complete
    assert first.answer_text.startswith(first.heard_text)
    assert report.barge_in_ms is not None and report.barge_in_ms < 600  # the target, 400, is measured, not tested
    assert second.transcript == "what are your opening hours" and second.heard_complete


def test_replacing_a_document_changes_the_answer(product: RunningProduct) -> None:
    before = (TENANTS / "demo" / "opening-hours.en.md").read_bytes()
    changed = b"# Opening hours\n\n## What are your opening hours?\n\nWe are open only on Tuesday at midnight.\n"

    _replace(product, "opening-hours.en.md", changed)
    try:
        report = ask(product, QUESTION)
    finally:
        _replace(product, "opening-hours.en.md", before)
    again = ask(product, QUESTION)

    assert "Tuesday at midnight" in report.turns[0].answer_text
    assert "Tuesday at midnight" not in again.turns[0].answer_text


def _replace(product: RunningProduct, name: str, content: bytes) -> None:
    answer = httpx.post(f"{product.url}/v1/kb/documents", files={"file": (name, content)}, data={"tenant": "demo"})
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 20
    while (job := httpx.get(f"{product.url}/v1/kb/documents/{answer.json()['job']}?tenant=demo").json())[
        "status"
    ] != "done":
        assert time.monotonic() < deadline and job["status"] != "failed", job
        time.sleep(0.1)


def test_the_knowledge_base_can_be_asked_directly(product: RunningProduct) -> None:
    asked = {"query": "how do I report a water leak", "k": 2, "language": "en", "tenant": "demo"}

    answer = httpx.post(f"{product.url}/v1/kb/query", json=asked).json()

    assert answer["passages"][0]["document"] == "outages.en"
    assert answer["passages"][0]["score"] > 0.8 and answer["took_ms"] > 0


def test_typed_text_is_answered(product: RunningProduct) -> None:
    async def play() -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        async with CallerLine(host_addresses=LOOPBACK) as line:
            await line.connect(product.url, "demo", None, 15.0)
            async with asyncio.timeout(40):
                async for event in line.events():
                    events.append(event)
                    if event["type"] == "agent.heard" and event["reply"] == 0:
                        line.send_text("How much is the security deposit?")
                    if event["type"] == "agent.heard" and event["turn"] == 1:
                        break
            await line.hang_up()
        return events

    events = asyncio.run(play())

    heard = next(event for event in events if event["type"] == "agent.heard" and event["turn"] == 1)
    assert "deposit" in heard["text"].lower()


def test_a_call_goes_on_when_the_recogniser_is_killed(product: RunningProduct) -> None:
    """The replica dies by its process id in the middle of a call; the caller is told, and then answered again."""

    async def play() -> CallReport:
        question = prepare(read_wav(QUESTION))
        placing = asyncio.create_task(
            place_call(product.url, "demo", [question] * 4, host_addresses=LOOPBACK, turn_timeout_s=60)
        )
        await asyncio.sleep(8)
        killed.append(product.replica("asr"))
        os.kill(killed[0].pid, signal.SIGKILL)
        return await placing

    killed: list[psutil.Process] = []

    report = asyncio.run(play())

    assert report.failure is None
    assert len(report.turns) == 4 and all(turn.heard_complete for turn in report.turns)
    assert report.turns[-1].transcript == "what are your opening hours"
    assert not killed[0].is_running()
    product.wait_ready()


@pytest.mark.parametrize(
    ("body", "kind", "query", "status", "code"),
    [
        (b"garbage", "application/sdp", "tenant=demo", 400, "offer_unreadable"),
        (b"v=0\r\n", "application/sdp", "tenant=demo", 400, "offer_unreadable"),
        (b"{}", "application/json", "tenant=demo", 415, "content_type_wrong"),
        (b"v=0\r\n", "application/sdp", "tenant=nobody", 404, "tenant_unknown"),
        (b"v=0\r\n", "application/sdp", "", 400, "tenant_missing"),
    ],
)
def test_bad_offers_are_problems_with_stable_codes(
    product: RunningProduct, body: bytes, kind: str, query: str, status: int, code: str
) -> None:
    answer = httpx.post(f"{product.url}/v1/calls?{query}", content=body, headers={"content-type": kind})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_forged_location_is_refused(product: RunningProduct) -> None:
    answer = httpx.get(f"{product.url}/v1/calls/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.AAAA")

    assert (answer.status_code, answer.json()["code"]) == (403, "call_token_invalid")


def test_health_names_the_embedded_engines_as_such(product: RunningProduct) -> None:
    health = httpx.get(f"{product.url}/healthz").json()

    assert health["profile"] == "embedded"
    assert health["engines"]["llm"] == {"engine": "responder", "nature": "embedded"}
    assert httpx.get(f"{product.url}/readyz").status_code == 200


def test_a_caller_who_says_nothing_is_asked_twice_and_told_goodbye(product: RunningProduct) -> None:
    async def call() -> EventLog:
        log = EventLog()
        async with CallerLine(host_addresses=LOOPBACK) as line:
            await line.connect(product.url, "demo")
            async with asyncio.timeout(90):
                await log.follow(line.events())  # until the agent hangs up
        return log

    log = asyncio.run(call())

    lines = yaml.safe_load((TENANTS / "demo.yaml").read_text("utf-8"))["lines"]["en"]
    heard = [event["text"] for event in log.events if event["type"] == "agent.heard" and event["complete"]]
    assert heard[1:] == [lines["still_there"], lines["still_there_again"], lines["silence_goodbye"]]
    assert log.last("call.state", state="ended") == log.last("call.state", reason="silence")


def test_arabic_is_answered_when_typed_and_told_apart_from_gibberish_when_spoken(product: RunningProduct) -> None:
    question = "متى تفتحون مكاتبكم؟"
    spoken = Espeak(EspeakTts()).synthesise(SynthesisRequest("caller", question, "ar", "ar+f3"))
    lines = yaml.safe_load((TENANTS / "demo.yaml").read_text("utf-8"))["lines"]["en"]

    async def call() -> EventLog:
        log = EventLog()
        async with CallerLine(host_addresses=LOOPBACK) as line:
            await line.connect(product.url, "demo")
            following = asyncio.create_task(log.follow(line.events()))
            await log.until(lambda: log.last("agent.heard", reply=0), 20, lambda: "greeting")
            await line.play(prepare(b"".join(piece.pcm for piece in spoken)))
            await log.until(lambda: log.last("agent.heard", turn=1, complete=True), 30, lambda: "answer to speech")
            line.send_text(question)
            await log.until(lambda: log.last("agent.heard", turn=2, complete=True), 60, lambda: "answer to text")
            await line.hang_up()
            await following
        return log

    log = asyncio.run(call())

    told = log.last("agent.heard", turn=1) or {}
    answer = log.last("agent.heard", turn=2) or {}
    assert told["text"] == lines["english_only"]
    documents = " ".join(" ".join(path.read_text("utf-8").split()) for path in (TENANTS / "demo").glob("*.ar.md"))
    assert answer["text"].split(".")[0] in documents
    assert all(source["document"].endswith(".ar") for source in log.sources(2)) and log.sources(2)


def test_a_page_that_is_ingested_can_be_asked_about_without_a_restart(product: RunningProduct, tmp_path: Path) -> None:
    question = "Do you fill swimming pools?"
    page = f"<html lang=en><body><h1>Pools</h1><h2>{question}</h2><p>Yes, a tanker comes on Tuesdays.</p></body></html>"
    (tmp_path / "pools.html").write_text(page, encoding="utf-8")
    (tmp_path / "broken.txt").write_bytes(b"\xff\xfe\xfa")
    spoken = Espeak(EspeakTts()).synthesise(SynthesisRequest("caller", question, "en", "en-us"))
    at = ("--url", product.url, "--json")

    done = subprocess.run([DUKAT, "ingest", tmp_path, *at], capture_output=True, text=True, timeout=60, check=False)
    try:
        report = asyncio.run(
            place_call(product.url, "demo", [b"".join(piece.pcm for piece in spoken)], host_addresses=LOOPBACK)
        )
    finally:
        subprocess.run([DUKAT, "forget", "pools", *at], capture_output=True, timeout=60, check=True)

    assert done.returncode == 1, "one of the two files is not text"
    fates = {fate["file"]: fate.get("code") for fate in json.loads(done.stdout.splitlines()[-1])["files"]}
    assert fates == {"pools.html": None, "broken.txt": "document_not_utf8"}
    assert report.turns[0].transcript == "do you fill swimming pools"
    assert "tanker comes on Tuesdays" in report.turns[0].heard_text
    assert [source["source"] for source in report.turns[0].sources] == ["pools.html"]
