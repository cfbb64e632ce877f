"""The hearing side of a call: audio → windows → verdicts → decisions, and the recognition of the utterance under way.

Runs as two tasks of the session. What is to happen is told to `HearingEvents`, in order, on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from configs.settings import Profile
from deployments.contracts.audio import to_samples
from deployments.contracts.ports import AsrPort, CallPort, VadPort
from deployments.contracts.speech import Phrasebook, Transcript, VadWindows
from serve_app.call.ear import WINDOW_BYTES, Ear, level_dbfs
from serve_app.call.recognition import Recognition
from serve_app.call.turn_taking import BargeIn, Decision, FalseStart, SpeechStarted, TurnEnded, TurnTaker

MOST_WINDOWS = 16
"""Windows given to the VAD at once by one call: half a second, if it ever falls behind."""


class HearingEvents(Protocol):
    """What the conductor does about what was heard."""

    def agent_holds_floor(self) -> bool:
        """The agent is speaking, or about to: speech now is a candidate for a barge-in."""
        ...

    def on_speech(self, *, over_agent: bool) -> None:
        """The caller has begun to speak."""
        ...

    def on_barge_in(self) -> None:
        """The caller interrupts."""
        ...

    def on_false_start(self) -> None:
        """It was only a cough: go on."""
        ...

    def on_interim(self, interim: Transcript) -> None:
        """The utterance so far."""
        ...

    def on_turn(self, recognition: Recognition, ended: TurnEnded) -> None:
        """The caller has finished."""
        ...

    def spawn(self, work: Awaitable[None]) -> object:
        """Run as a task of the call."""
        ...


class Hearing:
    """One call's ears."""

    def __init__(
        self,
        call: str,
        profile: Profile,
        line: CallPort,
        vad: VadPort,
        asr: AsrPort,
        phrasebook: Callable[[], Phrasebook],
        language: str | None,
        events: HearingEvents,
    ) -> None:
        self._call = call
        self._line = line
        self._vad = vad
        self._asr = asr
        self._phrasebook = phrasebook
        self._language = language
        self._events = events
        self._step = to_samples(profile.limits.asr_step_ms)
        self._taker = TurnTaker(profile.turn_taking)
        self._window_came = asyncio.Event()
        self._piece_came = asyncio.Event()
        self._recognition: Recognition | None = None
        self._utterances = 0
        self.ear = Ear()

    @property
    def caller_speaking(self) -> bool:
        """The caller holds the turn."""
        return self._taker.speaking

    async def listen(self) -> None:
        """Take the line's audio until the line closes."""
        async for audio in self._line.frames():
            self.ear.add(audio)
            self._piece_came.set()
            if self.ear.waiting_windows:
                self._window_came.set()

    async def judge(self) -> None:
        """Have the windows judged and act on the verdicts, for ever."""
        state: bytes | None = None
        while True:
            await self._window_came.wait()
            self._window_came.clear()
            while self.ear.waiting_windows:
                pcm = self.ear.windows(MOST_WINDOWS)
                verdict = await self._vad.judge(VadWindows(pcm, state))
                state = verdict.state if verdict else state
                unknown = (None,) * (len(pcm) // WINDOW_BYTES)
                for place, probability in enumerate(verdict.probabilities if verdict else unknown):
                    self._judged(pcm[place * WINDOW_BYTES : (place + 1) * WINDOW_BYTES], probability)

    def _judged(self, window: bytes, probability: float | None) -> None:
        level = level_dbfs(window) if probability is None else 0.0
        complete = self._recognition.complete if self._recognition else None
        audible = self._events.agent_holds_floor()
        for decision in self._taker.window(probability, level, agent_audible=audible, text_complete=complete):
            self._decided(decision)

    def _decided(self, decision: Decision) -> None:
        match decision:
            case SpeechStarted(from_sample, over_agent):
                self._open_utterance(from_sample)
                self._events.on_speech(over_agent=over_agent)
            case BargeIn():
                self._events.on_barge_in()
            case FalseStart():
                if (recognition := self._take()) is not None:
                    self._events.spawn(recognition.drop())
                self._events.on_false_start()
            case TurnEnded():
                if (recognition := self._take()) is not None:
                    self._events.on_turn(recognition, decision)

    def _open_utterance(self, from_sample: int) -> None:
        self._utterances += 1
        self._recognition = Recognition(
            self._asr,
            self.ear,
            self._phrasebook(),
            f"{self._call}-{self._utterances}",
            from_sample,
            self._step,
            self._language,
            self._events.on_interim,
        )
        self._events.spawn(self._recognition.follow(self._piece_came))

    def _take(self) -> Recognition | None:
        recognition, self._recognition = self._recognition, None
        return recognition
