"""The typed doors: what Ray raises becomes ours; leaving a stream early stops the remote work. Without a cluster."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest
import ray.exceptions
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError

import graph
from configs.settings import AppArgs
from deployments import clients
from deployments.clients import DEPLOYMENTS, ask, closing_stream, translate
from deployments.contracts.dialogue import GenerationRequest
from deployments.contracts.errors import BadInput, DukatError, MissingPart, NotFound, StageBusy, StageFailed
from deployments.contracts.speech import SpeechPiece, SynthesisRequest

REQUEST = GenerationRequest("r", "demo", "", (), (), "en")


def remote(cause: Exception) -> Exception:
    """As a caller of Ray sees an exception that was raised in a replica."""
    raised: Exception = ray.exceptions.RayTaskError("hear", "the remote stack", cause).as_instanceof_cause()
    return raised


OURS = [
    StageBusy("asr_busy", "all streams are in use", "asr"),
    MissingPart("package_missing", "install it", "load"),
    NotFound("document_unknown", "no such document", "knowledge", 404),
    BadInput("text_too_long", "at most 10", "tts", 413),
]


@pytest.mark.parametrize("ours", OURS)
@pytest.mark.parametrize("raised", [lambda ours: ours, remote])
def test_our_own_errors_arrive_as_they_were_raised(ours: DukatError, raised: Any) -> None:
    arrived = translate(raised(ours), "asr")

    assert type(arrived) is type(ours)
    assert (arrived.code, arrived.detail, arrived.stage, arrived.status) == (*ours.args[:3], ours.status)
    assert str(arrived) == str(ours)  # no remote stack in it
    assert pickle.loads(pickle.dumps(arrived)).code == ours.code


def test_an_error_that_ours_was_the_cause_of_is_ours() -> None:
    error = RuntimeError("wrapped")
    error.__cause__ = OURS[0]

    assert translate(error, "asr") is OURS[0]


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (BackPressureError(3, 2), StageBusy, "asr_busy"),
        (ray.exceptions.ActorDiedError(), StageFailed, "asr_gone"),
        (ray.exceptions.ActorUnavailableError("restarting", None), StageFailed, "asr_gone"),
        (DeploymentUnavailableError(DeploymentID("asr", "speech")), StageFailed, "asr_gone"),
        (remote(ValueError("boom")), StageFailed, "asr_failed"),
        (ray.exceptions.TaskCancelledError(), StageFailed, "asr_failed"),
        (OSError("no route"), StageFailed, "asr_failed"),
    ],
)
def test_what_ray_raises_has_a_code_of_its_stage(error: Exception, kind: type, code: str) -> None:
    translated = translate(error, "asr")

    assert type(translated) is kind
    assert (translated.code, translated.stage, translated.retryable) == (code, "asr", True)


def test_a_foreign_error_names_its_type_and_text() -> None:
    assert translate(remote(ValueError("boom")), "asr").detail == "asr failed: ValueError: boom"


class FakeResponse:
    """What a handle returns: to be awaited, or iterated when it streams."""

    def __init__(self, *items: Any, fails: Exception | None = None, hangs: bool = False) -> None:
        self.items, self.fails, self.hangs = items, fails, hangs
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        return await anext(aiter(self))

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.items:
            yield item
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails


async def test_an_answer_is_handed_on() -> None:
    response = FakeResponse("text")

    assert await ask(response, "asr") == "text"
    assert response.cancelled == 0


async def test_a_failed_answer_is_translated_with_its_cause() -> None:
    error = remote(ValueError("boom"))

    with pytest.raises(StageFailed, match="asr_failed") as raised:
        await ask(FakeResponse(fails=error), "asr")

    assert raised.value.__cause__ is error


async def test_a_caller_that_is_cancelled_cancels_the_request() -> None:
    response = FakeResponse(hangs=True)
    asking = asyncio.create_task(ask(response, "asr"))
    await asyncio.sleep(0)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking

    assert response.cancelled == 1


async def test_a_stream_that_was_read_to_its_end_is_not_cancelled() -> None:
    response = FakeResponse(1, 2)
    async with closing_stream(response, "llm") as items:
        read = [item async for item in items]

    assert read == [1, 2]
    assert response.cancelled == 0


async def test_leaving_a_stream_early_stops_the_remote_generator() -> None:
    responses = [FakeResponse(1, 2, 3) for _ in range(3)]
    async with closing_stream(responses[0], "llm") as items:
        assert await anext(items) == 1
    async with closing_stream(responses[1], "llm"):
        pass  # never read
    with pytest.raises(KeyError):
        async with closing_stream(responses[2], "llm") as items:
            await anext(items)
            raise KeyError

    assert [response.cancelled for response in responses] == [1, 1, 1]


async def test_a_reader_that_is_cancelled_stops_the_remote_generator() -> None:
    response = FakeResponse(1, hangs=True)

    async def read() -> None:
        async with closing_stream(response, "llm") as items:
            async for _ in items:
                pass

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.01)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert response.cancelled == 1


async def test_a_stream_that_fails_is_translated_and_not_cancelled() -> None:
    response = FakeResponse(1, fails=remote(StageBusy("llm_busy", "queue", "llm")))
    read = []
    with pytest.raises(StageBusy, match="llm_busy"):
        async with closing_stream(response, "llm") as items:
            async for item in items:
                read.append(item)

    assert read == [1]
    assert response.cancelled == 0


class FakeHandle:
    """A deployment's handle: notes calls and options."""

    def __init__(self, calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]], **options: Any) -> None:
        self._calls, self._options, self._method = calls, options, ""

    def options(self, **options: Any) -> FakeHandle:
        return FakeHandle(self._calls, **self._options, **options)

    def __getattr__(self, name: str) -> FakeHandle:
        method = FakeHandle(self._calls, **self._options)
        method._method = name
        return method

    def remote(self, *arguments: Any) -> FakeResponse:
        self._calls.append((self._method, arguments, self._options))
        return FakeResponse("answer")


