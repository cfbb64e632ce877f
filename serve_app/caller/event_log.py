"""The server's events of one call: looking one up, and waiting for one with what is missing named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from deployments.contracts.errors import CallOver, StageTimeout

T = TypeVar("T")


class EventLog:
    """Every event so far, oldest first."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self._over = False
        self._changed = asyncio.Event()

    async def follow(self, events: AsyncIterator[dict[str, Any]]) -> None:
        """Take events to their end."""
        async for event in events:
            self.events.append(event)
            self._over |= event.get("type") == "call.state" and event.get("state") == "ended"
            self._changed.set()
        self._over = True
        self._changed.set()

    async def until(self, find: Callable[[], T | None], timeout_s: float, missing: Callable[[], str]) -> T:
        """What `find` returns, once it is not None.

        Raises `StageTimeout` (`answer_missing`), or `CallOver` when the call ended first; both say what is `missing`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while (found := find()) is None:
                    if self._over:
                        raise CallOver("line_ended", f"the call ended without {missing()}{self._errors()}", "caller")
                    self._changed.clear()
                    await self._changed.wait()
                return found
        except TimeoutError as error:
            detail = f"no {missing()} within {timeout_s:g} s{self._errors()}"
            raise StageTimeout("answer_missing", detail, "caller") from error

    def last(self, kind: str, since: int = 0, before: int | None = None, **fields: Any) -> dict[str, Any] | None:
        """The latest event of a type among those [since, before) whose fields have these values."""
        for event in reversed(self.events[since:before]):
            if _is(event, kind, fields):
                return event
        return None

    def texts(self, kind: str, **fields: Any) -> str:
        """The text of all events of a type: one that begins with all before it replaces them, another is added."""
        whole = ""
        for event in self.events:
            if _is(event, kind, fields):
                text = str(event.get("text", ""))
                whole = text if text.startswith(whole) else f"{whole} {text}"
        return whole

    def sources(self, turn: int) -> tuple[dict[str, Any], ...]:
        """The sources named with a turn's answer, each once."""
        found: list[dict[str, Any]] = []
        for event in self.events:
            if _is(event, "agent.text", {"turn": turn}):
                found += [source for source in event.get("sources") or () if source not in found]
        return tuple(found)

    def _errors(self) -> str:
        said = [f"{event.get('code')}: {event.get('detail')}" for event in self.events if event.get("type") == "error"]
        return f"; the server said: {'; '.join(said[-3:])}" if said else ""


def _is(event: dict[str, Any], kind: str, fields: dict[str, Any]) -> bool:
    return event.get("type") == kind and all(event.get(name) == value for name, value in fields.items())
