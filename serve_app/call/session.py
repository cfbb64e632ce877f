"""One call from the first word to the last: the conductor.

    line ─▶ Hearing (ear, VAD, turn-taking, recognition) ─turn─▶ Dialogue ─steps─▶ Speaking (reply, playout) ─▶ line

Who may speak is decided in `turn_taking`, when to speak unasked in `patience`, what is said in `dialogue`, how it is
spoken in `reply`; here they are joined. A session is an object, many to a process; it imports neither Ray nor aiortc
and runs in a test with fakes. A stage that fails ends in a spoken sentence. A call ends with words of the agent's, also
when the server stops or a mistake of ours ends it (`internal_error`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from configs.settings import Profile
from deployments.contracts.audio import to_ms
from deployments.contracts.errors import StageFailed
from deployments.contracts.ports import AsrPort, CallPort, TtsPort, VadPort
from deployments.contracts.speech import Phrasebook, Transcript
from serve_app.call.conversation import Conversation
from serve_app.call.hearing import Hearing
from serve_app.call.ledger import TurnLedger
from serve_app.call.patience import Patience, SpeakUp
from serve_app.call.presence import Change, Presence
from serve_app.call.recognition import Recognition
from serve_app.call.record import CallRecord
from serve_app.call.speaking import Speaking, Voice
from serve_app.call.standard_lines import StandardLines
from serve_app.call.turn_taking import TurnEnded
from serve_app.dialogue.agents import Dialogue
from serve_app.dialogue.steps import Failed
from serve_app.media.comfort_noise import ComfortNoise
from serve_app.tenants.models import StandardLine, Tenant

log = logging.getLogger(__name__)

NOISE_VOICED_MS = 250
"""Speech shorter than this in which nothing was recognised is a click or a cough: no answer to it."""
MOST_TYPED_CHARS = 2_000
LOOK_S = 0.25
"""How often it is looked whether the agent should speak up."""
LONGEST_LEAVE_S = 15.0
"""The agent's last words may take so long, whatever fails; then the call is over."""


@dataclass(frozen=True, slots=True)
class CallParts:
    """What a session works with."""

    line: CallPort
    vad: VadPort
    asr: AsrPort
    tts: TtsPort
    dialogue: Dialogue
    lines: StandardLines
    record: CallRecord
    phrasebook: Callable[[], Phrasebook]
    """What callers may say about the documents as they are now."""
    clock: Callable[[], float]


class _Over(Exception):
    """Leaves the call's task group: every task of the call is cancelled and awaited."""


