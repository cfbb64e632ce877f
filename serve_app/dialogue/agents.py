"""What the agent says in one turn: intent agent → retrieval agent → response agent, an explicit state machine.

In goes a `TurnInput`, out come `DialogueStep`s in the order in which they are to be done. An agent yields steps and
says how it ended; `NEXT` says which agent follows. Failures never leave `respond`: they become `Failed` and the
tenant's `trouble` line. Only cancellation passes through, and it leaves no remote work behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeVar

from configs.settings import Budgets
from configs.settings import Dialogue as DialogueSettings
from deployments.contracts.dialogue import GenerationRequest, TokenGroup
from deployments.contracts.errors import DukatError, StageFailed, StageTimeout
from deployments.contracts.knowledge import Passage
from deployments.contracts.ports import KnowledgePort, LlmPort
from serve_app.dialogue.intents import Intent, classify, declines
from serve_app.dialogue.prompts import generation_request, knowledge_query
from serve_app.dialogue.steps import (
    Citation,
    Cited,
    DialogueStep,
    Failed,
    Hangup,
    Say,
    StageBegan,
    StageEnded,
    TurnInput,
    Words,
)
from serve_app.tenants.models import StandardLine, Tenant

T = TypeVar("T")

_log = logging.getLogger(__name__)


class State(Enum):
    """Whose turn it is within the turn."""

    INTENT = "intent"
    RETRIEVAL = "retrieval"
    RESPONSE = "response"
    DONE = "done"


class Outcome(Enum):
    """How an agent ended."""

    SETTLED = "settled"
    """All is said."""
    ASKED = "asked"
    """The caller asked something."""
    FOUND = "found"
    """There are passages to answer from."""
    FAILED = "failed"


NEXT: dict[tuple[State, Outcome], State] = {
    (State.INTENT, Outcome.SETTLED): State.DONE,
    (State.INTENT, Outcome.ASKED): State.RETRIEVAL,
    (State.INTENT, Outcome.FAILED): State.DONE,
    (State.RETRIEVAL, Outcome.SETTLED): State.DONE,
    (State.RETRIEVAL, Outcome.FOUND): State.RESPONSE,
    (State.RETRIEVAL, Outcome.FAILED): State.DONE,
    (State.RESPONSE, Outcome.SETTLED): State.DONE,
    (State.RESPONSE, Outcome.FAILED): State.DONE,
}

STANDARD_ANSWERS: dict[Intent, StandardLine] = {
    Intent.NOTHING: "did_not_catch",
    Intent.GREETING: "greeting",
    Intent.THANKS: "anything_else",
    Intent.HUMAN: "person",
    Intent.ABOUT: "about",
    Intent.GOODBYE: "goodbye",
}


@dataclass(slots=True)
class _Work:
    """What the agents of one turn hand to each other."""

    turn: TurnInput
    language: str
    passages: list[Passage] = field(default_factory=list)
    outcome: Outcome = Outcome.FAILED


class _Agent(Protocol):
    stage: str

    def run(self, work: _Work) -> AsyncGenerator[DialogueStep, None]:
        """Yield steps, and leave `work.outcome` before ending."""
        ...


class Dialogue:
    """One call's conversation. Holds no state between turns: the history comes with each."""

    def __init__(
        self,
        tenant: Tenant,
        knowledge: KnowledgePort,
        llm: LlmPort,
        settings: DialogueSettings,
        budgets: Budgets,
        heard: Sequence[str] = ("en", "ar"),
    ) -> None:
        """`heard`: the languages the recogniser understands."""
        self._tenant = tenant
        self._agents: dict[State, _Agent] = {
            State.INTENT: IntentAgent(tenant, settings.sure_goodbye, heard),
            State.RETRIEVAL: RetrievalAgent(tenant, knowledge, settings, budgets),
            State.RESPONSE: ResponseAgent(tenant, llm, settings, budgets),
        }

    async def respond(self, turn: TurnInput) -> AsyncGenerator[DialogueStep, None]:
        """The steps of the answer. Iterate under `contextlib.aclosing`, so that leaving early stops the remote work."""
        work = _Work(turn, self._tenant.speaking(turn.language))
        state = State.INTENT
        while state is not State.DONE:
            agent = self._agents[state]
            try:
                async with aclosing(agent.run(work)) as steps:
                    async for step in steps:
                        yield step
            except Exception as error:
                work.outcome = Outcome.FAILED
                yield Failed(agent.stage, _code_of(error, agent.stage, turn.turn))
                yield _standard(self._tenant, "trouble", work.language)
            state = NEXT[state, work.outcome]


