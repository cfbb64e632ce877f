"""Arabic and English in one call: the caller's language is answered, each word by the voice that can say it."""

from __future__ import annotations

from typing import Any

from configs.engines import EmulatedLlm, EmulatedTts, Engines, PocketSphinxAsr
from tests.fakes.fake_call import FakeCall, a_profile, tone
from tests.fakes.fake_knowledge import FakeKnowledge, a_passage
from tests.fakes.fake_llm import FakeLlm
from tests.fakes.fake_tenant import a_tenant
from tests.fakes.virtual_time import run_virtual

ENGLISH_EARS = a_profile(engines=Engines(asr=PocketSphinxAsr(), llm=EmulatedLlm(), tts=EmulatedTts()))
ARABIC_ANSWER = "نفتح من الثامنة إلى الثامنة."


def typed(text: str) -> dict[str, object]:
    return {"type": "caller.text", "text": text}


def arabic_call(**more: Any) -> FakeCall:
    return FakeCall(llm=FakeLlm(ARABIC_ANSWER), knowledge=FakeKnowledge([a_passage(ARABIC_ANSWER)]), **more)


def test_a_question_typed_in_arabic_is_looked_up_answered_and_spoken_in_arabic() -> None:
    async def play() -> None:
        async with arabic_call() as call:
            await call.greeted()
            call.line.handler(typed("متى تفتحون؟"))
            heard = await call.until("agent.heard", turn=1)

            assert heard["text"] == ARABIC_ANSWER
            assert (await call.until("transcript.final"))["language"] == "ar"
            assert isinstance(call.knowledge, FakeKnowledge)
            assert call.knowledge.queries[-1].language == "ar"
            assert isinstance(call.llm, FakeLlm)
            assert call.llm.requests[-1].language == "ar"
            assert call.tts.voices[ARABIC_ANSWER] == ("ar", "ar")

    run_virtual(play())


def test_the_standard_lines_follow_the_callers_language() -> None:
    async def play() -> None:
        async with arabic_call() as call:
            await call.greeted()
            call.line.handler(typed("متى تفتحون؟"))
            await call.until("agent.heard", turn=1)
            await call.until("agent.heard", text="ar still_there of Fake Utility")
            call.line.handler(typed("thank you"))
            await call.until("agent.heard", text="en anything_else of Fake Utility")

    run_virtual(play())


def test_an_answer_that_mixes_languages_is_spoken_by_both_voices_and_heard_whole() -> None:
    mixed = "We call it فاتورة الكهرباء in Arabic."

    async def play() -> None:
        async with FakeCall(llm=FakeLlm(mixed)) as call:
            await call.greeted()
            call.line.handler(typed("what do you call a bill"))
            heard = await call.until("agent.heard", turn=1)

            assert (heard["text"], heard["complete"]) == (mixed, True)
            assert call.tts.voices["فاتورة الكهرباء"] == ("ar", "ar")
            assert call.tts.voices["in Arabic."] == ("en", "en-gb")

    run_virtual(play())


def test_who_is_not_understood_is_told_once_which_language_is() -> None:
    async def play() -> None:
        async with FakeCall(profile=ENGLISH_EARS) as call:
            await call.greeted()
            for turn in (1, 2):
                await call.line.say(tone(1500))
                await call.until("agent.heard", turn=turn)

            assert [event["text"] for event in call.shown("agent.heard")[1:]] == [
                "en english_only of Fake Utility",
                "en did_not_catch of Fake Utility",
            ]

    run_virtual(play())


def test_in_a_conversation_held_in_arabic_it_is_said_each_time() -> None:
    async def play() -> None:
        async with FakeCall(tenant=a_tenant(languages=("ar", "en")), profile=ENGLISH_EARS) as call:
            await call.greeted()
            for turn in (1, 2):
                await call.line.say(tone(1500))
                heard = await call.until("agent.heard", turn=turn)
                assert heard["text"] == "ar english_only of Fake Utility"

    run_virtual(play())


def test_it_is_not_said_where_the_recogniser_understands_all_that_the_tenant_speaks() -> None:
    async def play() -> None:
        for call in (FakeCall(), FakeCall(profile=ENGLISH_EARS, tenant=a_tenant(languages=("en",)))):
            async with call:
                await call.greeted()
                await call.line.say(tone(1500))
                heard = await call.until("agent.heard", turn=1)
                assert heard["text"] == "en did_not_catch of Fake Utility"

    run_virtual(play())


def test_hesitation_that_was_heard_is_no_reason_to_say_it() -> None:
    async def play() -> None:
        async with FakeCall("um", profile=ENGLISH_EARS) as call:
            await call.greeted()
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=1)
            assert heard["text"] == "en did_not_catch of Fake Utility"

    run_virtual(play())


def test_a_line_in_two_languages_is_prepared_and_spoken_by_two_voices() -> None:
    tenant = a_tenant()
    english = tenant.lines["en"].model_copy(update={"english_only": "English only. الإنجليزية فقط."})
    tenant = tenant.model_copy(update={"lines": {**tenant.lines, "en": english}})

    async def play() -> None:
        async with FakeCall(profile=ENGLISH_EARS, tenant=tenant) as call:
            await call.greeted()
            prepared = len(call.tts.spoken)
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=1)

            assert heard["text"] == "English only. الإنجليزية فقط."
            assert call.tts.voices["الإنجليزية فقط."] == ("ar", "ar")
            assert len(call.tts.spoken) == prepared  # nothing is synthesised while the caller waits
            await call.line.say(tone(1500))
            heard = await call.until("agent.heard", turn=2)
            assert heard["text"] == "en did_not_catch of Fake Utility"

    run_virtual(play())


def test_a_call_begins_in_the_language_asked_for_if_the_tenant_speaks_it() -> None:
    async def play() -> None:
        for asked, greeted in (("ar", "ar"), ("fr", "en"), (None, "en")):
            async with FakeCall(language=asked) as call:
                await call.greeted()
                assert call.shown("agent.heard")[0]["text"] == f"{greeted} greeting of Fake Utility"

    run_virtual(play())
