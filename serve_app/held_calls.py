"""A call as its host keeps it: whole while it lasts, and afterwards only what can still be asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from deployments.contracts.ports import CallPort
from serve_app.call.session import CallSession
from serve_app.call_tokens import CallToken
from serve_app.doors.offer import Door


class Line(CallPort, Protocol):
    """A `CallPort` as its host sees it, whatever door it came through; `webrtc.WebRtcLine` says what each raises."""

    @property
    def connected(self) -> asyncio.Event:
        """Media can flow."""
        ...

    @property
    def gone(self) -> asyncio.Event:
        """It is over, ended by either side."""
        ...

    async def answer(self, offer: str) -> str:
        """Accept the first offer; returns the SDP answer."""
        ...

    async def renew(self, offer: str) -> str:
        """Accept another offer for the same call."""
        ...

    async def connect(self) -> None:
        """Wait until the caller can hear us."""
        ...

    async def add_candidates(self, fragment: str) -> None:
        """Trickle ICE, where the door has it."""
        ...


@dataclass(slots=True)
class LiveCall:
    """A call that this host owns."""

    session: CallSession
    line: Line
    door: Door
    token: CallToken
    holding: asyncio.Task[None] | None = None

    def snapshot(self) -> dict[str, Any]:
        """State and ledger."""
        return self.session.snapshot()

    def events(self) -> list[dict[str, Any]]:
        """All stored events so far, in their public form."""
        return self.session.record.events

    def ended(self) -> EndedCall:
        """What is kept of it: the session alone would hold a megabyte of audio, and through its record the line."""
        return EndedCall(self.token, self.snapshot(), self.events())


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that is over."""

    token: CallToken
    state: dict[str, Any]
    told: list[dict[str, Any]]

    def snapshot(self) -> dict[str, Any]:
        """State and ledger."""
        return self.state

    def events(self) -> list[dict[str, Any]]:
        """All its stored events, in their public form."""
        return self.told