async def test_clients_call_the_methods_that_the_deployments_have(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
    asked: list[str] = []

    def handle_to(name: str) -> FakeHandle:
        asked.append(name)
        return FakeHandle(calls)

    monkeypatch.setattr(clients, "handle_to", handle_to)
    asr, knowledge = clients.AsrClient(), clients.KnowledgeClient()
    await clients.VadClient().judge_batch([])
    await asr.hear(SpeechPiece("u1", 0, b"", False), None)
    await asr.forget("u1")
    async with clients.LlmClient().answer(REQUEST) as groups:
        assert [group async for group in groups] == ["answer"]
    async with clients.TtsClient().speak(SynthesisRequest("r", "hello", "en", "v")) as audio:
        assert [piece async for piece in audio] == ["answer"]
    await knowledge.phrasebook("demo")
    await knowledge.remove("demo", "d")
    await knowledge.documents("demo")
    await clients.readiness("asr")

    served = {"vad": graph.Vad, "asr": graph.Asr, "llm": graph.Llm, "tts": graph.Tts}
    names = ["vad", "asr", "asr", "llm", "tts"]
    assert all(hasattr(served[name], method) for name, (method, _, _) in zip(names, calls, strict=False))
    assert {options.get("session_id") for method, _, options in calls if method in ("hear", "forget")} == {"u1"}
    assert {options.get("stream") for method, _, options in calls if method in ("generate", "synthesise")} == {True}
    assert asked == ["asr", "knowledge", "vad", "llm", "tts", "asr"]


def test_every_deployment_is_looked_for_in_the_application_that_has_it() -> None:
    builders = {
        "speech": graph.build_speech,
        "llm": graph.build_llm,
        "knowledge": graph.build_knowledge,
        "lake": graph.build_lake,
        "voice": graph.build_voice,
    }
    deployed = {name: deployments_of(build(AppArgs())) for name, build in builders.items()}

    assert {(deployment, name) for name, found in deployed.items() for deployment in found} == set(DEPLOYMENTS.items())


def deployments_of(application: Any) -> set[str]:
    """Names of the deployments of an application, those that are bound as arguments too."""
    bound = application._bound_deployment
    inner = [value for value in (*bound.init_args, *bound.init_kwargs.values()) if hasattr(value, "_bound_deployment")]
    return {bound.name}.union(*(deployments_of(each) for each in inner))
