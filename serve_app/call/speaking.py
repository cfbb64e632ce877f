"""The speaking side of a call: one reply at a time, from its first step to what was heard of it.

The counterpart of `hearing`. A reply is started with the steps that write it and runs as a task of the call; it ends
when its audio has been played, or at once when it is stopped. Either way its account is settled exactly once: history,
`agent.heard`, `turn.ledger`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from configs.settings import Budgets
from deployments.contracts.ports import CallPort, TtsPort
from serve_app.call.history import History
from serve_app.call.ledger import TurnLedger
from serve_app.call.playout import Playout
from serve_app.call.reply import Reply, ReplyTools
from serve_app.call.standard_lines import StandardLines
from serve_app.dialogue.steps import DialogueStep
from serve_app.tenants.models import Tenant

LAST_WORDS_S = 0.4
"""Between the last frame and the hang-up: what is on its way must still be heard."""


class SpeakingEvents(Protocol):
    """What the conductor does about what is said."""

    def on_first_sound(self, ledger: TurnLedger) -> None:
        """The first frame of a reply leaves."""
        ...

    def on_spoken(self) -> None:
        """A reply has been played to its end."""
        ...

    def end(self, reason: str) -> None:
        """The reply was the last of the call."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run as a task of the call."""
        ...


@dataclass(frozen=True, slots=True)
class Voice:
    """What replies are spoken with."""

    tenant: Tenant
    line: CallPort
    tts: TtsPort
    lines: StandardLines
    budgets: Budgets
    clock: Callable[[], float]
    emit: Callable[[str, dict[str, object]], None]


class Speaking:
    """One call's mouth."""

    def __init__(self, voice: Voice, history: History, events: SpeakingEvents) -> None:
        self._voice = voice
        self._history = history
        self._events = events
        self._playout = Playout(voice.clock, self._on_mouth, voice.line.hurry)
        self._mouth_changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ledger: TurnLedger | None = None
        self._unasked = False
        self._replies = -1
        self.ledgers: list[dict[str, Any]] = []
        """Of the replies that are over, in their public form."""

    @property
    def busy(self) -> bool:
        """A reply is being thought or spoken."""
        return self._task is not None and not self._task.done()

    def next_frame(self) -> bytes:
        """For the line: the next 20 ms."""
        return self._playout.next_frame()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, which ends in `reply`, as the reply of this moment; what was said before is stopped."""
        self.stop()
        self._task = self._events.spawn(work)

    async def reply(
        self, ledger: TurnLedger, language: str, steps: AsyncGenerator[DialogueStep, None], *, unasked: bool = False
    ) -> None:
        """Say it. Returns when it has been played. `unasked`: it answers nothing, so "repeat that" does not mean it."""
        self._replies += 1
        ledger.reply = self._replies
        self._ledger, self._unasked = ledger, unasked
        voice = self._voice
        tools = ReplyTools(
            voice.tenant, language, voice.tts, voice.lines, self._playout, voice.budgets, voice.clock, voice.emit
        )
        reply = Reply(tools, ledger)
        await reply.run(steps)
        while self._playout.ended_s is None:
            self._mouth_changed.clear()
            await self._mouth_changed.wait()
        self.settle()
        if reply.hangup is None:
            self._events.on_spoken()
        else:
            await asyncio.sleep(LAST_WORDS_S)
            self._events.end(reply.hangup)

    def duck(self) -> None:
        """The caller may be interrupting: lower the voice."""
        self._playout.duck()

    def unduck(self) -> None:
        """It was nothing: speak up again."""
        self._playout.unduck()

    def stop(self) -> None:
        """Silence from the next frame on; what was heard so far is what was said."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            self._voice.line.clear()  # what a carrier's buffer holds must not be heard either
        self.settle()

    def settle(self) -> None:
        """Close the account of the current reply. Does nothing when that has been done."""
        ledger, self._ledger = self._ledger, None
        if ledger is None:
            return
        heard = self._playout.stop(ledger.reply)
        if heard is None:
            return
        self._history.agent_heard(heard.text, answer=not self._unasked)
        self._voice.emit(
            "agent.heard",
            {"turn": ledger.turn, "reply": ledger.reply, "text": heard.text, "complete": heard.complete},
        )
        if self._playout.first_frame_s is not None:
            ledger.first("playout", self._playout.first_frame_s)
            ledger.stage("playout").began_s = self._playout.first_frame_s
        if self._playout.ended_s is not None:
            ledger.ended("playout", self._playout.ended_s)
        public = {**ledger.public(), "underrun_frames": self._playout.underrun_frames}
        self.ledgers.append(public)
        self._voice.emit("turn.ledger", public)

    def _on_mouth(self) -> None:
        """A reply's first frame leaves, or the reply has ended."""
        self._mouth_changed.set()
        if self._ledger is not None and self._playout.ended_s is None:
            self._events.on_first_sound(self._ledger)
