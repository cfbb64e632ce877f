"""Which calls of a spool have started and not ended: what is to be told of them if their host died.

Kept in `<spool>/calls.json`, brought up to date after a segment is committed and before it is deleted, so that the
answer outlives the segments, and a committer that crashes anywhere between comes to the same answer.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import orjson
from pydantic import Field

from analytics.owner import sync_folder
from configs.strict import Strict
from deployments.contracts.call_events import CallEvent

CALLS_FILE = "calls.json"
HOST_LOST = "host_lost"
_NAMESPACE = uuid.UUID("6f1d0c3e-54a1-4b52-9d53-1f6b0c7a2e90")
"""Of the ids of events written in a dead host's name; any constant will do."""


class OpenCall(Strict):
    """What is known of a call that has not ended."""

    tenant: str
    started_at_ms: int
    last_at_ms: int
    last_seq: int
    epoch: int
    turns: int


class OpenCalls(Strict):
    """The open calls of one spool after segment `through`."""

    through: int = 0
    calls: dict[str, OpenCall] = Field(default_factory=dict)

    def after(self, number: int, events: Sequence[CallEvent]) -> OpenCalls:
        """The open calls after segment `number`; the same if it has been counted already."""
        if number <= self.through:
            return self
        calls = dict(self.calls)
        for event in events:
            known = calls.get(event.call)
            if event.type == "call.ended":
                calls.pop(event.call, None)
            elif known is not None:
                calls[event.call] = OpenCall(
                    tenant=known.tenant,
                    started_at_ms=known.started_at_ms,
                    last_at_ms=max(known.last_at_ms, event.at_ms),
                    last_seq=max(known.last_seq, event.seq),
                    epoch=max(known.epoch, event.epoch),
                    turns=known.turns + (event.type == "turn.ledger"),
                )
            elif event.type == "call.started":
                calls[event.call] = OpenCall(
                    tenant=event.tenant,
                    started_at_ms=event.at_ms,
                    last_at_ms=event.at_ms,
                    last_seq=event.seq,
                    epoch=event.epoch,
                    turns=0,
                )
        return OpenCalls(through=number, calls=calls)

    def host_lost(self, spool_id: str) -> list[CallEvent]:
        """The ends of calls whose host died without writing them: always the same events for the same spool.

        A call that another host has taken over goes on there under a higher epoch, whose end is the one that counts.
        """
        return [
            CallEvent(
                type="call.ended",
                call=call,
                tenant=known.tenant,
                seq=known.last_seq + 1,
                epoch=known.epoch,
                at_ms=known.last_at_ms,
                event_id=uuid.uuid5(_NAMESPACE, f"{spool_id}/{call}").hex,
                data={
                    "reason": HOST_LOST,
                    "duration_s": (known.last_at_ms - known.started_at_ms) / 1000,
                    "turns": known.turns,
                },
            )
            for call, known in sorted(self.calls.items())
        ]


def load_open_calls(spool: Path) -> OpenCalls:
    """What the last committer knew of the spool. Raises `OSError`, `ValueError` when the file is damaged."""
    try:
        content = (spool / CALLS_FILE).read_bytes()
    except FileNotFoundError:
        return OpenCalls()
    return OpenCalls.model_validate_json(content)


def save_open_calls(spool: Path, open_calls: OpenCalls) -> None:
    """Replace the file as a whole, durably. Raises `OSError`."""
    fresh = spool / f"{CALLS_FILE}.new"
    with fresh.open("wb") as file:
        file.write(orjson.dumps(open_calls.model_dump()))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(spool / CALLS_FILE)
    sync_folder(spool)