class IntentAgent:
    """Settles what needs no documents, and passes on what does."""

    stage = "intent"

    def __init__(self, tenant: Tenant, sure_goodbye: float, heard: Sequence[str]) -> None:
        self._tenant = tenant
        self._not_heard = frozenset(tenant.languages) - frozenset(heard)
        self._sure_goodbye = sure_goodbye

    async def run(self, work: _Work) -> AsyncGenerator[DialogueStep, None]:
        intent = classify(work.turn.text, work.language)
        if declines(work.turn.text) and self._just_asked(work, "anything_else"):
            intent = Intent.GOODBYE
        confidence = work.turn.confidence
        if intent is Intent.GOODBYE and confidence is not None and confidence < self._sure_goodbye:
            # Hanging up on somebody who did not say goodbye is the one mistake that cannot be mended: ask first.
            intent = Intent.THANKS
        if intent is Intent.QUESTION:
            work.outcome = Outcome.ASKED
            return
        work.outcome = Outcome.SETTLED
        if intent is Intent.REPEAT and work.turn.last_heard:
            yield Say(work.turn.last_heard, None)
            return
        line = STANDARD_ANSWERS.get(intent, "did_not_catch")
        if line == "did_not_catch" and self._may_be_unheard(work):
            line = "english_only"
        yield _standard(self._tenant, line, work.language)
        if intent is Intent.GOODBYE:
            yield Hangup("caller_goodbye")

    def _may_be_unheard(self, work: _Work) -> bool:
        """Whether the caller may be speaking a language of the tenant's that the recogniser does not understand.

        A recogniser that knows one language cannot tell another from noise: so the caller is told once, and each time
        in a conversation held in that language.
        """
        if not work.turn.spoken or work.turn.text or not self._not_heard:
            return False
        told = self._forms("english_only")
        return work.language in self._not_heard or not any(said.text in told for said in work.turn.history)

    def _just_asked(self, work: _Work, line: StandardLine) -> bool:
        """Whether that line is what the caller heard last."""
        heard = [said.text for said in work.turn.history if said.role == "agent"][-1:]
        return bool(heard) and heard[0] in self._forms(line)

    def _forms(self, line: StandardLine) -> set[str]:
        """A line as it is heard, in all languages."""
        return {" ".join(self._tenant.line(line, language).split()) for language in self._tenant.languages}


class RetrievalAgent:
    """Looks the question up in the tenant's documents."""

    stage = "retrieval"

    def __init__(self, tenant: Tenant, knowledge: KnowledgePort, settings: DialogueSettings, budgets: Budgets) -> None:
        self._tenant = tenant
        self._knowledge = knowledge
        self._settings = settings
        self._budget_ms = budgets.retrieval_ms

    async def run(self, work: _Work) -> AsyncGenerator[DialogueStep, None]:
        query = knowledge_query(self._tenant, work.turn.text, work.language, self._settings.passages)
        yield StageBegan(self.stage)
        answer = await _within(self._budget_ms, self.stage, self._knowledge.find(query))
        yield StageEnded(self.stage, answer.engine_ms)
        work.passages = [found for found in answer.passages if found.score >= self._settings.min_passage_score]
        if work.passages:
            work.outcome = Outcome.FOUND
        else:
            work.outcome = Outcome.SETTLED
            yield _standard(self._tenant, "no_answer", work.language)


class ResponseAgent:
    """Has the answer written from the passages."""

    stage = "llm"

    def __init__(self, tenant: Tenant, llm: LlmPort, settings: DialogueSettings, budgets: Budgets) -> None:
        self._tenant = tenant
        self._llm = llm
        self._settings = settings
        self._budget_ms = budgets.llm_first_token_ms

    async def run(self, work: _Work) -> AsyncGenerator[DialogueStep, None]:
        turn = work.turn
        most = self._settings.history_messages
        request = generation_request(self._tenant, turn.text, work.language, turn.history, work.passages, most)
        engine_ms = 0.0
        said = False
        yield StageBegan(self.stage)
        async with AsyncExitStack() as streams:
            groups, group = await _within(self._budget_ms, self.stage, self._open(request, streams))
            while group is not None:
                engine_ms += group.engine_ms
                if group.text:
                    if not said:
                        yield Cited(_citations(work.passages, group.used))
                    said = True
                    yield Words(group.text, group.engine_ms, group.tokens)
                # A stream that stalls in the middle of an answer is as dead as one that never began.
                group = None if group.last else await _within(self._budget_ms, self.stage, anext(groups, None))
        if not said:
            raise StageFailed("llm_silent", "the model ended its answer without a word", self.stage)
        yield StageEnded(self.stage, engine_ms)
        work.outcome = Outcome.SETTLED

    async def _open(
        self, request: GenerationRequest, streams: AsyncExitStack
    ) -> tuple[AsyncIterator[TokenGroup], TokenGroup | None]:
        groups = await streams.enter_async_context(self._llm.answer(request))
        return groups, await anext(groups, None)


async def _within(budget_ms: float, stage: str, work: Awaitable[T]) -> T:
    """The result, if it comes in time. Never spans a `yield`: that would count our consumer's time as the stage's."""
    try:
        async with asyncio.timeout(budget_ms / 1000):
            return await work
    except TimeoutError as error:
        raise StageTimeout(f"{stage}_late", f"nothing within {budget_ms:g} ms", stage) from error


def _standard(tenant: Tenant, line: StandardLine, language: str) -> Say:
    return Say(tenant.line(line, language), line)


def _citations(passages: list[Passage], used: tuple[int, ...] | None) -> tuple[Citation, ...]:
    """Each document once, in the order of its best passage; only those the model says it used, where it can tell."""
    if used is not None:
        passages = [passage for place, passage in enumerate(passages) if place in used]
    return tuple(dict.fromkeys(Citation(found.document, found.title, found.source) for found in passages))


def _code_of(error: Exception, stage: str, turn: int) -> str:
    """Log a failure; what we did not raise on purpose with its traceback."""
    code = error.code if isinstance(error, DukatError) else "unexpected"
    unforeseen = error if code == "unexpected" else None
    _log.warning("dialogue.failed", extra={"stage": stage, "turn": turn, "code": code}, exc_info=unforeseen)
    return code
