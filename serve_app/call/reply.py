"""One reply on its way to the caller's ear: steps of the dialogue → clauses → audio → playout.

Thinking and speaking run side by side, joined by a short queue, so that the first clause is spoken while the model
still writes the second. Cancelling the reply (the caller interrupts) closes both remote streams.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from configs.settings import Budgets
from deployments.contracts.errors import DukatError, StageTimeout
from deployments.contracts.ports import TtsPort
from deployments.contracts.speech import SpeechAudio, SynthesisRequest
from serve_app.call.ledger import TurnLedger
from serve_app.call.playout import Playout
from serve_app.call.standard_lines import StandardLines
from serve_app.dialogue.clauses import ClauseCutter, speakable
from serve_app.dialogue.language import by_language
from serve_app.dialogue.steps import Cited, DialogueStep, Failed, Hangup, Say, StageBegan, StageEnded, Words
from serve_app.tenants.models import StandardLine, Tenant

log = logging.getLogger(__name__)

CLAUSES_AHEAD = 8
"""Clauses written but not yet spoken; the model waits when the voice is so far behind."""
SPOKEN_AHEAD_S = 10.0
"""Audio synthesised but not yet played; the voice waits when the caller is so far behind."""


@dataclass(frozen=True, slots=True)
class ReplyTools:
    """What a reply works with."""

    tenant: Tenant
    language: str
    tts: TtsPort
    lines: StandardLines
    playout: Playout
    budgets: Budgets
    clock: Callable[[], float]
    emit: Callable[[str, dict[str, object]], None]


class Reply:
    """One reply. Run it once; `hangup` then tells whether the call is to end."""

    def __init__(self, tools: ReplyTools, ledger: TurnLedger) -> None:
        self._tools = tools
        self._ledger = ledger
        self._number = ledger.reply
        self._clauses: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(CLAUSES_AHEAD)
        """(language, text): a clause, or a stretch of one that mixes languages."""
        self._text = ""
        self._sources: list[dict[str, str]] = []
        self._llm_ms = 0.0
        self.hangup: str | None = None

    async def run(self, steps: AsyncGenerator[DialogueStep, None]) -> None:
        """Think and speak. Failures of models end in a spoken sentence, never in an exception."""
        self._tools.playout.begin(self._number)
        async with asyncio.TaskGroup() as group:
            bridge = group.create_task(self._bridge_silence())
            thinking = group.create_task(self._think(steps))
            await group.create_task(self._speak())
            # Speaking ends first only when the voice failed: what would still be thought could not be said.
            thinking.cancel()
            bridge.cancel()
        self._tools.playout.finish(self._number)

    async def _think(self, steps: AsyncGenerator[DialogueStep, None]) -> None:
        cutter = ClauseCutter(self._tools.language)
        async with aclosing(steps):
            async for step in steps:
                await self._hand_over(self._take(step, cutter))
        await self._hand_over(self._cut(cutter.finish()))
        await self._clauses.put(None)

    async def _hand_over(self, clauses: list[str]) -> None:
        for clause in clauses:
            for stretch in by_language(clause, self._tools.language, self._tools.tenant.languages):
                await self._clauses.put(stretch)

    def _take(self, step: DialogueStep, cutter: ClauseCutter) -> list[str]:
        """Note a step; return the clauses it completes."""
        now = self._tools.clock()
        match step:
            case Words(text, engine_ms, _):
                self._llm_ms += engine_ms
                self._ledger.first("llm", now)
                return self._cut(cutter.feed(text))
            case Say(text, None):
                return self._cut(cutter.feed(f"{text}\n"))
            case Say(text, _):
                # A standard line stays whole, so that its prepared audio is found.
                return self._cut([*cutter.finish(), speakable(text)])
            case Cited(sources):
                self._sources = [{"document": s.document, "title": s.title, "source": s.source} for s in sources]
            case StageBegan(stage):
                self._ledger.began(stage, now)
            case StageEnded("retrieval", engine_ms):
                self._ledger.first("retrieval", now, engine_ms)
                self._ledger.ended("retrieval", now)
            case StageEnded(stage, _):
                self._ledger.ended(stage, now)
            case Failed(stage, code):
                self._tools.emit("error", {"code": code, "detail": f"{stage} failed", "stage": stage})
            case Hangup(reason):
                self.hangup = reason
        return []

    def _cut(self, clauses: list[str]) -> list[str]:
        if clauses and self._ledger.stage("clause").first_s is None:
            now = self._tools.clock()
            self._ledger.first("clause", now)
            if self._llm_ms:
                # What the model took until the first clause could be cut is what the caller had to wait for it.
                self._ledger.stage("llm").engine_ms = self._llm_ms
        return clauses

    async def _speak(self) -> None:
        while (stretch := await self._clauses.get()) is not None:
            if (ahead_s := self._tools.playout.queued_s - SPOKEN_AHEAD_S) > 0:
                await asyncio.sleep(ahead_s)
            language, clause = stretch
            self._text = f"{self._text} {clause}".strip()
            shown = {"turn": self._ledger.turn, "reply": self._number, "text": self._text, "sources": self._sources}
            self._tools.emit("agent.text", shown)
            try:
                await self._speak_clause(clause, language)
            except DukatError as error:
                self._tools.emit("error", {"code": error.code, "detail": error.detail, "stage": "tts"})
                self._tools.playout.cut_clause(self._number)
                self._play_line("trouble", aside=False)
                return

    async def _speak_clause(self, clause: str, language: str) -> None:
        tools, number = self._tools, self._number
        voice = tools.tenant.voices[tools.tenant.speaking(language)]
        tools.playout.open_clause(number, clause)
        ready = tools.lines.get(clause, language, voice)
        self._began_tts()
        if ready is not None:
            self._ledger.first("tts", tools.clock(), 0.0)
            tools.playout.add(number, ready.pcm, ready.marks)
        else:
            request = SynthesisRequest(f"{number}", clause, language, voice)
            async with tools.tts.speak(request) as audio:
                while (piece := await self._next_piece(aiter(audio).__anext__())) is not None:
                    self._ledger.first("tts", tools.clock(), piece.engine_ms)
                    tools.playout.add(number, piece.pcm, piece.marks)
                    if piece.last:
                        break
        tools.playout.close_clause(number)
        self._ledger.ended("tts", tools.clock())

    def _began_tts(self) -> None:
        if self._ledger.stage("tts").began_s is None:
            self._ledger.began("tts", self._tools.clock())

    async def _next_piece(self, piece: Awaitable[SpeechAudio]) -> SpeechAudio | None:
        """The next audio, in time. Raises `StageFailed`."""
        budget_ms = self._tools.budgets.tts_first_audio_ms
        try:
            async with asyncio.timeout(budget_ms / 1000):
                return await piece
        except StopAsyncIteration:
            return None
        except TimeoutError as error:
            raise StageTimeout("tts_late", f"no audio within {budget_ms:g} ms", "tts") from error

    async def _bridge_silence(self) -> None:
        """Say that an answer is being looked for, once, when it takes long."""
        await asyncio.sleep(self._tools.budgets.filler_after_ms / 1000)
        if not self._tools.playout.audible:
            self._play_line("one_moment", aside=True)

    def _play_line(self, name: StandardLine, *, aside: bool) -> None:
        """Play a prepared line. Nothing else may be able to speak now, so when it is missing there is only the log."""
        tools = self._tools
        parts = tools.lines.of(tools.tenant, name, tools.language)
        if not parts:
            log.error("line_missing", extra={"line": name, "reply": self._number})
        for part in parts:
            tools.playout.open_clause(self._number, part.text, aside=aside)
            tools.playout.add(self._number, part.pcm, part.marks)
            tools.playout.close_clause(self._number)
