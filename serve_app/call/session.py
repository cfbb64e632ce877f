"""One call from the first word to the last: the conductor.

    line ─▶ Hearing (ear, VAD, turn-taking, recognition) ─turn─▶ Dialogue ─steps─▶ Reply ─▶ Playout ─▶ line

Who may speak is decided in `turn_taking`, what is said in `dialogue`, how it is spoken in `reply`; here they are
joined. A session is an object, many to a process; it imports neither Ray nor aiortc and runs in a test with fakes.
Only a mistake of ours ends the call from inside (`internal_error`); a stage that fails ends in a spoken sentence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from configs.settings import Profile
from deployments.contracts.audio import to_ms
from deployments.contracts.errors import StageFailed
from deployments.contracts.ports import AsrPort, CallPort, TtsPort, VadPort
from deployments.contracts.speech import Phrasebook, Transcript
from serve_app.call.hearing import Hearing
from serve_app.call.history import History
from serve_app.call.ledger import TurnLedger
from serve_app.call.playout import Playout
from serve_app.call.recognition import Recognition
from serve_app.call.record import CallRecord
from serve_app.call.reply import Reply, ReplyTools
from serve_app.call.standard_lines import StandardLines
from serve_app.call.turn_taking import TurnEnded
from serve_app.dialogue.agents import Dialogue, TurnInput
from serve_app.dialogue.steps import DialogueStep, Failed, Say
from serve_app.tenants.models import StandardLine, Tenant

log = logging.getLogger(__name__)

NOISE_VOICED_MS = 250
"""Speech shorter than this in which nothing was recognised is a click or a cough: no answer to it."""
LAST_WORDS_S = 0.4
"""Between the last frame and the hang-up: what is on its way must still be heard."""
MOST_TYPED_CHARS = 2_000


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

    def __init__(self, call: str, tenant: Tenant, profile: Profile, parts: CallParts) -> None:
        self.call = call
        self.tenant = tenant
        self.record = parts.record
        self.state = "connecting"
        self._profile = profile
        self._parts = parts
        self._language: str = tenant.languages[0]
        self._hearing = Hearing(call, profile, parts.line, parts.vad, parts.asr, parts.phrasebook, self._language, self)
        self._playout = Playout(parts.clock, self._on_mouth, parts.line.hurry)
        self._mouth_changed = asyncio.Event()
        self._history = History(profile.dialogue.history_messages)
        self._replying: asyncio.Task[None] | None = None
        self._ledger: TurnLedger | None = None
        self._ledgers: list[dict[str, Any]] = []
        self._turns = 0
        self._replies = -1
        self._over = asyncio.Event()
        self._reason = ""
        self._tasks: asyncio.TaskGroup | None = None
        parts.line.on_message(self.on_message)

    # ------------------------------------------------------------ life

    async def run(self) -> str:
        """Hold the call until somebody ends it; returns why."""
        line, clock = self._parts.line, self._parts.clock
        began = clock()
        line.play_from(self._playout.next_frame)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for work in (self._listen(), self._hearing.judge(), self._watch_length()):
                    self.spawn(work)
                self._start_reply(TurnLedger(0, 0, None), self._standard("greeting"))
                await self._over.wait()
                raise _Over
        except* _Over:
            pass
        finally:
            self._tasks = None
            self._close_reply()
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
        self.record.emit("call.ended", {"reason": self._reason, "duration_s": duration_s, "turns": self._turns})
        self.record.close()

    def end(self, reason: str) -> None:
        """End the call now."""
        if not self._over.is_set():
            self._reason = reason
            self._over.set()

    def snapshot(self) -> dict[str, Any]:
        """State and ledger, for `GET /v1/calls/{call}`."""
        return {
            "call": self.call,
            "tenant": self.tenant.id,
            "state": self.state,
            "reason": self._reason or None,
            "turns": list(self._ledgers),
            "messages": [{"role": message.role, "text": message.text} for message in self._history.messages],
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
            self.end("internal_error")

    async def _listen(self) -> None:
        await self._hearing.listen()
        self.end("caller_hung_up")

    async def _watch_length(self) -> None:
        await asyncio.sleep(self._profile.limits.longest_call_s)
        self.end("longest_call")

    def _set_state(self, state: str, **more: Any) -> None:
        if state != self.state:
            self.state = state
            self.record.emit("call.state", {"state": state, **more})

    # ------------------------------------------------------------ what was heard (HearingEvents)

    def agent_holds_floor(self) -> bool:
        """A reply is being thought or spoken."""
        return self._replying is not None and not self._replying.done()

    def on_speech(self, *, over_agent: bool) -> None:
        """The caller has begun to speak: lower the agent's voice until it is clear what is meant."""
        if over_agent:
            self._playout.duck()
        else:
            self._set_state("listening")

    def on_barge_in(self) -> None:
        """The caller interrupts."""
        self._stop_reply()
        self._set_state("listening")

    def on_false_start(self) -> None:
        """It was only a cough: go on where we are."""
        self._playout.unduck()

    def on_interim(self, interim: Transcript) -> None:
        """Show the utterance so far."""
        shown = {"turn": self._turns + 1, "text": interim.text, "stable_chars": interim.stable_chars}
        self.record.emit("transcript.interim", shown)

    def on_turn(self, recognition: Recognition, ended: TurnEnded) -> None:
        """The caller has finished: answer."""
        self._stop_reply()
        now = self._parts.clock()
        speech_end_s = self._hearing.ear.arrived(ended.speech_end)
        ledger = TurnLedger(self._turns + 1, 0, speech_end_s, to_ms(ended.decided_at - ended.speech_end))
        ledger.began("end_of_turn", speech_end_s)
        ledger.ended("end_of_turn", now)
        ledger.began("asr", now)
        self._set_state("thinking")
        self._replying = self.spawn(self._answer_speech(recognition, ended, ledger))

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
        self._commit_turn(transcript.text, transcript.language, transcript.confidence)
        if failure is None:
            await self._reply(ledger, self._respond(transcript.text, transcript.confidence))
        else:
            await self._reply(ledger, self._standard("trouble", failure))

    def _commit_turn(self, text: str, language: str | None, confidence: float | None, **more: Any) -> None:
        self._turns += 1
        said = {"turn": self._turns, "text": text, "language": language, "confidence": confidence, **more}
        self.record.emit("transcript.final", said)

    # ------------------------------------------------------------ typed turns

    def on_message(self, message: dict[str, object]) -> None:
        """The caller's client sent something."""
        text = message.get("text")
        if message.get("type") != "caller.text" or not isinstance(text, str) or not text.strip():
            detail = 'a message is {"type": "caller.text", "text": "…"}'
            self.record.emit("error", {"code": "message_unknown", "detail": detail})
        elif len(text) > MOST_TYPED_CHARS:
            self.record.emit("error", {"code": "text_too_long", "detail": f"at most {MOST_TYPED_CHARS} characters"})
        else:
            self.say_typed(text.strip())

    def say_typed(self, text: str) -> None:
        """The caller typed a turn: it is answered as if it had been spoken."""
        if self._over.is_set():
            return
        if self._tasks is None:
            self.record.emit("error", {"code": "call_not_ready", "detail": "text is taken once the greeting has begun"})
            return
        self._stop_reply()
        self._commit_turn(text, None, None, typed=True)
        self._set_state("thinking")
        self._start_reply(TurnLedger(self._turns, 0, None), self._respond(text))

    # ------------------------------------------------------------ speaking

    async def _respond(self, text: str, confidence: float | None = None) -> AsyncGenerator[DialogueStep, None]:
        history, last = self._history.messages, self._history.last_heard()
        turn = TurnInput(self._turns, text, self._language, history, last, confidence)
        self._history.caller_said(text)
        steps = self._parts.dialogue.respond(turn)
        try:
            async for step in steps:
                yield step
        finally:
            await steps.aclose()

    async def _standard(self, name: StandardLine, *before: DialogueStep) -> AsyncGenerator[DialogueStep, None]:
        for step in before:
            yield step
        yield Say(self.tenant.line(name, self._language), name)

    def _start_reply(self, ledger: TurnLedger, steps: AsyncGenerator[DialogueStep, None]) -> None:
        self._replying = self.spawn(self._reply(ledger, steps))

    async def _reply(self, ledger: TurnLedger, steps: AsyncGenerator[DialogueStep, None]) -> None:
        self._replies += 1
        ledger.reply = self._replies
        self._ledger = ledger
        parts = self._parts
        tools = ReplyTools(
            self.tenant,
            self._language,
            parts.tts,
            parts.lines,
            self._playout,
            self._profile.budgets,
            parts.clock,
            self.record.emit,
        )
        reply = Reply(tools, ledger)
        await reply.run(steps)
        while self._playout.ended_s is None:
            self._mouth_changed.clear()
            await self._mouth_changed.wait()
        self._close_reply()
        if reply.hangup is not None:
            await asyncio.sleep(LAST_WORDS_S)
            self.end(reply.hangup)
        elif not self._hearing.caller_speaking:
            self._set_state("listening")

    def _on_mouth(self) -> None:
        """A reply's first frame leaves, or the reply has ended."""
        self._mouth_changed.set()
        if self._ledger is not None and self._playout.ended_s is None:
            self._set_state("greeting" if self._ledger.turn == 0 else "speaking")

    def _stop_reply(self) -> None:
        """Silence from the next frame on; what was heard so far is what was said."""
        if self._replying is not None:
            self._replying.cancel()
            self._replying = None
            self._parts.line.clear()  # what a carrier's buffer holds must not be heard either
        self._close_reply()

    def _close_reply(self) -> None:
        """Settle the current reply's account: history, event, ledger. Does nothing when that has been done."""
        ledger, self._ledger = self._ledger, None
        if ledger is None:
            return
        heard = self._playout.stop(ledger.reply)
        if heard is None:
            return
        self._history.agent_heard(heard.text)
        self.record.emit(
            "agent.heard",
            {"turn": ledger.turn, "reply": ledger.reply, "text": heard.text, "complete": heard.complete},
        )
        if self._playout.first_frame_s is not None:
            ledger.first("playout", self._playout.first_frame_s)
            ledger.stage("playout").began_s = self._playout.first_frame_s
        if self._playout.ended_s is not None:
            ledger.ended("playout", self._playout.ended_s)
        public = {**ledger.public(), "underrun_frames": self._playout.underrun_frames}
        self._ledgers.append(public)
        self.record.emit("turn.ledger", public)