class CallSession:
    """One call. `run` returns the reason it ended."""

    def __init__(
        self, call: str, tenant: Tenant, profile: Profile, parts: CallParts, language: str | None = None
    ) -> None:
        """`language`: what the caller is greeted in, if the tenant speaks it."""
        self.call = call
        self.tenant = tenant
        self.record = parts.record
        self.state = "connecting"
        self._profile = profile
        self._parts = parts
        hint = tenant.languages[0] if len(tenant.languages) == 1 else None
        self._hearing = Hearing(call, profile, parts.line, parts.vad, parts.asr, parts.phrasebook, hint, self)
        self._said = Conversation(tenant, parts.dialogue, parts.record, profile.dialogue.history_messages, language)
        voice = Voice(tenant, parts.line, parts.tts, parts.lines, profile.budgets, parts.clock, parts.record.emit)
        self._speaking = Speaking(voice, self._said.history, self)
        self._patience = Patience(profile.silence, profile.limits, parts.clock())
        self._leaving = False
        self._farewell = False
        """What was said unasked last is a goodbye into silence."""
        self._presence = Presence(profile.media)
        self._quality: dict[str, object] | None = None
        """The latest report."""
        self._over = asyncio.Event()
        self._reason = ""
        self._tasks: asyncio.TaskGroup | None = None
        parts.line.on_message(self.on_message)

    # ------------------------------------------------------------ life

    async def run(self) -> str:
        """Hold the call until somebody ends it; returns why."""
        line, clock = self._parts.line, self._parts.clock
        began = clock()
        line.play_from(self._speaking.next_frame)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for work in (self._listen(), self._hearing.judge(), self._watch(), self._watch_quality()):
                    self.spawn(work)
                self._speaking.start(self._say("greeting"))
                await self._over.wait()
                raise _Over
        except* _Over:
            pass
        finally:
            self._tasks = None
            self._speaking.settle()
            self._conclude(round(clock() - began, 3))
            await line.close()
        return self._reason

    def abandon(self, reason: str) -> str:
        """In place of `run`, when the line never came up. A reason that `end` gave before stands; returns it."""
        self.end(reason)
        self._conclude(0.0)
        return self._reason

    def _conclude(self, duration_s: float) -> None:
        self._set_state("ended", reason=self._reason)
        self.record.emit("call.ended", {"reason": self._reason, "duration_s": duration_s, "turns": self._said.turns})
        self.record.close()

    def end(self, reason: str) -> None:
        """End the call now."""
        if not self._over.is_set():
            self._reason = reason
            self._over.set()

    def take_leave(self, reason: str, line: StandardLine) -> None:
        """Say the line, which nothing interrupts, and end the call."""
        if self._leaving:
            return
        self._leaving = True
        if self._tasks is None:
            self.end(reason)
            return
        self.spawn(self._end_after(LONGEST_LEAVE_S, reason))
        self._speaking.start(self._say(line, hangup=reason))

    async def _end_after(self, seconds: float, reason: str) -> None:
        await asyncio.sleep(seconds)
        self.end(reason)

    def snapshot(self) -> dict[str, Any]:
        """State and ledger, for `GET /v1/calls/{call}`."""
        return {
            "call": self.call,
            "tenant": self.tenant.id,
            "state": self.state,
            "reason": self._reason or None,
            "quality": self._quality,
            "turns": list(self._speaking.ledgers),
            "messages": [{"role": message.role, "text": message.text} for message in self._said.history.messages],
        }

    def spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        """Run as a task of the call."""
        assert self._tasks is not None, "the call is not running"
        task = self._tasks.create_task(self._guard(work))
        if isinstance(work, Coroutine):
            task.add_done_callback(lambda _: work.close())  # cancelled before its first step, it was never awaited
        return task

    async def _guard(self, work: Awaitable[None]) -> None:
        """A mistake of ours must end this call with a reason, and be seen; never hang it."""
        try:
            await work
        except Exception as error:
            log.exception("call_failed", extra={"call_id": self.call})
            self.record.emit("error", {"code": "internal_error", "detail": type(error).__name__})
            if self._leaving:
                self.end("internal_error")
            self.take_leave("internal_error", "closing_down")

    async def _listen(self) -> None:
        await self._hearing.listen()
        self.end("caller_hung_up")

    async def _watch(self) -> None:
        """Speak up when nobody has spoken for long, and when the time is over."""
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._parts.clock()
            change = self._presence.look(now, self._parts.line.unheard_s())
            if change is not None:
                self._line_changed(change)
            quiet = not self._speaking.busy and not self._hearing.caller_speaking and not self._presence.broken
            said = self._patience.look(now, quiet=quiet)
            if said is not None and not self._leaving:
                self._speak_up(said)

    def _line_changed(self, change: Change) -> None:
        """A call whose line has broken waits a while for it to come back."""
        line = self._parts.line
        if self._leaving:
            return
        if change is Change.BROKE:
            self._speaking.stop()
            line.play_from(ComfortNoise().frame)  # should only the caller's direction be broken: it must not sound dead
            self._set_state("reconnecting")
            return
        line.play_from(self._speaking.next_frame)
        if change is Change.CAME_BACK:
            self._patience.caller_stirred()
            self._set_state("listening")
        else:
            self.take_leave("connection_lost", "closing_down")

    async def _watch_quality(self) -> None:
        while True:
            await asyncio.sleep(self._profile.media.quality_every_s)
            report = await self._parts.line.quality()
            if report is not None:
                self._quality = report
                self.record.emit("quality", report)

    def _speak_up(self, said: SpeakUp) -> None:
        if said.last_word and said.hangup is not None:
            self.take_leave(said.hangup, said.line)
        else:
            self._speaking.start(self._say(said.line, hangup=said.hangup))
            self._farewell = said.hangup is not None

    def _set_state(self, state: str, **more: Any) -> None:
        if state != self.state:
            self.state = state
            self.record.emit("call.state", {"state": state, **more})

    # ------------------------------------------------------------ what was heard (HearingEvents)

    def agent_holds_floor(self) -> bool:
        """A reply is being thought or spoken."""
        return self._speaking.busy

    def on_speech(self, *, over_agent: bool) -> None:
        """The caller has begun to speak: lower the agent's voice until it is clear what is meant."""
        if over_agent:
            if not self._leaving:
                self._speaking.duck()
        else:
            self._set_state("listening")

    def on_barge_in(self) -> None:
        """The caller interrupts."""
        if not self._leaving:
            self._speaking.stop()
            self._set_state("listening")

    def on_false_start(self) -> None:
        """It was only a cough: go on where we are."""
        self._speaking.unduck()

    def on_interim(self, interim: Transcript) -> None:
        """Show the utterance so far."""
        shown = {"turn": self._said.turns + 1, "text": interim.text, "stable_chars": interim.stable_chars}
        self.record.emit("transcript.interim", shown)

    def on_turn(self, recognition: Recognition, ended: TurnEnded) -> None:
        """The caller has finished: answer."""
        if self._leaving:
            self.spawn(recognition.drop())
            return
        now = self._parts.clock()
        speech_end_s = self._hearing.ear.arrived(ended.speech_end)
        ledger = TurnLedger(self._said.turns + 1, 0, speech_end_s, to_ms(ended.decided_at - ended.speech_end))
        ledger.began("end_of_turn", speech_end_s)
        ledger.ended("end_of_turn", now)
        ledger.began("asr", now)
        self._set_state("thinking")
        self._speaking.start(self._answer_speech(recognition, ended, ledger))

    async def _answer_speech(self, recognition: Recognition, ended: TurnEnded, ledger: TurnLedger) -> None:
        failure: Failed | None = None
        transcript = Transcript("", final=True)
        try:
            async with asyncio.timeout(self._profile.budgets.asr_final_ms / 1000):
                transcript = await recognition.finish(ended.decided_at)
        except asyncio.CancelledError:
            # The caller went on, or typed: what was said before would vanish without a trace.
            self.record.emit(
                "error", {"code": "turn_abandoned", "detail": "the caller went on before it was recognised"}
            )
            raise
        except TimeoutError:
            failure = Failed("asr", "asr_late")
        except StageFailed as error:
            failure = Failed("asr", error.code)
        if not transcript.text and failure is None and to_ms(ended.voiced_samples) < NOISE_VOICED_MS:
            self._set_state("listening")
            return
        now = self._parts.clock()
        ledger.first("asr", now, transcript.engine_ms)
        ledger.ended("asr", now)
        self._commit(transcript.text, transcript.language, transcript.confidence)
        if failure is None:
            steps = self._said.respond(transcript.text, spoken=True, confidence=transcript.confidence)
        else:
            steps = self._said.standard("trouble", failure)
        await self._speaking.reply(ledger, self._said.language, steps)

    def _commit(self, text: str, told: str | None, confidence: float | None, **more: Any) -> None:
        self._farewell = False
        if text:
            self._patience.caller_spoke()
        self._said.commit(text, told, confidence, **more)

    # ------------------------------------------------------------ typed turns

    def on_message(self, message: dict[str, object]) -> None:
        """The caller's client sent something."""
        text = message.get("text")
        if message.get("type") == "caller.typing":
            self._patience.caller_stirred()
            if self._farewell and self._speaking.busy:
                self._speaking.stop()  # somebody is there after all
                self._set_state("listening")
        elif message.get("type") != "caller.text" or not isinstance(text, str) or not text.strip():
            detail = 'a message is {"type": "caller.text", "text": "…"} or {"type": "caller.typing"}'
            self.record.emit("error", {"code": "message_unknown", "detail": detail})
        elif len(text) > MOST_TYPED_CHARS:
            self.record.emit("error", {"code": "text_too_long", "detail": f"at most {MOST_TYPED_CHARS} characters"})
        else:
            self.say_typed(text.strip())

    def say_typed(self, text: str) -> None:
        """The caller typed a turn: it is answered as if it had been spoken."""
        if self._over.is_set() or self._leaving:
            return
        if self._tasks is None:
            self.record.emit("error", {"code": "call_not_ready", "detail": "text is taken once the greeting has begun"})
            return
        self._speaking.stop()
        self._commit(text, None, None, typed=True)
        self._set_state("thinking")
        ledger = TurnLedger(self._said.turns, 0, None)
        self._speaking.start(self._speaking.reply(ledger, self._said.language, self._said.respond(text)))

    # ------------------------------------------------------------ what is said (SpeakingEvents)

    def on_first_sound(self, ledger: TurnLedger) -> None:
        """The first frame of a reply leaves."""
        self._set_state("greeting" if ledger.reply == 0 else "speaking")

    def on_spoken(self) -> None:
        """A reply has been played to its end."""
        self._set_state("listening")

    async def _say(self, name: StandardLine, hangup: str | None = None) -> None:
        """A standard line that answers nothing the caller said."""
        ledger = TurnLedger(self._said.turns, 0, None)
        await self._speaking.reply(ledger, self._said.language, self._said.standard(name, hangup=hangup), unasked=True)
