"""Whole calls of fakes in virtual time: what the caller hears, what is remembered, what is recorded."""

from __future__ import annotations

import asyncio

import pytest

from deployments.contracts.dialogue import Message
from deployments.contracts.errors import StageFailed
from tests.fakes.fake_call import WORD_MS, FakeCall, a_profile, quiet, tone
from tests.fakes.fake_knowledge import FakeKnowledge
from tests.fakes.fake_llm import FakeLlm
from tests.fakes.virtual_time import run_virtual

QUESTION = "what are your opening hours"
ANSWER = "We are open from eight to eight. On Friday we close at noon."


def test_the_agent_greets_first_and_answers_a_spoken_question() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=1)
            final = await call.until("transcript.final", turn=1)

            assert call.shown("agent.heard")[0]["text"] == "en greeting of Fake Utility"
            assert final["text"] == QUESTION
            assert (heard["text"], heard["complete"]) == (ANSWER, True)
            assert call.shown("agent.text")[-1]["sources"][0]["document"] == "tariffs.en"
            assert call.session.snapshot()["messages"] == [
                {"role": "agent", "text": "en greeting of Fake Utility"},
                {"role": "caller", "text": QUESTION},
                {"role": "agent", "text": ANSWER},
            ]

    run_virtual(play())


def test_the_ledger_has_every_stage_and_what_the_platform_added() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            await call.line.say(tone(1500))
            ledger = await call.until("turn.ledger", turn=1)
            stages = ledger["stages"]

            assert list(stages) == ["end_of_turn", "asr", "retrieval", "llm", "clause", "tts", "playout"]
            firsts = [stages[name]["first_ms"] for name in ("asr", "retrieval", "llm", "clause", "tts", "playout")]
            assert firsts == sorted(firsts)
            assert stages["playout"]["ended_ms"] > stages["playout"]["first_ms"] + 2000
            assert ledger["response_ms"] == pytest.approx(ledger["floor_ms"] + ledger["over_floor_ms"], abs=0.2)
            # The fakes claim engine times they do not take, so the difference may be a little below zero.
            assert -15 < ledger["over_floor_ms"] < 60

    run_virtual(play())


def test_a_caller_who_interrupts_is_heard_and_only_what_was_heard_is_remembered() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION, "goodbye") as call:
            await call.greeted()
            await call.line.say(tone(1500))
            await call.until("call.state", state="speaking")
            await asyncio.sleep(1.5)
            before, cleared = len(call.line.played), call.line.cleared
            await call.line.say(tone(800))
            heard = await call.until("agent.heard", turn=1)

            assert not heard["complete"]
            assert ANSWER.startswith(heard["text"]) and 4 <= len(heard["text"].split()) <= 9
            assert call.line.loud_ms(before) <= 400
            assert call.line.cleared == cleared + 1
            await call.until("transcript.final", turn=2)
            assert call.session.snapshot()["messages"][2] == {"role": "agent", "text": heard["text"]}
            assert call.tts.open_streams == 0

    run_virtual(play())


def test_a_cough_lowers_the_voice_and_the_agent_goes_on() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            await call.line.say(tone(1500))
            await call.until("call.state", state="speaking")
            await asyncio.sleep(0.6)
            await call.line.say(tone(100))
            heard = await call.until("agent.heard", turn=1)

            assert heard["complete"]
            assert call.asr.dropped == ["c1-2"]
            assert len(call.shown("transcript.final")) == 1

    run_virtual(play())


def test_a_click_in_which_nothing_was_recognised_is_not_answered() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.greeted()
            await call.line.say(tone(130) + quiet(2000))

            assert call.shown("transcript.final") == []
            assert call.session.state == "listening"

    run_virtual(play())


def test_unrecognised_speech_is_answered_with_did_not_catch() -> None:
    async def play() -> None:
        async with FakeCall("") as call:
            await call.greeted()
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=1)

            assert heard["text"] == "en did_not_catch of Fake Utility"

    run_virtual(play())


def test_the_caller_may_type() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.greeted()
            call.line.handler({"type": "caller.text", "text": QUESTION})
            heard = await call.until("agent.heard", turn=1)
            ledger = await call.until("turn.ledger", turn=1)

            assert heard["text"] == ANSWER
            assert ledger["spoken"] is False and ledger["over_floor_ms"] is None

    run_virtual(play())


@pytest.mark.parametrize("message", [{}, {"type": "caller.text"}, {"type": "caller.text", "text": 5}, {"type": "x"}])
def test_a_message_that_is_none_gets_an_error_and_changes_nothing(message: dict[str, object]) -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.greeted()
            call.line.handler(message)
            call.line.handler({"type": "caller.text", "text": "x" * 3000})
            await call.until("error", code="text_too_long")

            assert [event["code"] for event in call.shown("error")] == ["message_unknown", "text_too_long"]
            assert call.shown("transcript.final") == []

    run_virtual(play())


