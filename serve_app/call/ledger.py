"""When each stage of a turn began, gave its first result and ended; the ledger is what page, metrics and bench read.

All stamps are of one monotonic clock, in the process that hosts the call. `over_floor_ms` is what the platform itself
cost: from the arrival of the last voiced packet to the first reply packet handed to the sender, minus the silence that
was waited for and minus the time the engines themselves worked on the way to that first packet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STAGES = ("end_of_turn", "asr", "retrieval", "llm", "clause", "tts", "playout")


@dataclass(slots=True)
class Stage:
    """Stamps of one stage, seconds of the monotonic clock; None = has not happened."""

    began_s: float | None = None
    first_s: float | None = None
    ended_s: float | None = None
    engine_ms: float | None = None
    """Time of the engine itself up to its first useful result."""


@dataclass(slots=True)
class TurnLedger:
    """One turn, from the caller's last sound to the end of the reply."""

    turn: int
    reply: int
    speech_end_s: float | None
    """Arrival of the last voiced packet; None for a typed turn or the greeting."""
    wait_ms: float = 0.0
    """Silence waited for before the turn was declared over, in audio time."""
    stages: dict[str, Stage] = field(default_factory=dict)

    def stage(self, name: str) -> Stage:
        """The stage of that name, made on first use."""
        if name not in STAGES:
            raise KeyError(name)
        return self.stages.setdefault(name, Stage())

    def began(self, name: str, at_s: float) -> None:
        """The stage was started."""
        self.stage(name).began_s = at_s

    def first(self, name: str, at_s: float, engine_ms: float | None = None) -> None:
        """The stage gave its first result; only the first call counts."""
        stage = self.stage(name)
        if stage.first_s is None:
            stage.first_s = at_s
            if engine_ms is not None:
                stage.engine_ms = engine_ms

    def ended(self, name: str, at_s: float, engine_ms: float | None = None) -> None:
        """The stage is done."""
        stage = self.stage(name)
        stage.ended_s = at_s
        if engine_ms is not None and stage.engine_ms is None:
            stage.engine_ms = engine_ms

    @property
    def engines_ms(self) -> float:
        """What the engines took on the way to the first packet."""
        return sum(stage.engine_ms or 0.0 for stage in self.stages.values())

    @property
    def response_ms(self) -> float | None:
        """Arrival of the last voiced packet → first reply packet handed to the sender."""
        first = self.stages["playout"].first_s if "playout" in self.stages else None
        if first is None or self.speech_end_s is None:
            return None
        return (first - self.speech_end_s) * 1000

    @property
    def floor_ms(self) -> float:
        """What this turn would have cost with the engines alone: the wait and their own time."""
        return self.wait_ms + self.engines_ms

    @property
    def over_floor_ms(self) -> float | None:
        """What the platform added."""
        response = self.response_ms
        return None if response is None else response - self.floor_ms

    def public(self) -> dict[str, Any]:
        """JSON form; times in milliseconds after the end of speech (of the turn's beginning, when it was typed)."""
        zero = self.speech_end_s
        if zero is None:
            zero = min((stage.began_s for stage in self.stages.values() if stage.began_s is not None), default=0.0)

        def since(stamp: float | None) -> float | None:
            return None if stamp is None else round((stamp - zero) * 1000, 1)

        stages = {
            name: {
                "began_ms": since(stage.began_s),
                "first_ms": since(stage.first_s),
                "ended_ms": since(stage.ended_s),
                "engine_ms": None if stage.engine_ms is None else round(stage.engine_ms, 1),
            }
            for name in STAGES
            if (stage := self.stages.get(name)) is not None
        }
        return {
            "turn": self.turn,
            "reply": self.reply,
            "spoken": self.speech_end_s is not None,
            "stages": stages,
            "wait_ms": round(self.wait_ms, 1),
            "engines_ms": round(self.engines_ms, 1),
            "floor_ms": round(self.floor_ms, 1),
            "response_ms": None if self.response_ms is None else round(self.response_ms, 1),
            "over_floor_ms": None if self.over_floor_ms is None else round(self.over_floor_ms, 1),
        }
