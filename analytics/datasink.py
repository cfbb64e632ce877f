"""The Ray Data way into `call_events`, for batches: `dataset.write_datasink(EventsDatasink(lake_folder, job_id))`.

In: rows of `EVENTS_SCHEMA` (`date` may be missing: it is computed from `at`). Out: one commit, by the driver, through
the same function as the committer's; a job that is run again under its id adds nothing. Ray's own `write_delta` would
add its rows twice (2.60.0 hands no application transaction to Delta). The rows pass through the driver: meant for at
most a few GB a job (about 1 KB an event); larger back-fills go day by day, one job id a day.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from ray.data.block import Block, BlockAccessor
from ray.data.datasource import Datasink, WriteResult

from analytics.commit import Segment, commit_segments
from analytics.tables import EVENTS_SCHEMA, STAGE, call_events_path
from deployments.contracts.errors import BadInput

if TYPE_CHECKING:
    from ray.data._internal.execution.interfaces import TaskContext


class EventsDatasink(Datasink[pa.Table]):
    """Writes events to the lake, exactly once per job id."""

    def __init__(self, lake_folder: Path, job_id: str) -> None:
        if not job_id:
            raise BadInput("job_id_missing", "a back-fill needs an id, or a second run could not be told apart", STAGE)
        self._table = call_events_path(Path(lake_folder))
        self._job_id = job_id
        self.committed = False
        """After the write: whether this run added the rows; False when an earlier run of the job had."""

    def write(self, blocks: Iterable[Block], ctx: TaskContext) -> pa.Table:
        """In a Ray task: this task's rows in the table's schema. Raises `BadInput`."""
        tables = [conform(BlockAccessor.for_block(block).to_arrow()) for block in blocks]
        return pa.concat_tables([EVENTS_SCHEMA.empty_table(), *tables])

    def on_write_complete(self, write_result: WriteResult[pa.Table]) -> None:
        """On the driver, after all tasks: the one commit. Raises `StageFailed`."""
        rows = pa.concat_tables([EVENTS_SCHEMA.empty_table(), *write_result.write_returns])
        # "job:" keeps a job from ever being taken for a spool.
        self.committed = commit_segments(self._table, f"job:{self._job_id}", [Segment(1, rows)]) > 0


def conform(table: pa.Table) -> pa.Table:
    """The table in `EVENTS_SCHEMA`, its `date` that of `at`. Raises `BadInput`."""
    wanted = set(EVENTS_SCHEMA.names) - {"date"}
    missing = sorted(wanted - set(table.column_names))
    unknown = sorted(set(table.column_names) - wanted - {"date"})
    if missing or unknown:
        raise BadInput("event_columns", f"missing: {missing}, unknown: {unknown}", STAGE)
    try:
        at = table["at"].cast(EVENTS_SCHEMA.field("at").type)
        day = pc.cast(at, pa.date32())
        columns = {name: day if name == "date" else table[name] for name in EVENTS_SCHEMA.names}
        columns["at"] = at
        made = pa.table(columns).cast(EVENTS_SCHEMA)
    except (pa.ArrowException, ValueError) as error:
        raise BadInput("event_columns", str(error), STAGE) from error
    empty = [name for name in EVENTS_SCHEMA.names if made[name].null_count]
    if empty:
        raise BadInput("event_columns", f"without a value in some rows: {empty}", STAGE)
    return made
