"""The commit function: however often and by however many a segment is tried, its rows are in the table once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from analytics.commit import Segment, commit_segment, commit_segments, compact
from analytics.tables import EVENTS_SCHEMA, call_events_path, event_rows
from deployments.contracts.errors import StageFailed
from tests.analytics.lake_facts import event, events, rows, seqs


def test_a_segment_becomes_rows_with_their_day(tmp_path: Path) -> None:
    at_ms = 1_767_225_599_999  # the last millisecond of 2025, UTC
    one = event(3, "transcript.final", data={"text": "مرحبا", "turn": 1}, at_ms=at_ms, epoch=2)

    assert commit_segment(call_events_path(tmp_path), "spool-a", 1, [one])
    assert rows(tmp_path) == [
        {
            "event_id": one.event_id,
            "call_id": "c1",
            "tenant_id": "demo",
            "type": "transcript.final",
            "seq": 3,
            "epoch": 2,
            "schema_version": 1,
            "at": datetime(2025, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
            "date": date(2025, 12, 31),
            "data": '{"text":"مرحبا","turn":1}',
        }
    ]
    table = DeltaTable(call_events_path(tmp_path))
    assert table.metadata().partition_columns == ["date", "tenant_id"]


def test_a_segment_committed_again_adds_nothing(tmp_path: Path) -> None:
    table = call_events_path(tmp_path)
    commit_segment(table, "spool-a", 1, events(5))

    assert not commit_segment(table, "spool-a", 1, events(5))
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]


def test_of_several_segments_only_those_not_yet_there_are_added(tmp_path: Path) -> None:
    table = call_events_path(tmp_path)
    parts = [Segment(number, event_rows([event(number)])) for number in (1, 2, 3, 4)]
    commit_segments(table, "spool-a", parts[:2])

    assert commit_segments(table, "spool-a", parts) == 2
    assert seqs(tmp_path) == [1, 2, 3, 4]


def test_spools_are_counted_apart(tmp_path: Path) -> None:
    table = call_events_path(tmp_path)
    commit_segment(table, "spool-a", 7, [event(1)])

    assert commit_segment(table, "spool-b", 1, [event(1, call="c2")])


def test_an_empty_segment_is_recorded(tmp_path: Path) -> None:
    table = call_events_path(tmp_path)

    assert commit_segment(table, "spool-a", 1, [])
    assert not commit_segment(table, "spool-a", 1, [event(1)])
    assert rows(tmp_path) == []


@pytest.mark.parametrize("table_exists", [False, True])
def test_racing_committers_write_every_segment_once(tmp_path: Path, table_exists: bool) -> None:
    table = call_events_path(tmp_path)
    if table_exists:
        commit_segment(table, "other", 1, [])
    start = threading.Barrier(4)

    def work(_: int) -> int:
        start.wait()
        return sum(commit_segment(table, "spool-a", number, [event(number)]) for number in range(1, 9))

    with ThreadPoolExecutor(4) as threads:
        won = list(threads.map(work, range(4)))

    assert sum(won) == 8
    assert seqs(tmp_path) == list(range(1, 9))


def test_racing_committers_with_different_batches_write_every_segment_once(tmp_path: Path) -> None:
    table = call_events_path(tmp_path)
    parts = [Segment(number, event_rows([event(number)])) for number in range(1, 13)]
    start = threading.Barrier(3)

    def work(size: int) -> int:
        start.wait()
        return sum(commit_segments(table, "spool-a", parts[at : at + size]) for at in range(0, 12, size))

    with ThreadPoolExecutor(3) as threads:
        committed = list(threads.map(work, [1, 4, 3]))

    assert sum(committed) == 12
    assert seqs(tmp_path) == list(range(1, 13))


def test_a_retry_after_compaction_still_adds_nothing(tmp_path: Path) -> None:
    table = call_events_path(tmp_path)
    for number in range(1, 6):
        commit_segment(table, "spool-a", number, [event(number)])

    compact(table)

    assert len(DeltaTable(table).file_uris()) == 1
    assert not commit_segment(table, "spool-a", 5, [event(5)])
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]


def test_what_callers_say_is_not_copied_into_the_tables_log(tmp_path: Path) -> None:
    table = call_events_path(tmp_path)
    commit_segment(table, "spool-a", 1, [event(1, data={"text": "my secret"})])

    log = b"".join(path.read_bytes() for path in (table / "_delta_log").glob("*.json"))
    assert b"secret" not in log
    assert b"c1" in log  # statistics of the call id are there, so the first line is not true for want of any


def test_a_lake_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where a folder should be")

    with pytest.raises(StageFailed, match="lake_write_failed"):
        commit_segment(tmp_path / "lake" / "call_events", "spool-a", 1, [event(1)])


def test_rows_of_another_schema_are_refused(tmp_path: Path) -> None:
    strange = pa.table({"event_id": ["x"]})

    with pytest.raises(StageFailed, match="lake_write_failed"):
        commit_segments(call_events_path(tmp_path), "spool-a", [Segment(1, strange)])


def test_the_commit_is_on_the_disk_before_the_segment_may_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = call_events_path(tmp_path)
    synced: set[str] = set()
    real_fsync = os.fsync

    def watched_fsync(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    commit_segment(table, "spool-a", 1, [event(1)])

    data_files = {str(path) for path in table.rglob("date=*/*/*.parquet")}
    assert data_files
    assert data_files | {str(table / "_delta_log" / f"{1:020d}.json"), str(table / "_delta_log")} <= synced


def test_the_schema_is_the_tables(tmp_path: Path) -> None:
    commit_segment(call_events_path(tmp_path), "spool-a", 1, [event(1)])

    assert DeltaTable(call_events_path(tmp_path)).to_pyarrow_dataset().schema == EVENTS_SCHEMA
