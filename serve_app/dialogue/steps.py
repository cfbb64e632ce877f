"""What the dialogue takes and gives: a turn goes in, the steps of the answer come out, for the call session to do."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.contracts.dialogue import Message
from serve_app.tenants.models import StandardLine


@dataclass(frozen=True, slots=True)
class TurnInput:
    """What the caller said, and what was said before."""

    turn: int
    text: str
    """"" when nothing could be recognised."""
    language: str
    """"en" or "ar"; one the tenant does not speak is answered in the tenant's default."""
    history: tuple[Message, ...] = ()
    """Oldest first, without `text`; of the agent only what the caller heard."""
    last_heard: str = ""
    """The agent's last answer as far as it was heard; what "repeat that" repeats."""
    confidence: float | None = None
    """The recogniser's, in [0, 1]; None when it gives none, or the turn was typed."""
    spoken: bool = False
    """Not typed."""


@dataclass(frozen=True, slots=True)
class Say:
    """Speak this line."""

    text: str
    standard: StandardLine | None
    """Name of the tenant's line, where it is one: a prompt recorded beforehand can be played instead."""


@dataclass(frozen=True, slots=True)
class Words:
    """The next piece of an answer that is being written; the texts of a turn's `Words`, joined, are the answer."""

    text: str
    engine_ms: float
    """Time the engine itself took for this piece."""
    tokens: int


@dataclass(frozen=True, slots=True)
class Citation:
    """A document the answer was written from."""

    document: str
    title: str
    source: str


@dataclass(frozen=True, slots=True)
class Cited:
    """What the answer rests on, best first, each document once. Comes right before the first `Words`."""

    sources: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class StageBegan:
    """A remote stage, "retrieval" or "llm", is about to be asked. For the ledger."""

    stage: str


@dataclass(frozen=True, slots=True)
class StageEnded:
    """The stage is through. One that fails has `Failed` in its place."""

    stage: str
    engine_ms: float
    """Time the engines themselves took in all."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A stage failed or was too late; the tenant's `trouble` line follows."""

    stage: str
    """"intent", "retrieval" or "llm"."""
    code: str
    """Of the error (`contracts.errors`); "unexpected" for one of our own mistakes."""


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call once everything before this has been heard."""

    reason: str


DialogueStep = Say | Words | Cited | StageBegan | StageEnded | Failed | Hangup
