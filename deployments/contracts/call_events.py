"""The facts of a call: what goes to the page, to the spool and into the lakehouse.

Types: `call.started`, `call.state`, `transcript.interim`, `transcript.final`, `agent.text`, `agent.heard`,
`turn.ledger`, `quality`, `error`, `call.ended`. Interim transcripts are shown, never stored.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 1
NOT_STORED = frozenset({"transcript.interim"})


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One fact. Written once, never changed."""

    type: str
    call: str
    tenant: str
    seq: int
    """Counts from 1 within the call, without gaps, among stored events; 0 on those that are not stored."""
    data: dict[str, Any]
    """JSON-serialisable; its fields are those of the event's type."""
    epoch: int = 1
    """Of the call's owner when this was written."""
    at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    """UTC, milliseconds since 1970."""
    event_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    version: int = SCHEMA_VERSION

    def public(self) -> dict[str, Any]:
        """The form that goes out on the data channel and the event WebSocket."""
        return {"type": self.type, "call": self.call, "seq": self.seq, "at_ms": self.at_ms, **self.data}
