"""What the agent does unasked: into silence, near the end, when the call must end. Whole calls in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes.fake_call import FakeCall, a_profile, quiet, tone
from tests.fakes.virtual_time import run_virtual

QUESTION = "what are your opening hours"


def now() -> float:
    return asyncio.get_running_loop().time()


def line(name: str, language: str = "en") -> str:
    return f"{language} {name} of Fake Utility"


def said(call: FakeCall) -> list[str]:
    return [event["text"] for event in call.shown("agent.heard")]


def short(**limits: float) -> FakeCall:
    return FakeCall(QUESTION, profile=a_profile(limits={"longest_call_s": 30, "warn_before_end_s": 10, **limits}))


def test_a_caller_who_says_nothing_is_asked_twice_and_told_goodbye_before_the_line_closes() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            assert await call.running == "silence"

            names = ("greeting", "still_there", "still_there_again", "silence_goodbye")
            assert said(call) == [line(name) for name in names]
            assert all(event["complete"] for event in call.shown("agent.heard"))
            assert now() == pytest.approx(10 + 10 + 8 + 4 * 1.2, abs=2)

    run_virtual(play())


def test_a_caller_who_then_speaks_is_answered_and_the_count_begins_anew() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.until("agent.heard", text=line("still_there_again"))
            await call.line.say(tone(1500))
            await call.until("agent.heard", turn=1)
            await asyncio.sleep(12)

            assert said(call)[-1] == line("still_there")
            assert call.shown("agent.heard")[-1]["turn"] == 1

    run_virtual(play())


def test_even_the_goodbye_into_silence_can_be_interrupted() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.until("agent.text", text=line("silence_goodbye"))
            await call.line.say(tone(1500))
            answered = await call.until("agent.heard", turn=1, complete=True)

            assert answered["text"].startswith("We are open")
            assert not call.running.done()

    run_virtual(play())


def test_noise_does_not_count_as_an_answer_to_are_you_still_there() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.until("agent.heard", text=line("still_there"))
            await call.line.say(tone(150))  # a click
            await call.until("agent.heard", text=line("still_there_again"))

    run_virtual(play())


def test_a_caller_who_types_slowly_is_not_asked() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.greeted()
            for _ in range(10):
                await asyncio.sleep(3)
                call.line.handler({"type": "caller.typing"})

            assert said(call) == [line("greeting")]
            assert call.shown("error") == []

    run_virtual(play())


def test_near_the_longest_duration_the_agent_warns_and_at_it_takes_its_leave() -> None:
    async def play() -> None:
        async with short() as call:
            await call.greeted()
            await asyncio.sleep(5)
            await call.line.say(tone(1500))
            assert await call.running == "longest_call"

            assert said(call)[-2:] == [line("time_nearly_over"), line("time_over")]
            assert 30 <= now() < 33

    run_virtual(play())


def test_the_last_words_are_not_interrupted_by_speech_or_typing() -> None:
    async def play() -> None:
        async with short() as call:
            await call.until("agent.text", text=line("time_over"))
            loud_from = len(call.line.played)
            call.line.handler({"type": "caller.text", "text": "one more thing"})
            await call.line.say(tone(600) + quiet(100))
            assert await call.running == "longest_call"

            assert said(call)[-1] == line("time_over")
            assert call.shown("agent.heard")[-1]["complete"]
            assert call.line.loud_ms(loud_from) > 600
            assert not call.shown("transcript.final")

    run_virtual(play())


def test_who_is_in_the_middle_of_a_sentence_at_the_end_hears_the_leave_taking_too() -> None:
    async def play() -> None:
        async with short() as call:
            await call.greeted()
            asyncio.get_running_loop().create_task(call.line.say(tone(60_000)))
            assert await call.running == "longest_call"

            assert said(call)[-1] == line("time_over")

    run_virtual(play())


def test_a_call_that_must_end_ends_even_if_the_line_cannot_be_spoken() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.greeted()
            call.lines._lines.clear()
            call.tts.hangs = True
            call.session.take_leave("host_shutdown", "closing_down")
            assert await call.running == "host_shutdown"

            assert now() < 30

    run_virtual(play())


def test_a_call_that_must_end_says_so() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await asyncio.sleep(0.3)  # in the middle of the greeting
            call.session.take_leave("host_shutdown", "closing_down")
            call.session.take_leave("host_shutdown", "closing_down")
            assert await call.running == "host_shutdown"

            assert said(call)[-1] == line("closing_down")

    run_virtual(play())


def test_a_mistake_of_ours_ends_the_call_with_words() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION) as call:
            await call.greeted()
            call.asr.fails = ZeroDivisionError("a bug")
            await call.line.say(tone(1500))
            assert await call.running == "internal_error"

            assert said(call)[-1] == line("closing_down")

    run_virtual(play())


def test_after_are_you_still_there_repeat_still_means_the_answer() -> None:
    async def play() -> None:
        async with FakeCall(QUESTION, "please repeat that") as call:
            await call.greeted()
            await call.line.say(tone(1500))
            answer = await call.until("agent.heard", turn=1)
            await call.until("agent.heard", text=line("still_there"))
            await call.line.say(tone(1500))
            repeated = await call.until("agent.heard", turn=2)

            assert repeated["text"] == answer["text"]

    run_virtual(play())


def test_who_begins_to_write_during_the_goodbye_is_waited_for() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.until("agent.text", text=line("silence_goodbye"))
            call.line.handler({"type": "caller.typing"})
            await asyncio.sleep(3)
            call.line.handler({"type": "caller.text", "text": "when are you open"})
            answered = await call.until("agent.heard", turn=1, complete=True)

            assert answered["text"].startswith("We are open")

    run_virtual(play())


def test_no_after_anything_else_is_a_goodbye() -> None:
    async def play() -> None:
        async with FakeCall() as call:
            await call.greeted()
            for text in ("no", "thank you", "no"):
                call.line.handler({"type": "caller.text", "text": text})
                await asyncio.sleep(3)

            assert said(call)[1:] == [line("did_not_catch"), line("anything_else"), line("goodbye")]
            assert await call.running == "caller_goodbye"

    run_virtual(play())
