"""Looking events up, and waiting for them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from deployments.contracts.errors import CallOver, StageTimeout
from serve_app.caller.event_log import EventLog


async def coming(*events: dict) -> AsyncIterator[dict]:
    for event in events:
        await asyncio.sleep(0)
        yield event


def log_of(*events: dict) -> EventLog:
    log = EventLog()
    log.events.extend(events)
    return log


def text(turn: int, said: str, **more: object) -> dict:
    return {"type": "agent.text", "turn": turn, "text": said, **more}


def test_a_text_that_repeats_what_was_before_replaces_it_and_another_is_added() -> None:
    log = log_of(text(1, "One."), text(2, "No."), text(1, "One. Two."), text(1, "Three."))

    assert log.texts("agent.text", turn=1) == "One. Two. Three."


def test_sources_are_named_once_and_may_be_missing() -> None:
    a, b = {"document": "a"}, {"document": "b"}
    log = log_of(text(1, "x", sources=[a]), text(1, "x y", sources=[a, b]), text(1, "z", sources=None), text(1, ""))

    assert log.sources(1) == (a, b)


def test_the_latest_event_with_these_fields_in_a_range_is_found() -> None:
    log = log_of(text(1, "a"), text(2, "b"), text(1, "c"))

    assert log.last("agent.text", turn=1) == text(1, "c")
    assert log.last("agent.text", turn=1, before=2) == text(1, "a")
    assert log.last("agent.text", since=1, turn=2) == text(2, "b")
    assert log.last("agent.heard") is None


async def test_an_event_that_comes_is_waited_for() -> None:
    log = EventLog()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(log.follow(coming(text(1, "a"), text(2, "b"))))
        found = await log.until(lambda: log.last("agent.text", turn=2), 5.0, lambda: "b")

    assert found == text(2, "b")


@pytest.mark.parametrize("last", [text(1, "a"), {"type": "call.state", "state": "ended"}])
async def test_the_end_of_the_call_ends_the_waiting_and_names_what_is_missing(last: dict) -> None:
    log = EventLog()
    error = {"type": "error", "code": "llm_late", "detail": "llm failed"}
    await log.follow(coming(error, last))

    with pytest.raises(CallOver, match=r"without transcript\.final; the server said: llm_late: llm failed"):
        await log.until(lambda: log.last("transcript.final"), 5.0, lambda: "transcript.final")


async def test_waiting_in_vain_names_what_is_missing() -> None:
    log = EventLog()

    with pytest.raises(StageTimeout, match=r"no answer within 0\.01 s"):
        await log.until(lambda: None, 0.01, lambda: "answer")
