"""A scripted call: listen to the greeting, ask, listen, interrupt, hang up; report what was said and how long it took.

With `interrupt`, the answer to the last question is talked over 0.7 s into its sound; what was said then is a turn of
its own. Definitions: `report.py`; silence and sound: `ear.py`. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from deployments.contracts.errors import CallOver, DukatError, StageFailed, StageTimeout
from serve_app.caller.ear import SILENCE_S
from serve_app.caller.event_log import EventLog
from serve_app.caller.line import CallerLine
from serve_app.caller.microphone import Spoken
from serve_app.caller.report import CallReport, Failure, TurnReport
from serve_app.caller.speech import Speech, prepare

QUIET_BEFORE_SPEAKING_S = 0.2
INTERRUPT_AFTER_S = 0.7
LEDGER_TIMEOUT_S = 2.0
"""The ledger of a turn may come a moment after its last sound."""


async def place_call(
    url: str,
    tenant: str,
    questions: Sequence[bytes | Speech],
    *,
    interrupt: bytes | Speech | None = None,
    host_addresses: tuple[str, ...] = (),
    token: str | None = None,
    connect_timeout_s: float = 15.0,
    turn_timeout_s: float = 30.0,
    record_s: float = 600.0,
) -> CallReport:
    """Place a call and play the script; what is said is mono s16le at 16 kHz, or prepared already.

    Raises what `prepare` and `CallerLine.connect` raise; a call that fails later is reported as far as it came,
    with its `failure`.
    """
    speeches = [await _prepared(question) for question in questions]
    interruption = None if interrupt is None else await _prepared(interrupt)
    async with CallerLine(host_addresses=host_addresses, record_s=record_s) as line:
        await line.connect(url, tenant, token, connect_timeout_s)
        script = _Script(line, turn_timeout_s)
        following = asyncio.create_task(script.log.follow(line.events()))
        failure: Failure | None = None
        try:
            await script.play(speeches, interruption)
        except DukatError as error:
            failure = Failure(error.code, error.detail)
        finally:
            # The events end with the line, and `following` with them.
            await line.hang_up()
            await following
        return script.report(failure)


async def _prepared(speech: bytes | Speech) -> Speech:
    # In a thread: five minutes of audio take seconds to encode, and other calls may share the loop.
    return speech if isinstance(speech, Speech) else await asyncio.to_thread(prepare, speech)


@dataclass(slots=True)
class _Asked:
    """One thing the caller says."""

    speech: Speech
    since: int
    """Number of events when it began."""
    said: Spoken | None = None
    """None until it has been said."""
    interrupts: bool = False


class _Script:
    """One call being played."""

    def __init__(self, line: CallerLine, turn_timeout_s: float) -> None:
        self.line = line
        self.log = EventLog()
        self._asked: list[_Asked] = []
        self._turn_timeout_s = turn_timeout_s

    async def play(self, questions: Sequence[Speech], interruption: Speech | None) -> None:
        """The whole script. Raises `DukatError` where it cannot go on."""
        await self.log.until(
            lambda: self.log.last("agent.heard", reply=0, complete=True),
            self._turn_timeout_s,
            lambda: "end of the greeting (agent.heard, complete)",
        )
        for number, question in enumerate(questions, 1):
            await self.line.wait_quiet(QUIET_BEFORE_SPEAKING_S)
            asked = await self._say(question)
            if interruption is not None and number == len(questions):
                await self._until_well_into_the_answer(asked)
                asked = await self._say(interruption, interrupts=True)
            await self._answer_heard(asked)

    async def _say(self, speech: Speech, interrupts: bool = False) -> _Asked:
        asked = _Asked(speech, len(self.log.events), interrupts=interrupts)
        self._asked.append(asked)
        asked.said = await self.line.play(speech)
        return asked

    async def _until_well_into_the_answer(self, asked: _Asked) -> None:
        assert asked.said is not None
        try:
            async with asyncio.timeout(self._turn_timeout_s):
                first_s = await self.line.wait_sound(asked.said.last_voiced_s)
        except TimeoutError as error:
            detail = f"within {self._turn_timeout_s:g} s there was no sound of an answer to interrupt"
            raise StageTimeout("answer_missing", detail, "caller") from error
        await asyncio.sleep(first_s + INTERRUPT_AFTER_S - time.monotonic())
        last_s = self.line.ear.last_sound_s or first_s
        over = self.log.last("agent.heard", asked.since, turn=self._turn_of(asked), complete=True)
        if over is not None or time.monotonic() - last_s > SILENCE_S:
            detail = f"the answer ended after {last_s - first_s:.2f} s, before it could be interrupted"
            raise StageFailed("answer_too_short", detail, "caller")

    async def _answer_heard(self, asked: _Asked) -> None:
        """The answer to its end, and its ledger."""

        def heard() -> int | None:
            turn = self._turn_of(asked)
            return turn if self.log.last("agent.heard", asked.since, turn=turn, complete=True) else None

        def missing() -> str:
            turn = self._turn_of(asked)
            return "transcript.final" if turn is None else f"end of the answer of turn {turn} (agent.heard, complete)"

        turn = await self.log.until(heard, self._turn_timeout_s, missing)
        # A turn without a ledger is no failure of the call: the report shows that there is none.
        with contextlib.suppress(StageTimeout, CallOver):
            await self.log.until(lambda: self.log.last("turn.ledger", turn=turn), LEDGER_TIMEOUT_S, lambda: "ledger")

    def _turn_of(self, asked: _Asked, before: int | None = None) -> int | None:
        """The server's number of the turn. The latest one: it may have taken a pause in the question for its end."""
        final = self.log.last("transcript.final", asked.since, before)
        return None if final is None else final.get("turn")

    # ------------------------------------------------------------ the report

    def report(self, failure: Failure | None) -> CallReport:
        """What was found, after the call."""
        line, log, ear = self.line, self.log, self.line.ear
        ends = [asked.since for asked in self._asked[1:]] + [None]
        return CallReport(
            connected=line.setup_ms is not None,
            call=str(log.events[0].get("call", "")) if log.events else "",
            location=line.location or "",
            setup_ms=line.setup_ms or 0.0,
            greeting_text=log.texts("agent.text", reply=0),
            turns=tuple(self._turn_report(asked, end) for asked, end in zip(self._asked, ends, strict=False)),
            barge_in_ms=self._barge_in_ms(),
            failure=failure,
            end_reason=line.end_reason or "",
            packets_received=ear.received,
            packets_lost=ear.lost,
            send_delay_max_ms=line.microphone.worst_delay_s * 1000,
            recording=line.recording(),
            events=tuple(log.events),
        )

    def _turn_report(self, asked: _Asked, before: int | None) -> TurnReport:
        turn = self._turn_of(asked, before)
        heard = None if turn is None else self.log.last("agent.heard", turn=turn)
        said, ear = asked.said, self.line.ear
        return TurnReport(
            turn=turn,
            question_s=asked.speech.duration_s,
            transcript="" if turn is None else self.log.texts("transcript.final", turn=turn),
            answer_text="" if turn is None else self.log.texts("agent.text", turn=turn),
            sources=() if turn is None else self.log.sources(turn),
            heard_text=str(heard.get("text", "")) if heard else "",
            heard_complete=bool(heard and heard.get("complete")),
            ear_ms=self._ear_ms(asked),
            spoken_over=said is not None and ear.sound_between(said.first_voiced_s, said.last_voiced_s),
            ledger=None if turn is None else self.log.last("turn.ledger", turn=turn),
        )

    def _ear_ms(self, asked: _Asked) -> float | None:
        if asked.said is None:
            return None
        ear, ended_s = self.line.ear, asked.said.last_voiced_s
        from_s = ended_s
        if asked.interrupts:
            # What is left of the interrupted answer is not the reply to the interruption.
            from_s = max(ended_s, ear.fell_silent_s(asked.said.first_voiced_s) or 0.0)
        heard_s = ear.first_sound_after(from_s)
        return None if heard_s is None else (heard_s - ended_s) * 1000

    def _barge_in_ms(self) -> float | None:
        """None without an interruption, or when the agent was silent already at its beginning."""
        for asked in self._asked:
            if asked.interrupts and asked.said is not None:
                began_s = asked.said.first_voiced_s
                silent_s = self.line.ear.fell_silent_s(began_s)
                return None if silent_s is None else (silent_s - began_s) * 1000
        return None
