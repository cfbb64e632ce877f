"""Marks of the recognition bench: was a caller understood, refused, or answered wrongly. Pure.

A wrong answer is one from another passage than the question's own, or an action that was not asked for. To refuse ("I
did not catch that", "I do not have that") is no wrong answer and no right one. Word errors are counted as usual
(substitutions, deletions, insertions per word said); what was refused has all its words deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from serve_app.dialogue.agents import STANDARD_ANSWERS
from serve_app.dialogue.intents import Intent
from serve_app.tenants.models import StandardLine

Kind = Literal["question", "courtesy", "other"]
Verdict = Literal["right", "refused", "wrong"]

REFUSALS: frozenset[StandardLine | None] = frozenset({"did_not_catch", "no_answer", "english_only"})

MOST_WER = 0.15
MOST_WRONG_ANSWERS = 0.02
LEAST_REJECTED = 0.95


@dataclass(frozen=True, slots=True)
class Reply:
    """What the agent did."""

    heading: str | None = None
    """Of the passage it answered from; None when it answered from none."""
    line: StandardLine | None = None
    """The standard line it said."""
    repeated: bool = False
    """It said its last answer once more."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What it should have done; of other speech neither is known, and all but a refusal is wrong."""

    heading: str | None = None
    intent: Intent | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One utterance, judged."""

    kind: Kind
    voice: str
    said: str
    heard: str
    confidence: float | None
    reply: Reply
    verdict: Verdict


def judge(expected: Expected, reply: Reply) -> Verdict:
    """Right, refused or wrong."""
    if reply.line in REFUSALS:
        return "refused"
    if expected.heading is not None:
        return "right" if reply.heading == expected.heading else "wrong"
    if expected.intent is Intent.REPEAT:
        return "right" if reply.repeated else "wrong"
    if expected.intent is None:
        return "wrong"
    if reply.line is not None and reply.line == STANDARD_ANSWERS[expected.intent]:
        return "right"
    # An unsure goodbye is asked about instead of hung up on: nothing was done that cannot be mended.
    asked_first = expected.intent is Intent.GOODBYE and reply.line == STANDARD_ANSWERS[Intent.THANKS]
    return "refused" if asked_first else "wrong"


def words(text: str) -> list[str]:
    """Lower case, no punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower().replace("’", "'"))


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Least number of words to substitute, delete or insert to come from one to the other (Levenshtein 1966)."""
    row = list(range(len(heard) + 1))
    for place, word in enumerate(said, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(heard, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (word != other)),
            )
    return row[-1]


def word_error_rate(outcomes: Sequence[Outcome]) -> float | None:
    """Errors per word said; None of nothing."""
    pairs = [(words(outcome.said), words(outcome.heard)) for outcome in outcomes]
    said = sum(len(reference) for reference, _ in pairs)
    return sum(word_errors(reference, heard) for reference, heard in pairs) / said if said else None


def rate(outcomes: Sequence[Outcome], verdict: Verdict) -> float | None:
    """Share of one verdict; None of nothing."""
    return sum(outcome.verdict == verdict for outcome in outcomes) / len(outcomes) if outcomes else None


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures, what missed its threshold, and every failure."""
    asked = [outcome for outcome in outcomes if outcome.kind == "question"]
    courtesies = [outcome for outcome in outcomes if outcome.kind == "courtesy"]
    others = [outcome for outcome in outcomes if outcome.kind == "other"]
    figures: dict[str, Any] = {
        "questions": len({outcome.said for outcome in asked}),
        "voices": len({outcome.voice for outcome in asked}),
        "utterances": len(asked),
        "wer": word_error_rate(asked),
        "right_rate": rate(asked, "right"),
        "refused_rate": rate(asked, "refused"),
        "wrong_answer_rate": rate(asked, "wrong"),
        "courtesy_utterances": len(courtesies),
        "courtesy_wer": word_error_rate(courtesies),
        "courtesy_right_rate": rate(courtesies, "right"),
        "courtesy_wrong_rate": rate(courtesies, "wrong"),
        "ood_utterances": len(others),
        "ood_rejected_rate": rate(others, "refused"),
    }
    return {
        **{key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()},
        "missed": missed(figures),
        "failures": [_failure(outcome) for outcome in outcomes if _failed(outcome)],
    }


def missed(figures: dict[str, Any]) -> list[str]:
    """Names of the figures beyond their threshold; one that is not known misses nothing."""
    limits: dict[str, Callable[[float], bool]] = {
        "wer": lambda value: value <= MOST_WER,
        "wrong_answer_rate": lambda value: value <= MOST_WRONG_ANSWERS,
        "courtesy_wrong_rate": lambda value: value <= MOST_WRONG_ANSWERS,
        "ood_rejected_rate": lambda value: value >= LEAST_REJECTED,
    }
    return [name for name, holds in limits.items() if figures[name] is not None and not holds(figures[name])]


def _failed(outcome: Outcome) -> bool:
    return outcome.verdict != ("refused" if outcome.kind == "other" else "right")


def _failure(outcome: Outcome) -> dict[str, Any]:
    return {
        "kind": outcome.kind,
        "verdict": outcome.verdict,
        "voice": outcome.voice,
        "said": outcome.said,
        "heard": outcome.heard,
        "confidence": None if outcome.confidence is None else round(outcome.confidence, 3),
        "answered_from": outcome.reply.heading,
        "line": outcome.reply.line,
    }
