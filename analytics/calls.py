"""Calls read back from the lakehouse, for the command line and reports.

Events are ordered by (epoch, seq). When a host died and another took the call over, the table holds the dead host's
`call.ended` (`host_lost`) and a higher epoch that goes on: only the end written in the call's highest epoch counts.
Days are read newest first, so recent calls cost a day or two of data, whatever the age of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from analytics.tables import STAGE, call_events_path
from deployments.contracts.call_events import CallEvent
from deployments.contracts.errors import NotFound, StageFailed

_BOUNDS = ("call.started", "call.ended")


@dataclass(frozen=True, slots=True)
class CallSummary:
    """One call in a list."""

    call: str
    tenant: str
    tenant_name: str
    profile: str
    channel: str
    engines: dict[str, Any]
    """Stage → {engine, nature}."""
    started_at_ms: int
    """UTC, milliseconds since 1970."""
    ended_at_ms: int | None
    """None while the call goes on (or its end is not in the table yet); so are the next three."""
    end_reason: str | None
    duration_s: float | None
    turns: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """A document an answer was taken from."""

    document: str
    title: str
    source: str


@dataclass(frozen=True, slots=True)
class CallTurn:
    """What was said in one turn."""

    turn: int
    caller: str
    """"" in a turn the agent began, such as the greeting."""
    language: str | None
    agent: str
    """What the agent meant to say."""
    heard: str
    """What of it the caller heard."""
    complete: bool | None
    """Whether every reply of the turn was heard to its end; None when nothing is known of it."""
    sources: tuple[Source, ...]
    ledger: dict[str, Any]
    """Fields of the turn's `turn.ledger` event; empty when there is none."""


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One call as a whole."""

    summary: CallSummary
    turns: tuple[CallTurn, ...]


def list_calls(lake_folder: Path, limit: int = 20) -> list[CallSummary]:
    """The calls that began last, newest first; empty when there is no table yet. Raises `StageFailed`."""
    events: dict[str, list[CallEvent]] = {}
    started: set[str] = set()
    for day in _days(lake_folder, pc.field("type").isin(_BOUNDS)):
        for event in day:
            events.setdefault(event.call, []).append(event)
            if event.type == "call.started":
                started.add(event.call)
        if len(started) >= limit:
            break
    summaries = [_summary(_in_order(events[call])) for call in started]
    summaries.sort(key=lambda summary: (summary.started_at_ms, summary.call), reverse=True)
    return summaries[:limit]


def read_call(lake_folder: Path, call_id: str) -> StoredCall:
    """Everything about one call. Raises `NotFound` (`call_not_in_lake`), `StageFailed`."""
    events: list[CallEvent] = []
    for day in _days(lake_folder, pc.field("call_id") == call_id):
        events = [*day, *events]
        if any(event.type == "call.started" and event.epoch == 1 for event in day):
            break
    events = _in_order(events)
    if not any(event.type == "call.started" for event in events):
        raise NotFound("call_not_in_lake", f"call {call_id!r} is not in the lakehouse (yet)", STAGE)
    return StoredCall(_summary(events), _turns(events))


def _days(lake_folder: Path, wanted: pc.Expression) -> Iterator[list[CallEvent]]:
    """Events that match, a day at a time, newest day first."""
    path = call_events_path(lake_folder)
    try:
        table = DeltaTable(path)
        dataset = table.to_pyarrow_dataset()
        for day in sorted({date.fromisoformat(part["date"]) for part in table.partitions()}, reverse=True):
            rows = dataset.to_table(filter=(pc.field("date") == day) & wanted)
            yield [_event(row) for row in rows.to_pylist()]
    except TableNotFoundError:
        return
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise StageFailed("lake_read_failed", f"{path}: {error}", STAGE) from error


def _event(row: dict[str, Any]) -> CallEvent:
    return CallEvent(
        type=row["type"],
        call=row["call_id"],
        tenant=row["tenant_id"],
        seq=row["seq"],
        data=orjson.loads(row["data"]),
        epoch=row["epoch"],
        at_ms=round(row["at"].timestamp() * 1000),
        event_id=row["event_id"],
        version=row["schema_version"],
    )


def _in_order(events: list[CallEvent]) -> list[CallEvent]:
    return sorted(events, key=lambda event: (event.epoch, event.seq))


def _summary(events: list[CallEvent]) -> CallSummary:
    """Of one call's events, in order, at least its start among them."""
    start = next(event for event in events if event.type == "call.started")
    epoch = events[-1].epoch
    end = next((event for event in events if event.type == "call.ended" and event.epoch == epoch), None)
    return CallSummary(
        call=start.call,
        tenant=start.tenant,
        tenant_name=start.data.get("tenant_name", ""),
        profile=start.data.get("profile", ""),
        channel=start.data.get("channel", ""),
        engines=start.data.get("engines", {}),
        started_at_ms=start.at_ms,
        ended_at_ms=end.at_ms if end else None,
        end_reason=end.data.get("reason") if end else None,
        duration_s=end.data.get("duration_s", (end.at_ms - start.at_ms) / 1000) if end else None,
        turns=end.data.get("turns") if end else None,
    )


def _turns(events: list[CallEvent]) -> tuple[CallTurn, ...]:
    by_turn: dict[int, list[CallEvent]] = {}
    for event in events:
        if isinstance(event.data.get("turn"), int):
            by_turn.setdefault(event.data["turn"], []).append(event)
    return tuple(_turn(number, by_turn[number]) for number in sorted(by_turn))


def _turn(number: int, events: list[CallEvent]) -> CallTurn:
    finals = [event.data for event in events if event.type == "transcript.final"]
    # One entry a reply: a later event about the same reply replaces the earlier one.
    said = {event.data.get("reply"): event.data for event in events if event.type == "agent.text"}
    heard = {event.data.get("reply"): event.data for event in events if event.type == "agent.heard"}
    ledgers = [event.data for event in events if event.type == "turn.ledger"]
    sources = {
        Source(source.get("document", ""), source.get("title", ""), source.get("source", "")): None
        for data in said.values()
        for source in data.get("sources", ())
    }
    return CallTurn(
        turn=number,
        caller=_joined(finals),
        language=finals[-1].get("language") if finals else None,
        agent=_joined(list(said.values())),
        heard=_joined(list(heard.values())),
        complete=all(data.get("complete", False) for data in heard.values()) if heard else None,
        sources=tuple(sources),
        ledger=ledgers[-1] if ledgers else {},
    )


def _joined(parts: list[dict[str, Any]]) -> str:
    return " ".join(part["text"] for part in parts if part.get("text"))
