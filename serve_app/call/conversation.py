"""What has been said in a call: turns, language, history; and the steps of what is said next.

Pure but for the dialogue it asks. The language of a call is that of the caller's last words, among those the tenant
speaks; it begins with the one asked for, else with the tenant's first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from serve_app.call.history import History
from serve_app.call.record import CallRecord
from serve_app.dialogue.agents import Dialogue, TurnInput
from serve_app.dialogue.language import language_of
from serve_app.dialogue.steps import DialogueStep, Hangup, Say
from serve_app.tenants.models import StandardLine, Tenant


class Conversation:
    """One call's."""

    def __init__(
        self,
        tenant: Tenant,
        dialogue: Dialogue,
        record: CallRecord,
        history_messages: int,
        language: str | None = None,
    ) -> None:
        self._tenant = tenant
        self._dialogue = dialogue
        self._record = record
        self.history = History(history_messages)
        self.turns = 0
        self.language: str = tenant.speaking(language)

    def commit(self, text: str, told: str | None, confidence: float | None, **more: Any) -> None:
        """The caller's words are fixed from now on, and so is the language they are answered in.

        `told` is the language the recogniser heard; `text` is "" when it understood nothing.
        """
        self.turns += 1
        found = language_of(text, told, self.language) if text else None
        if found is not None:
            self.language = self._tenant.speaking(found)
        said = {"turn": self.turns, "text": text, "language": found, "confidence": confidence, **more}
        self._record.emit("transcript.final", said)

    async def respond(
        self, text: str, *, spoken: bool = False, confidence: float | None = None
    ) -> AsyncGenerator[DialogueStep, None]:
        """The answer to the caller's last words."""
        history = self.history
        turn = TurnInput(self.turns, text, self.language, history.messages, history.last_answer, confidence, spoken)
        history.caller_said(text)
        steps = self._dialogue.respond(turn)
        try:
            async for step in steps:
                yield step
        finally:
            await steps.aclose()

    async def standard(
        self, name: StandardLine, *before: DialogueStep, hangup: str | None = None
    ) -> AsyncGenerator[DialogueStep, None]:
        """A line of the tenant's, after which the call may end."""
        for step in before:
            yield step
        yield Say(self._tenant.line(name, self.language), name)
        if hangup is not None:
            yield Hangup(hangup)
