"""What the language model takes and gives."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.contracts.knowledge import Passage


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation as the model sees it; of the agent only what the caller heard."""

    role: str
    """"caller" or "agent"."""
    text: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One answer to be written."""

    request: str
    """Identity of the request, for logs and for abort."""
    tenant: str
    system: str
    """The tenant's instructions."""
    messages: tuple[Message, ...]
    """Oldest first; the last one is the caller's question."""
    passages: tuple[Passage, ...]
    """What retrieval found, best first. An engine puts them at the end of its prompt, after everything that repeats."""
    language: str
    """Language to answer in: "en" or "ar"."""
    max_tokens: int = 200


@dataclass(frozen=True, slots=True)
class TokenGroup:
    """The next piece of the answer (tokens of ≥ 20 ms together, so that transport stays cheap)."""

    text: str
    tokens: int
    last: bool
    engine_ms: float = 0.0
    """Time the engine itself took for this group."""
    used: tuple[int, ...] | None = None
    """With the first group: which of the request's passages the answer is taken from; None when the engine cannot
    tell."""
