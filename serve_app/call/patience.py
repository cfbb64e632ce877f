"""How long a call may be silent, and how long it may last: when the agent speaks up by itself.

Pure: the conductor asks `look` a few times a second and says what comes back. Silence is asked into twice, then the
agent says goodbye; words of the caller's begin the count anew. Near the longest duration the agent warns, as soon as
nobody speaks; at the end it takes its leave, whoever speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.settings import CallLimits, Silence
from serve_app.tenants.models import StandardLine


@dataclass(frozen=True, slots=True)
class SpeakUp:
    """Something to be said unasked."""

    line: StandardLine
    hangup: str | None = None
    """Reason with which the call ends after it."""
    last_word: bool = False
    """Nothing may interrupt it."""


_INTO_SILENCE = (
    SpeakUp("still_there"),
    SpeakUp("still_there_again"),
    SpeakUp("silence_goodbye", "silence"),
)


class Patience:
    """One call's. All times are seconds of one monotonic clock."""

    def __init__(self, silence: Silence, limits: CallLimits, began_s: float) -> None:
        self._silence = silence
        self._warn_at_s = began_s + limits.longest_call_s - limits.warn_before_end_s
        self._end_at_s = began_s + limits.longest_call_s
        self._warned = not 0 < limits.warn_before_end_s < limits.longest_call_s
        self._ended = False
        self._asked = 0
        self._quiet_since_s: float | None = None

    def caller_spoke(self) -> None:
        """The caller said something that was understood, or wrote: somebody is there."""
        self._asked = 0
        self._quiet_since_s = None

    def caller_stirred(self) -> None:
        """The caller is about to write: wait a little longer."""
        self._quiet_since_s = None

    def look(self, now_s: float, *, quiet: bool) -> SpeakUp | None:
        """What the agent should say now; `quiet` when neither side speaks or is about to."""
        if now_s >= self._end_at_s and not self._ended:
            self._ended = True
            return SpeakUp("time_over", "longest_call", last_word=True)
        if not quiet:
            self._quiet_since_s = None
            return None
        if not self._warned and now_s >= self._warn_at_s:
            self._warned = True
            return SpeakUp("time_nearly_over")
        if self._quiet_since_s is None:
            self._quiet_since_s = now_s
        last = self._asked == len(_INTO_SILENCE) - 1
        wait_s = self._silence.goodbye_after_s if last else self._silence.prompt_after_s
        if now_s - self._quiet_since_s < wait_s:
            return None
        said = _INTO_SILENCE[self._asked]
        self._asked = min(self._asked + 1, len(_INTO_SILENCE) - 1)
        self._quiet_since_s = None
        return said