def test_goodbye_is_said_to_its_end_before_the_agent_hangs_up() -> None:
    async def play() -> None:
        async with FakeCall("goodbye") as call:
            await call.greeted()
            await call.line.say(tone(600))
            reason = await call.running

            assert reason == "caller_goodbye"
            assert call.shown("agent.heard")[-1] == {
                **call.shown("agent.heard")[-1],
                "text": "en goodbye of Fake Utility",
                "complete": True,
            }
            assert [event.type for event in call.sink.events][-1] == "call.ended"

    run_virtual(play())


def test_a_recogniser_that_lost_its_state_gets_the_utterance_again() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            call.asr.forgets = 2
            await call.line.say(tone(1500))
            final = await call.until("transcript.final", turn=1)

            assert final["text"] == QUESTION
            assert call.asr.forgets == 0

    run_virtual(play())


@pytest.mark.parametrize("broken", ["asr_fails", "asr_hangs", "llm", "knowledge"])
def test_when_a_stage_fails_the_caller_is_told_and_the_call_goes_on(broken: str) -> None:
    failure = StageFailed("x_gone", "not there", "x")

    async def play() -> None:
        llm = FakeLlm("never said", stops_at=0, fails=failure) if broken == "llm" else None
        knowledge = FakeKnowledge(fails=failure) if broken == "knowledge" else None
        async with FakeCall(QUESTION, "thank you", llm=llm, knowledge=knowledge) as call:
            await call.greeted()
            call.asr.fails = failure if broken == "asr_fails" else None
            call.asr.hangs = broken == "asr_hangs"
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=1)

            assert heard["text"] == "en trouble of Fake Utility"
            assert call.shown("error")[0]["stage"] in ("asr", "llm", "retrieval")
            call.asr.fails, call.asr.hangs = None, False
            call.asr.texts = ["thank you"]
            await call.line.say(tone(700))
            again = await call.until("agent.heard", turn=2)
            assert again["text"] == "en anything_else of Fake Utility"

    run_virtual(play())


@pytest.mark.parametrize("how", ["fails", "hangs"])
def test_when_the_voice_fails_a_prepared_line_is_heard(how: str) -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            call.tts.fails = StageFailed("tts_gone", "not there", "tts") if how == "fails" else None
            call.tts.hangs = how == "hangs"
            before = len(call.line.played)
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=1)

            assert (heard["text"], heard["complete"]) == ("en trouble of Fake Utility", True)
            assert call.line.loud_ms(before) >= 4 * WORD_MS
            assert call.tts.open_streams == 0

    run_virtual(play())


def test_a_slow_answer_is_bridged_and_the_bridge_is_not_remembered() -> None:
    async def play() -> None:
        knowledge = FakeKnowledge(never_answers=True)
        profile = a_profile(budgets={"retrieval_ms": 4000, "filler_after_ms": 1000})
        async with FakeCall(QUESTION, knowledge=knowledge, profile=profile) as call:
            await call.greeted()
            await call.line.say(tone(1500))
            await call.until("transcript.final", turn=1)
            before = len(call.line.played)
            await asyncio.sleep(2.5)

            assert call.line.loud_ms(before) >= 4 * WORD_MS
            heard = await call.until("agent.heard", turn=1)
            assert heard["text"] == "en trouble of Fake Utility"
            assert Message("agent", "en one_moment of Fake Utility") not in call.session._said.history.messages

    run_virtual(play())


def test_without_verdicts_loudness_decides() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            call.vad.deaf = True
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=1)

            assert heard["text"] == ANSWER

    run_virtual(play())


def test_a_sink_that_refuses_does_not_end_the_call() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            call.sink.fails = StageFailed("spool_full", "disk full", "spool")
            await call.line.say(tone(1500))
            await call.until("agent.heard", turn=1)

            assert call.record.unstored > 0

    run_virtual(play())


def test_stored_events_count_without_gaps_and_interims_are_not_stored() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            await call.line.say(tone(1500))
            await call.until("turn.ledger", turn=1)
            await call.until("transcript.interim")

        assert [event.seq for event in call.sink.events] == list(range(1, len(call.sink.events) + 1))
        assert "transcript.interim" not in {event.type for event in call.sink.events}

    run_virtual(play())


def test_a_mistake_of_ours_ends_the_call_with_a_reason_instead_of_hanging_it() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            call.asr.fails = ZeroDivisionError("a bug")
            await call.line.say(tone(1500))

            assert await call.running == "internal_error"
            assert call.shown("error")[-1]["code"] == "internal_error"
            assert call.line.closed

    run_virtual(play())


def test_a_very_long_answer_is_spoken_whole_and_never_waits_in_memory_as_a_whole() -> None:
    answer = " ".join(f"This is sentence number {number} of a very long answer." for number in range(200))

    async def play() -> None:
        async with FakeCall(QUESTION, llm=FakeLlm(answer)) as call:
            await call.greeted()
            prepared = len(call.tts.spoken)
            await call.line.say(tone(1500))
            await call.until("agent.text", turn=1)
            await asyncio.sleep(5)
            spoken_early = len(call.tts.spoken) - prepared
            await asyncio.sleep(360)
            heard = await call.until("agent.heard", turn=1)

            assert (heard["text"], heard["complete"]) == (answer, True)
            assert spoken_early < 12
            assert call.shown("turn.ledger")[1]["underrun_frames"] < 5

    run_virtual(play())
