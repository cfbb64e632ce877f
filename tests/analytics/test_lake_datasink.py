"""Back-fills through Ray Data: one commit a job, and a job run again adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
import ray
from deltalake import DeltaTable

from analytics.datasink import EventsDatasink, conform
from analytics.tables import EVENTS_SCHEMA, call_events_path, event_rows
from deployments.contracts.errors import BadInput
from tests.analytics.lake_facts import events, seqs


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.ray
def test_a_back_fill_run_twice_is_in_the_table_once_and_in_one_commit(tmp_path: Path, local_ray: None) -> None:
    first, again = EventsDatasink(tmp_path, "refill-1"), EventsDatasink(tmp_path, "refill-1")
    for sink in (first, again):
        ray.data.from_arrow([event_rows(events(30))]).repartition(3).write_datasink(sink)

    assert seqs(tmp_path) == list(range(1, 31))
    assert (first.committed, again.committed) == (True, False)
    assert DeltaTable(call_events_path(tmp_path)).version() == 1  # version 0 made the table


@pytest.mark.ray
def test_rows_that_do_not_fit_stop_the_job_and_nothing_is_written(tmp_path: Path, local_ray: None) -> None:
    good = event_rows(events(3))
    bad = good.set_column(4, "seq", pa.array(["one", "two", "three"]))

    with pytest.raises(Exception, match="event_columns"):
        ray.data.from_arrow([bad]).write_datasink(EventsDatasink(tmp_path, "refill-1"))
    assert not call_events_path(tmp_path).exists()


def test_the_day_is_that_of_the_moment_whatever_the_rows_say() -> None:
    rows = event_rows(events(1)).drop_columns(["date"])
    late = pa.array([datetime(2025, 12, 31, 23, 59, tzinfo=UTC)], pa.timestamp("ms", tz="UTC"))
    rows = rows.set_column(rows.column_names.index("at"), "at", late)

    made = conform(rows.append_column("date", pa.array([date(2020, 1, 1)])))

    assert made.schema == EVENTS_SCHEMA
    assert made["date"].to_pylist() == [date(2025, 12, 31)]


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.drop_columns(["call_id"]),
        lambda rows: rows.append_column("colour", pa.array(["blue"])),
        lambda rows: rows.set_column(0, "event_id", pa.array([None], pa.string())),
    ],
    ids=["column missing", "column unknown", "value missing"],
)
def test_rows_that_are_no_events_are_refused(change: object) -> None:
    with pytest.raises(BadInput, match="event_columns"):
        conform(change(event_rows(events(1))))  # type: ignore[operator]


def test_a_job_needs_an_id(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="job_id_missing"):
        EventsDatasink(tmp_path, "")
