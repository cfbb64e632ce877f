"""Scripted calls over real WebRTC on loopback; what the caller measures is held against the machine's own stamps."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from deployments.contracts.errors import BadAudio, NotAllowed
from serve_app.caller.report import CallReport
from serve_app.caller.scripted import place_call
from serve_app.caller.speech import prepare
from tests.fakes.answering_machine import LOOPBACK, SOURCE, AnsweringMachine, problem, until
from tests.fakes.tones import tone

QUESTION = prepare(tone(0.5).tobytes() + bytes(3200))


@pytest.fixture
async def machine() -> AsyncIterator[AnsweringMachine]:
    async with AnsweringMachine() as answering:
        yield answering


async def call(machine: AnsweringMachine, *questions: object, **more: object) -> CallReport:
    return await place_call(
        machine.url, "demo", questions, host_addresses=(LOOPBACK,), **{"turn_timeout_s": 10, **more}
    )


async def test_two_questions_are_asked_and_answered(machine: AnsweringMachine) -> None:
    report = await call(machine, QUESTION, tone(0.3).tobytes())

    assert report.failure is None
    assert (report.connected, report.call, report.greeting_text) == (True, "c-1", "Hello.")
    assert [turn.turn for turn in report.turns] == [1, 2]
    assert [turn.transcript for turn in report.turns] == ["question 1", "question 2"]
    first = report.turns[0]
    assert first.answer_text == first.heard_text == "It is a tone. Really."
    assert first.heard_complete and not first.spoken_over
    assert first.sources == (SOURCE,)
    assert first.ledger is not None and first.ledger["over_floor_ms"] == 12.5
    assert first.question_s == pytest.approx(0.6)
    assert machine.hung_up == ["token-1"]
    assert report.end_reason == "hung_up"


async def test_the_delay_at_the_ear_is_the_delay_of_the_machine(machine: AnsweringMachine) -> None:
    report = await call(machine, QUESTION, QUESTION)
    measured = [turn.ear_ms for turn in report.turns]

    assert measured == pytest.approx([delay_s * 1000 for delay_s in machine.calls[0].delays_s], abs=60)
    # By the machine's own word it waited at least so long.
    assert min(machine.calls[0].delays_s) >= 0.4


async def test_another_delay_of_the_machine_is_measured_as_another() -> None:
    async with AnsweringMachine(reply_after_s=0.9) as slow:
        report = await call(slow, QUESTION)

    assert report.turns[0].ear_ms == pytest.approx(slow.calls[0].delays_s[0] * 1000, abs=60)
    assert report.turns[0].ear_ms > 850


async def test_an_interruption_stops_the_answer_and_is_answered_itself() -> None:
    async with AnsweringMachine(reply_s=3.0) as machine:
        report = await call(machine, QUESTION, interrupt=QUESTION)

    stopped_ms = machine.calls[0].stopped_after_s * 1000
    assert report.failure is None
    assert report.barge_in_ms == pytest.approx(stopped_ms, abs=60)
    interrupted, interrupting = report.turns
    assert (interrupted.heard_complete, interrupted.heard_text) == (False, "It")
    assert (interrupting.transcript, interrupting.heard_complete) == ("question 2", True)
    assert interrupting.spoken_over
    assert interrupting.ear_ms == pytest.approx(machine.calls[0].delays_s[-1] * 1000, abs=60)


async def test_the_sound_of_the_interrupted_answer_lasts_until_it_is_interrupted() -> None:
    async with AnsweringMachine(reply_s=3.0) as machine:
        report = await call(machine, QUESTION, interrupt=QUESTION)
    both = np.frombuffer(report.recording, np.int16).reshape(-1, 2)
    steps = both[: len(both) // 160 * 160].reshape(-1, 160, 2)
    loud = np.abs(steps.astype(np.int32)).max(axis=1) > 500
    caller, agent = loud[:, 0], loud[:, 1]
    second = np.nonzero(np.diff(caller.astype(int)) == 1)[0][-1] + 1

    # 0.7 s of answer before the interruption, in 10 ms steps.
    assert agent[second - 60 : second].all()
    assert not agent[second + 40 : second + 60].any()


async def test_an_answer_too_short_to_be_interrupted_is_a_named_failure(machine: AnsweringMachine) -> None:
    machine.reply_s = 0.2
    report = await call(machine, QUESTION, interrupt=QUESTION)

    assert report.failure is not None and report.failure.code == "answer_too_short"
    assert report.barge_in_ms is None
    assert len(report.turns) == 1 and report.turns[0].heard_complete


async def test_what_is_missing_is_named_when_no_answer_comes(machine: AnsweringMachine) -> None:
    machine.speechless = True
    report = await call(machine, QUESTION, turn_timeout_s=1.5)

    assert report.failure is not None and report.failure.code == "answer_missing"
    assert "transcript.final" in report.failure.detail
    assert (report.turns[0].turn, report.turns[0].ear_ms, report.turns[0].ledger) == (None, None, None)
    assert machine.hung_up == ["token-1"]


async def test_an_answer_that_never_sounds_cannot_be_interrupted(machine: AnsweringMachine) -> None:
    machine.speechless = True
    report = await call(machine, QUESTION, interrupt=QUESTION, turn_timeout_s=1.5)

    assert report.failure is not None and "interrupt" in report.failure.detail


async def test_a_greeting_that_does_not_end_is_named() -> None:
    async with AnsweringMachine(greeting_s=60.0) as machine:
        report = await call(machine, QUESTION, turn_timeout_s=1.0)

    assert report.failure is not None and "greeting" in report.failure.detail
    assert report.turns == ()


async def test_a_server_that_ends_in_the_middle_is_reported_with_what_was_said_until_then() -> None:
    async with AnsweringMachine(reply_s=30.0) as machine:
        placing = asyncio.create_task(call(machine, QUESTION))
        await until(lambda: bool(machine.calls) and machine.calls[0].turn == 1 and machine.calls[0].mouth.sounding)
        await machine.drop_calls()
        report = await placing

    assert report.failure is not None and report.failure.code == "line_ended"
    assert report.end_reason == "server_closed"
    assert report.turns[0].transcript == "question 1"


async def test_errors_the_server_told_are_in_the_failure(machine: AnsweringMachine) -> None:
    machine.speechless = True
    machine.noise_on_channel = ['{"type": "error", "call": "c-1", "code": "asr_late", "detail": "asr failed"}']
    report = await call(machine, QUESTION, turn_timeout_s=1.0)

    assert report.failure is not None and "asr_late" in report.failure.detail


async def test_a_refused_call_raises(machine: AnsweringMachine) -> None:
    machine.refusal = problem(401, "token_missing", "say who you are")

    with pytest.raises(NotAllowed) as refused:
        await call(machine, QUESTION)

    assert refused.value.code == "token_missing"


async def test_silence_is_no_question_and_nobody_is_called(machine: AnsweringMachine) -> None:
    with pytest.raises(BadAudio):
        await call(machine, bytes(32_000))

    assert machine.offers == []


async def test_cancelling_a_call_hangs_up(machine: AnsweringMachine) -> None:
    placing = asyncio.create_task(call(machine, QUESTION))
    await until(lambda: bool(machine.calls) and machine.calls[0].greeting)
    placing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await placing

    assert machine.hung_up == ["token-1"]
