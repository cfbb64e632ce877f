"""Who may speak now. Pure: verdicts on windows of audio in, decisions out, all times in samples heard.

A window is judged voiced at `speech_threshold` and quiet below `silence_threshold` (the hysteresis of Silero's own
VADIterator); between the two it changes nothing. Without a verdict the window is *unknown*: it neither starts nor ends
speech, until `energy_gate_after_ms` have passed without any, when loudness stands in.

    QUIET ──start_ms of speech──▶ SPEAKING ──wait_ms of quiet──▶ QUIET   (TurnEnded)
                                     │
                while the agent is audible: candidate (duck it) ──barge_in_ms of speech──▶ BargeIn
                                                       └──quiet before that──▶ FalseStart (let it go on)
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.settings import TurnTaking
from deployments.contracts.audio import to_samples
from deployments.contracts.speech import VAD_WINDOW_SAMPLES


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller has begun to speak; the utterance includes `preroll_ms` before."""

    from_sample: int
    """First sample of the utterance, pre-roll included."""
    over_agent: bool
    """The agent was audible: a candidate for a barge-in, so lower its voice."""


@dataclass(frozen=True, slots=True)
class BargeIn:
    """The caller means it: stop the agent."""

    at_sample: int


@dataclass(frozen=True, slots=True)
class FalseStart:
    """It was a cough or a word in passing while the agent spoke: forget the utterance, let the agent go on."""

    at_sample: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller has finished."""

    speech_end: int
    """Sample after the last voiced window."""
    decided_at: int
    """Sample at which the silence was long enough."""
    voiced_samples: int


Decision = SpeechStarted | BargeIn | FalseStart | TurnEnded


class TurnTaker:
    """The state of one call's turn-taking. Feed it every window, in order."""

    def __init__(self, settings: TurnTaking) -> None:
        self._settings = settings
        self._start = to_samples(settings.start_ms)
        self._barge_in = to_samples(settings.barge_in_ms)
        self._preroll = to_samples(settings.preroll_ms)
        self._wait_complete = to_samples(settings.wait_complete_ms)
        self._wait_unsure = to_samples(settings.wait_unsure_ms)
        self._gate_after = to_samples(settings.energy_gate_after_ms)
        self._longest = to_samples(settings.longest_utterance_s * 1000)
        self._at = 0
        """Samples judged so far."""
        self._unknown = 0
        self._floor = 0
        """No pre-roll reaches before this sample: it belongs to the turn before."""
        self._listen_afresh()

    def _listen_afresh(self) -> None:
        self._speaking = False
        self._first_voiced: int | None = None
        self._voiced = 0
        self._last_voiced_end = 0
        self._unjudged = 0
        """Samples without a verdict since the last voiced window: no part of the silence."""
        self._candidate = False

    @property
    def speaking(self) -> bool:
        """The caller holds the turn."""
        return self._speaking

    def window(
        self, probability: float | None, level_dbfs: float, *, agent_audible: bool, text_complete: bool | None
    ) -> list[Decision]:
        """Judge the next 512 samples.

        `text_complete` is the recogniser's newest belief about the utterance: True ends the turn sooner.
        """
        began = self._at
        self._at += VAD_WINDOW_SAMPLES
        if not agent_audible:
            self._candidate = False  # the agent finished meanwhile: this is an ordinary utterance now
        voiced = self._voiced_now(probability, level_dbfs)
        if voiced is None:
            self._unjudged += VAD_WINDOW_SAMPLES
            return self._too_long()
        if voiced:
            return self._voice(began, agent_audible) + self._too_long()
        if probability is not None and probability >= self._settings.silence_threshold:
            return self._too_long()
        return self._quiet(text_complete)

    def _voiced_now(self, probability: float | None, level_dbfs: float) -> bool | None:
        if probability is not None:
            self._unknown = 0
            return probability >= self._settings.speech_threshold
        self._unknown += VAD_WINDOW_SAMPLES
        if self._unknown <= self._gate_after:
            return None
        return level_dbfs >= self._settings.energy_gate_dbfs

    def _voice(self, began: int, agent_audible: bool) -> list[Decision]:
        decisions: list[Decision] = []
        if self._first_voiced is None:
            self._first_voiced = began
        self._voiced += VAD_WINDOW_SAMPLES
        self._last_voiced_end = self._at
        self._unjudged = 0
        if not self._speaking and self._voiced >= self._start:
            self._speaking = True
            self._candidate = agent_audible
            first = max(self._floor, self._first_voiced - self._preroll)
            decisions.append(SpeechStarted(from_sample=first, over_agent=agent_audible))
        if self._candidate and self._voiced >= self._barge_in:
            self._candidate = False
            decisions.append(BargeIn(at_sample=self._at))
        return decisions

    def _quiet(self, text_complete: bool | None) -> list[Decision]:
        if not self._speaking:
            # A click too short to be speech must not add up with the next one.
            self._first_voiced, self._voiced = None, 0
            return []
        silence = self._at - self._last_voiced_end - self._unjudged
        if self._candidate and silence >= self._barge_in:
            self._floor = self._at
            self._listen_afresh()
            return [FalseStart(at_sample=self._at)]
        wait = self._wait_complete if text_complete else self._wait_unsure
        if not self._candidate and silence >= wait:
            return [self._end()]
        return []

    def _too_long(self) -> list[Decision]:
        if self._speaking and self._first_voiced is not None and self._at - self._first_voiced >= self._longest:
            return [self._end()]
        return []

    def _end(self) -> TurnEnded:
        ended = TurnEnded(self._last_voiced_end, self._at, self._voiced)
        self._floor = self._last_voiced_end
        self._listen_afresh()
        return ended
