"""The lakehouse's tables: names, schemas and where they lie. `call_events` holds every stored fact of every call.

Partitioned by `date` (UTC day of the event) and `tenant_id`: reports, retention and erasure work on one tenant's days.
Compaction joins files within a partition only, so many small tenants leave a file each a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa

from deployments.contracts.call_events import CallEvent

STAGE = "lake"
CALL_EVENTS = "call_events"
PARTITION_BY = ("date", "tenant_id")

EVENTS_SCHEMA = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("call_id", pa.string(), nullable=False),
        pa.field("tenant_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("date", pa.date32(), nullable=False),
        pa.field("data", pa.string(), nullable=False),
    ]
)
"""`data` is the event's own fields as a JSON object."""

TABLE_PROPERTIES = {
    # Statistics are copied into the table's log; without this they would carry pieces of what callers said.
    "delta.dataSkippingStatsColumns": "event_id,call_id,tenant_id,type,seq,epoch,at",
    # A commit every few seconds leaves many small files behind after compaction: do not keep their names for a week.
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.logRetentionDuration": "interval 7 days",
    # delta.setTransactionRetentionDuration stays unset: a spool's commit marks must never expire.
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def call_events_path(lake_folder: Path) -> Path:
    """Folder of the Delta table of call events."""
    return lake_folder / CALL_EVENTS


def event_rows(events: Sequence[CallEvent]) -> pa.Table:
    """The events as rows of `EVENTS_SCHEMA`, in the same order."""
    moments = [_EPOCH + timedelta(milliseconds=event.at_ms) for event in events]
    columns = {
        "event_id": [event.event_id for event in events],
        "call_id": [event.call for event in events],
        "tenant_id": [event.tenant for event in events],
        "type": [event.type for event in events],
        "seq": [event.seq for event in events],
        "epoch": [event.epoch for event in events],
        "schema_version": [event.version for event in events],
        "at": moments,
        "date": [moment.date() for moment in moments],
        "data": [orjson.dumps(event.data).decode() for event in events],
    }
    return pa.table(columns, schema=EVENTS_SCHEMA)
