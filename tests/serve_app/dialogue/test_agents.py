"""The dialogue: which agent answers what, what each failure turns into, and that nothing stays open behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from configs.settings import Budgets
from configs.settings import Dialogue as DialogueSettings
from deployments.contracts.dialogue import Message, TokenGroup
from deployments.contracts.errors import StageBusy, StageFailed
from serve_app.dialogue.agents import (
    NEXT,
    Citation,
    Cited,
    Dialogue,
    DialogueStep,
    Failed,
    Hangup,
    Outcome,
    Say,
    StageBegan,
    StageEnded,
    State,
    TurnInput,
    Words,
)
from tests.fakes.fake_knowledge import FakeKnowledge, a_passage
from tests.fakes.fake_llm import OPENING, FakeLlm
from tests.fakes.fake_tenant import a_tenant

HOURS = a_passage("We are open from eight to eight.", heading="What are your opening hours?")
SHORT = Budgets(retrieval_ms=100, llm_first_token_ms=100)
TROUBLE = Say("en trouble of Fake Utility", "trouble")


def a_dialogue(knowledge: FakeKnowledge, llm: FakeLlm, budgets: Budgets | None = None, **settings: Any) -> Dialogue:
    return Dialogue(a_tenant(), knowledge, llm, DialogueSettings(**settings), budgets or Budgets())


async def steps_of(dialogue: Dialogue, text: str, language: str = "en", **turn: Any) -> list[DialogueStep]:
    async with aclosing(dialogue.respond(TurnInput(1, text, language, **turn))) as steps:
        return [step async for step in steps]


async def test_a_question_is_looked_up_and_answered_with_its_sources() -> None:
    """The whole path, in the order the session needs: marks for the ledger, sources before the first words."""
    passages = [HOURS, a_passage("On Friday we rest."), a_passage("Call us.", document="contact.en")]

    steps = await steps_of(a_dialogue(FakeKnowledge(passages), FakeLlm("Eight to eight.")), "What are your hours?")

    assert steps == [
        StageBegan("retrieval"),
        StageEnded("retrieval", 7.0),
        StageBegan("llm"),
        Cited(
            (
                Citation("tariffs.en", "TARIFFS.EN", "tariffs.en.md"),
                Citation("contact.en", "CONTACT.EN", "contact.en.md"),
            )
        ),
        Words("Eight ", 2.0, 1),
        Words("to ", 2.0, 1),
        Words("eight.", 2.0, 1),
        StageEnded("llm", 6.0),
    ]


async def test_the_model_gets_the_tenants_prompt_the_latest_history_and_only_good_passages() -> None:
    history = tuple(Message("caller" if n % 2 else "agent", f"message {n}") for n in range(9))
    weak = a_passage("Something else.", score=0.2)
    llm = FakeLlm("Yes.")

    dialogue = a_dialogue(FakeKnowledge([HOURS, weak]), llm, min_passage_score=0.5, history_messages=3)
    await steps_of(dialogue, "And on Sunday?", history=history)

    request = llm.requests[0]
    assert [message.text for message in request.messages] == ["message 7", "message 8", "And on Sunday?"]
    assert request.messages[-1].role == "caller"
    assert request.passages == (HOURS,)
    assert request.system == "You answer for Fake Utility."
    assert (request.tenant, request.language) == ("fake", "en")


async def test_an_arabic_question_is_asked_and_answered_in_arabic() -> None:
    knowledge, llm = FakeKnowledge([HOURS]), FakeLlm("من الثامنة")

    steps = await steps_of(a_dialogue(knowledge, llm), "ما هي ساعات العمل؟", "ar")

    assert (knowledge.queries[0].language, llm.requests[0].language) == ("ar", "ar")
    assert "".join(step.text for step in steps if isinstance(step, Words)) == "من الثامنة"


async def test_without_a_good_passage_the_agent_says_that_it_does_not_know() -> None:
    """The model is not even asked: it could only invent."""
    llm = FakeLlm("Invented.")

    dialogue = a_dialogue(FakeKnowledge([a_passage("Far off.", score=0.3)]), llm, min_passage_score=0.5)
    steps = await steps_of(dialogue, "Do you sell bicycles?")

    assert steps[-1] == Say("en no_answer of Fake Utility", "no_answer")
    assert llm.requests == []


@pytest.mark.parametrize(
    ("text", "language", "line"),
    [
        ("", "en", "did_not_catch"),
        ("um", "en", "did_not_catch"),
        ("Hello!", "en", "greeting"),
        ("thank you very much", "en", "anything_else"),
        ("I want to speak to a person", "en", "person"),
        ("السلام عليكم", "ar", "greeting"),
        ("شكرًا جزيلًا", "ar", "anything_else"),
        ("أريد أن أتحدث مع موظف", "ar", "person"),
    ],
)
async def test_what_needs_no_documents_is_answered_with_a_standard_line(text: str, language: str, line: str) -> None:
    knowledge = FakeKnowledge([HOURS])

    steps = await steps_of(a_dialogue(knowledge, FakeLlm("No.")), text, language)

    assert steps == [Say(f"{language} {line} of Fake Utility", line)]  # type: ignore[arg-type]
    assert knowledge.queries == []


@pytest.mark.parametrize(("text", "language"), [("thank you, goodbye", "en"), ("مع السلامة", "ar")])
async def test_a_goodbye_is_returned_before_the_agent_hangs_up(text: str, language: str) -> None:
    steps = await steps_of(a_dialogue(FakeKnowledge(), FakeLlm()), text, language)

    assert steps == [Say(f"{language} goodbye of Fake Utility", "goodbye"), Hangup("caller_goodbye")]


async def test_repeat_says_again_what_was_heard() -> None:
    steps = await steps_of(a_dialogue(FakeKnowledge(), FakeLlm()), "say that again", last_heard="Eight to eight.")

    assert steps == [Say("Eight to eight.", None)]


async def test_repeat_with_nothing_heard_yet_asks_the_caller_to_speak() -> None:
    steps = await steps_of(a_dialogue(FakeKnowledge(), FakeLlm()), "say that again")

    assert steps == [Say("en did_not_catch of Fake Utility", "did_not_catch")]


async def test_a_language_the_tenant_does_not_speak_is_answered_in_its_default() -> None:
    steps = await steps_of(a_dialogue(FakeKnowledge(), FakeLlm()), "", "fr")

    assert steps == [Say("en did_not_catch of Fake Utility", "did_not_catch")]


@pytest.mark.parametrize(
    ("knowledge", "code"),
    [
        (FakeKnowledge(fails=StageBusy("queue_full", "later", "knowledge")), "queue_full"),
        (FakeKnowledge(fails=RuntimeError("a bug")), "unexpected"),
        (FakeKnowledge(never_answers=True), "retrieval_late"),
    ],
    ids=["busy", "bug", "late"],
)
async def test_a_failed_retrieval_becomes_the_trouble_line(knowledge: FakeKnowledge, code: str) -> None:
    llm = FakeLlm("Never asked.")

    steps = await steps_of(a_dialogue(knowledge, llm, SHORT), "What are your hours?")

    assert steps == [StageBegan("retrieval"), Failed("retrieval", code), TROUBLE]
    assert (knowledge.asking, llm.opened) == (0, 0)


@pytest.mark.parametrize("stops_at", [OPENING, 0, 1], ids=["opening", "first word", "second word"])
@pytest.mark.parametrize(
    ("fails", "code"),
    [
        (StageFailed("llm_failed", "broken", "llm"), "llm_failed"),
        (ValueError("a bug"), "unexpected"),
        (None, "llm_late"),
    ],
    ids=["failed", "bug", "late"],
)
async def test_a_failing_model_becomes_the_trouble_line(stops_at: int, fails: Exception | None, code: str) -> None:
    """Wherever it breaks: what was said stays said, the failure is named, the stream is closed."""
    llm = FakeLlm("Eight o'clock.", stops_at, fails)

    steps = await steps_of(a_dialogue(FakeKnowledge([HOURS]), llm, SHORT), "What are your hours?")

    assert len([step for step in steps if isinstance(step, Words)]) == max(0, stops_at)
    assert steps[-2:] == [Failed("llm", code), TROUBLE]
    assert (llm.opened, llm.open_streams) == (1, 0)


@pytest.mark.parametrize("fails", [StageFailed("llm_failed", "broken", "llm"), None], ids=["failed", "late"])
async def test_what_happens_after_the_last_word_is_no_failure(fails: Exception | None) -> None:
    """The answer is whole; a caller who has heard it must not be told of trouble."""
    llm = FakeLlm("Eight o'clock.", stops_at=2, fails=fails)

    steps = await steps_of(a_dialogue(FakeKnowledge([HOURS]), llm, SHORT), "What are your hours?")

    assert steps[-1] == StageEnded("llm", 4.0)
    assert llm.open_streams == 0


async def test_a_model_that_says_nothing_is_a_failure() -> None:
    """Otherwise the caller would hear silence."""
    steps = await steps_of(a_dialogue(FakeKnowledge([HOURS]), FakeLlm("")), "What are your hours?")

    assert steps[-2:] == [Failed("llm", "llm_silent"), TROUBLE]


@pytest.mark.parametrize("waits_in", ["retrieval", OPENING, 0, 1])
async def test_cancelling_passes_through_and_leaves_nothing_open(waits_in: str | int) -> None:
    """At every await: the cancelled turn says nothing more and holds no remote work."""
    knowledge = FakeKnowledge([HOURS], never_answers=waits_in == "retrieval")
    llm = FakeLlm("Eight o'clock.", waits_in if isinstance(waits_in, int) else None)
    said: list[DialogueStep] = []

    async def take_turn() -> None:
        async with aclosing(a_dialogue(knowledge, llm).respond(TurnInput(1, "When are you open?", "en"))) as steps:
            async for step in steps:
                said.append(step)

    turn = asyncio.create_task(take_turn())
    for _ in range(20):
        await asyncio.sleep(0)
    waiting = (knowledge.asking, llm.open_streams)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn

    assert waiting == ((1, 0) if waits_in == "retrieval" else (0, 1))
    assert (knowledge.asking, llm.open_streams) == (0, 0)
    assert not any(isinstance(step, Failed | Say) for step in said)


@pytest.mark.parametrize("leave_after", range(1, 8))
async def test_leaving_early_closes_the_stream(leave_after: int) -> None:
    """Barge-in: the session stops reading between two steps."""
    llm = FakeLlm("Eight to eight.")
    dialogue = a_dialogue(FakeKnowledge([HOURS]), llm)

    async with aclosing(dialogue.respond(TurnInput(1, "When are you open?", "en"))) as steps:
        for _ in range(leave_after):
            await anext(steps)

    assert llm.open_streams == 0


async def test_a_slow_listener_does_not_use_up_the_models_budget() -> None:
    """The clock runs while the model is waited for, not while the session speaks."""
    dialogue = a_dialogue(FakeKnowledge([HOURS]), FakeLlm("Eight to eight."), SHORT)
    steps = []

    async with aclosing(dialogue.respond(TurnInput(1, "When are you open?", "en"))) as stream:
        async for step in stream:
            if step in (StageBegan("retrieval"), StageBegan("llm"), Words("Eight ", 2.0, 1)):
                await asyncio.sleep(0.15)  # longer than each budget
            steps.append(step)

    assert steps[-1] == StageEnded("llm", 6.0)


async def test_a_text_of_any_length_is_asked_as_two_thousand_characters() -> None:
    knowledge, llm = FakeKnowledge([HOURS]), FakeLlm("Yes.")

    await steps_of(a_dialogue(knowledge, llm), "why is that " * 1_000)

    assert (len(knowledge.queries[0].text), len(llm.requests[0].messages[-1].text)) == (2_000, 2_000)


def test_every_way_an_agent_can_end_leads_somewhere_and_at_last_to_done() -> None:
    """No missing entry, no circle: from every state the table only leads forwards."""
    order = list(State)

    assert all(order.index(after) > order.index(before) for (before, _), after in NEXT.items())
    assert {state for state, _ in NEXT} == set(State) - {State.DONE}
    assert {(state, Outcome.FAILED) for state in State if state is not State.DONE} <= set(NEXT)


async def test_only_the_passages_the_model_used_are_cited() -> None:
    class Choosy(FakeLlm):
        async def _groups(self) -> AsyncIterator[TokenGroup]:
            yield TokenGroup("Second.", 1, True, used=(1,))

    passages = [a_passage("first", document="one"), a_passage("second", document="two")]

    steps = await steps_of(a_dialogue(FakeKnowledge(passages), Choosy()), "What are your hours?")

    cited = next(step for step in steps if isinstance(step, Cited))
    assert [source.document for source in cited.sources] == ["two"]


@pytest.mark.parametrize(("confidence", "hangs_up"), [(0.3, False), (0.9, True), (None, True)])
async def test_an_unsure_goodbye_is_asked_about_instead_of_acted_on(confidence: float | None, hangs_up: bool) -> None:
    steps = await steps_of(a_dialogue(FakeKnowledge(), FakeLlm()), "thank you bye", confidence=confidence)

    assert any(isinstance(step, Hangup) for step in steps) is hangs_up
    assert steps[0] == (
        Say("en goodbye of Fake Utility", "goodbye")
        if hangs_up
        else Say("en anything_else of Fake Utility", "anything_else")
    )
