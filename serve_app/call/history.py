"""The conversation as the model may see it: of the agent, only what the caller heard."""

from __future__ import annotations

from deployments.contracts.dialogue import Message


class History:
    """Messages of one call, oldest first, at most `most` of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._messages: list[Message] = []
        self.last_answer = ""
        """The agent's last words that reached the caller and were not a mere "are you still there"; "" before any."""

    @property
    def messages(self) -> tuple[Message, ...]:
        """What is remembered."""
        return tuple(self._messages)

    def caller_said(self, text: str) -> None:
        """A turn of the caller's has been committed."""
        self._add("caller", text)

    def agent_heard(self, text: str, *, answer: bool = True) -> None:
        """The caller has heard this much of a reply."""
        self._add("agent", text)
        if answer and text.strip():
            self.last_answer = text.strip()

    def _add(self, role: str, text: str) -> None:
        if text.strip():
            self._messages.append(Message(role, text.strip()))
            del self._messages[: -self._most]
