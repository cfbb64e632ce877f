"""The llm deployment without Ray: answers stream, leaving closes the engine, failures have a code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import ClassVar, Literal

import pytest

from configs.engines import EmulatedLlm, EngineSettings, ResponderLlm
from deployments.contracts.dialogue import GenerationRequest, Message, TokenGroup
from deployments.contracts.errors import StageBusy, StageFailed
from deployments.llm import Llm

REQUEST = GenerationRequest("r1", "demo", "", (Message("caller", "When are you open?"),), (), "en")


class ScriptedSettings(EngineSettings):
    """Of the engine below."""

    engine: ClassVar[str] = f"{__name__}:Scripted"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "emulated"
    kind: Literal["scripted"] = "scripted"


class Scripted:
    """Says "one", then waits for `go_on` before each further word; `fails` is raised in place of "two"."""

    def __init__(self, settings: ScriptedSettings) -> None:
        self.go_on = threading.Event()
        self.closed = threading.Event()
        self.threads: set[str] = set()
        self.fails: Exception | None = None

    def generate(self, request: GenerationRequest) -> Iterator[TokenGroup]:
        try:
            self.threads.add(threading.current_thread().name)
            yield TokenGroup("one ", 1, False)
            self.go_on.wait(10)
            if self.fails is not None:
                raise self.fails
            yield TokenGroup("two", 1, True)
        finally:
            self.closed.set()


def a_scripted_server() -> tuple[Llm, Scripted]:
    server = Llm(ScriptedSettings())  # type: ignore[arg-type]
    engine = server._engine
    assert isinstance(engine, Scripted)
    return server, engine


async def is_set(event: threading.Event) -> bool:
    """Wait for something another thread does."""
    return await asyncio.to_thread(event.wait, 10)


async def test_an_answer_is_streamed_from_a_thread_of_the_pool() -> None:
    server, engine = a_scripted_server()
    engine.go_on.set()

    groups = [group async for group in server.generate(REQUEST)]

    assert [group.text for group in groups] == ["one ", "two"]
    assert all(name.startswith("llm") for name in engine.threads)


async def test_the_loop_stays_free_while_the_engine_works() -> None:
    server, engine = a_scripted_server()

    async with aclosing(server.generate(REQUEST)) as groups:
        await anext(groups)
        second = asyncio.ensure_future(anext(groups))
        await asyncio.sleep(0)
        waited = not second.done()
        engine.go_on.set()

        assert waited
        assert (await second).text == "two"


async def test_closing_the_stream_closes_the_engines_generator() -> None:
    server, engine = a_scripted_server()

    async with aclosing(server.generate(REQUEST)) as groups:
        await anext(groups)

    assert engine.closed.is_set()


async def test_cancelling_closes_the_engines_generator_once_its_step_is_over() -> None:
    """A thread cannot be interrupted: the step under way ends, then the generator is closed and says no more."""
    server, engine = a_scripted_server()
    heard: list[str] = []
    first_heard = asyncio.Event()

    async def listen() -> None:
        async with aclosing(server.generate(REQUEST)) as groups:
            async for group in groups:
                heard.append(group.text)
                first_heard.set()

    listening = asyncio.create_task(listen())
    await first_heard.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    engine.go_on.set()

    assert await is_set(engine.closed)
    assert heard == ["one "]


async def test_what_the_engine_raises_becomes_a_stage_failure() -> None:
    server, engine = a_scripted_server()
    engine.fails = ZeroDivisionError("caller said 0")
    engine.go_on.set()

    with pytest.raises(StageFailed) as failure:
        [group async for group in server.generate(REQUEST)]

    assert (failure.value.code, failure.value.stage) == ("llm_failed", "llm")
    assert "caller said" not in str(failure.value)


async def test_an_engines_own_error_keeps_its_code() -> None:
    server, engine = a_scripted_server()
    engine.fails = StageBusy("queue_full", "later", "llm")
    engine.go_on.set()

    with pytest.raises(StageBusy, match="queue_full"):
        [group async for group in server.generate(REQUEST)]


async def test_ready_names_the_engine_and_what_it_is() -> None:
    assert await Llm(ResponderLlm()).ready() == {"engine": "responder", "nature": "embedded"}
    assert await Llm(EmulatedLlm()).ready() == {"engine": "emulated", "nature": "emulated"}


async def test_a_replica_with_every_thread_stuck_is_not_healthy() -> None:
    server, engine = a_scripted_server()
    await server.check_health()
    streams = [server.generate(REQUEST) for _ in range(32)]
    for stream in streams:
        await anext(stream)
    stuck = [asyncio.ensure_future(anext(stream)) for stream in streams]

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(server.check_health(), 0.1)
    engine.go_on.set()
    await asyncio.gather(*stuck)
    await server.check_health()
    for stream in streams:
        await stream.aclose()
