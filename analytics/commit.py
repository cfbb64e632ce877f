"""The one way rows get into `call_events`: exactly once, however often and from wherever it is tried.

Each writer (a spool, a back-fill job) has an `app_id` and numbers its segments from 1. The number of the last segment
that is in the table is written in the same Delta commit as the rows (`txn` action). Whoever tries again sees it and
leaves out what is there; of two that race from the same snapshot Delta refuses one (`CommitFailedError`), which then
looks again. Measured with delta-rs 1.6.6: this only holds for writes through a `DeltaTable` object; given a path,
delta-rs reads the newest snapshot itself and appends the rows twice.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import orjson
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from analytics.owner import sync_folder
from analytics.tables import EVENTS_SCHEMA, PARTITION_BY, STAGE, TABLE_PROPERTIES, event_rows
from deployments.contracts.call_events import CallEvent
from deployments.contracts.errors import StageFailed

ATTEMPTS = 10
_FIRST_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Segment:
    """Numbered rows of one writer."""

    number: int
    """From 1, rising; a segment is committed after all with lower numbers."""
    rows: pa.Table
    """Of `EVENTS_SCHEMA`; may be empty: the number is recorded all the same."""


def commit_segment(table_path: Path, spool_id: str, number: int, records: Sequence[CallEvent]) -> bool:
    """Commit one segment; False when it was in the table already. Raises `StageFailed`."""
    return commit_segments(table_path, spool_id, [Segment(number, event_rows(records))]) > 0


def commit_segments(table_path: Path, app_id: str, segments: Sequence[Segment]) -> int:
    """Commit, at once, those of the ascending segments not in the table yet; returns how many. Raises `StageFailed`."""
    conflict: Exception | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            # Random, so that racing writers part; the race is over in the time of a few commits (10 ms each).
            time.sleep(_FIRST_PAUSE_S * 2**attempt * random.random())
        try:
            table = open_or_create(table_path)
            committed = table.transaction_version(app_id) or 0
            waiting = [segment for segment in segments if segment.number > committed]
            if waiting:
                _append(table, app_id, waiting)
                _make_durable(table_path, table.version())
            else:
                # Somebody committed this and died or failed before its own sync, perhaps; rare, so sync everything.
                os.sync()
            return len(waiting)
        except CommitFailedError as error:
            conflict = error
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise StageFailed("lake_write_failed", f"{table_path}: {type(error).__name__}: {error}", STAGE) from error
    raise StageFailed("lake_contended", f"{table_path}: lost {ATTEMPTS} races: {conflict}", STAGE) from conflict


def open_or_create(table_path: Path) -> DeltaTable:
    """The table as it is now. Raises `CommitFailedError` when somebody else creates it at the same moment."""
    try:
        return DeltaTable(table_path)
    except TableNotFoundError:
        return DeltaTable.create(
            table_path, EVENTS_SCHEMA, mode="ignore", partition_by=list(PARTITION_BY), configuration=TABLE_PROPERTIES
        )


def compact(table_path: Path) -> None:
    """Join small files; delete those unused for a day. Raises `StageFailed`, `lake_contended` when a commit won."""
    try:
        table = DeltaTable(table_path)
        if table.optimize.compact()["numFilesAdded"]:
            _make_durable(table_path, table.version())
        table.vacuum(dry_run=False)
    except CommitFailedError as error:
        raise StageFailed("lake_contended", f"{table_path}: compaction: {error}", STAGE) from error
    except (DeltaError, OSError) as error:
        raise StageFailed("lake_write_failed", f"{table_path}: compaction: {error}", STAGE) from error


def _append(table: DeltaTable, app_id: str, segments: Sequence[Segment]) -> None:
    mark = Transaction(app_id, segments[-1].number)
    rows = pa.concat_tables([segment.rows for segment in segments])
    write_deltalake(table, rows, mode="append", commit_properties=CommitProperties(app_transactions=[mark]))


def _make_durable(table_path: Path, version: int) -> None:
    """Sync the commit and the files it added: delta-rs does not, and the spool is deleted on our word."""
    log = table_path / "_delta_log" / f"{version:020d}.json"
    added = [orjson.loads(line).get("add") for line in log.read_bytes().splitlines()]
    files = [table_path / unquote(action["path"]) for action in added if action]
    # Every 100th commit delta-rs also writes a checkpoint, which readers then start from.
    checkpoint = [*log.parent.glob(f"{version:020d}.*.parquet"), *log.parent.glob("_last_checkpoint")]
    for file in [*files, log, *checkpoint]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    # A partition's folders may be new: their names stand in the folders above.
    above = {folder for file in files for folder in file.parents if folder.is_relative_to(table_path)}
    for folder in above | {log.parent, table_path}:
        sync_folder(folder)
