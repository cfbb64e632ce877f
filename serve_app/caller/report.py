"""What a scripted call found out. Milliseconds are on the caller's clock unless a field says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TurnReport:
    """One thing the caller said, and what came of it. Of a turn that failed, what is not known is None or empty."""

    turn: int | None
    """The server's number of the turn."""
    question_s: float
    """Length of what was said."""
    transcript: str
    answer_text: str
    sources: tuple[dict[str, Any], ...]
    """{document, title, source}, as the server sent them."""
    heard_text: str
    """What the caller heard of the answer, by the server's count."""
    heard_complete: bool
    ear_ms: float | None
    """From sending the last voiced packet to the arrival of the first packet of sound after it (a filler counts).

    Opus carries the last 6.5 ms of a voice in the packet after its own: a server that counts from the last loud packet
    it hears may count 20 ms less.
    """
    spoken_over: bool
    """The agent sounded while the caller spoke; expected of an interruption, a fault of turn-taking otherwise."""
    ledger: dict[str, Any] | None
    """The server's `turn.ledger` event."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a script was not played to its end."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class CallReport:
    """One scripted call."""

    connected: bool
    call: str
    """The server's name of the call, "" when no event arrived."""
    location: str
    setup_ms: float
    greeting_text: str
    turns: tuple[TurnReport, ...]
    barge_in_ms: float | None
    """From sending the first voiced packet of the interruption to the arrival of the last sound before silence."""
    failure: Failure | None
    """None when the whole script was played and answered."""
    end_reason: str
    packets_received: int
    packets_lost: int
    send_delay_max_ms: float
    """The latest one of our own packets left behind its deadline: above some 20 ms, doubt the other figures."""
    recording: bytes
    """Stereo s16le at 16 kHz: caller left, agent right, on one clock."""
    events: tuple[dict[str, Any], ...]
    """Every event of the server, in order."""
