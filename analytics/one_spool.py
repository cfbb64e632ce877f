"""What a committer's pass does for one spool: seal, commit, note open calls, delete, end lost calls, remove.

Each step may be the last before a crash, so each finds out by itself whether it was done before: the table knows the
last committed number (`commit.py`), `calls.json` the last one counted (`open_calls.py`).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from analytics.commit import Segment, commit_segment, commit_segments
from analytics.open_calls import load_open_calls, save_open_calls
from analytics.owner import OWNER_LOCK, try_lock
from analytics.segments import SegmentContent, read
from analytics.spool_folder import (
    SealedSegment,
    batches,
    left_in,
    remove_spool,
    seal_left_open,
    sealed_segments,
    set_aside,
)
from analytics.tables import STAGE, event_rows
from deployments.contracts.errors import StageFailed

log = logging.getLogger(__name__)

_BATCH_BYTES = 8_000_000
"""Segments that wait are committed together up to so much: a commit costs the same for one as for many."""


@dataclass(slots=True)
class SpoolCounts:
    """What passes have done so far, over all spools."""

    commits: int = 0
    segments: int = 0
    events: int = 0
    rejected: int = 0
    """Whole records that were no event."""
    dropped_bytes: int = 0
    """Torn or damaged."""
    missing: int = 0
    """Segment numbers that were skipped."""
    lost_calls: int = 0
    """Calls ended in a dead host's name."""


def serve_spool(spool: Path, table_path: Path, counts: SpoolCounts) -> None:
    """Bring the spool's facts into the table. Raises `StageFailed`, `OSError`, `ValueError`; may be called again."""
    try:
        lock = try_lock(spool / OWNER_LOCK)
    except FileNotFoundError:
        _serve_without_lock(spool, table_path, counts)
        return
    if lock is None:
        _commit_sealed(spool, table_path, counts)
        return
    try:
        counts.dropped_bytes += seal_left_open(spool)
        _commit_sealed(spool, table_path, counts)
        _end_lost_calls(spool, table_path, counts)
        remove_spool(spool)
    finally:
        os.close(lock)


def _serve_without_lock(spool: Path, table_path: Path, counts: SpoolCounts) -> None:
    _commit_sealed(spool, table_path, counts)
    left = left_in(spool)
    if left:
        # Nobody can say whether the owner lives, and sealing a living owner's open file would lose its events.
        detail = f"{spool} holds {', '.join(left)}; if its process is dead, put an empty {OWNER_LOCK} there"
        raise StageFailed("owner_lock_missing", detail, STAGE)
    remove_spool(spool)


def _commit_sealed(spool: Path, table_path: Path, counts: SpoolCounts) -> None:
    for batch in batches(sealed_segments(spool), _BATCH_BYTES):
        contents = [read(segment.path) for segment in batch]
        rows = [
            Segment(segment.number, event_rows(content.events))
            for segment, content in zip(batch, contents, strict=True)
        ]
        committed = commit_segments(table_path, spool.name, rows)
        if committed:
            counts.commits += 1
            counts.segments += committed
            counts.events += sum(part.rows.num_rows for part in rows[-committed:])
        _count_calls(spool, batch, contents, counts)
        for segment, content in zip(batch, contents, strict=True):
            _drop(segment, content, counts)


def _count_calls(spool: Path, batch: list[SealedSegment], contents: list[SegmentContent], counts: SpoolCounts) -> None:
    open_calls = load_open_calls(spool)
    for segment, content in zip(batch, contents, strict=True):
        gap = segment.number - open_calls.through - 1
        if gap > 0:
            counts.missing += gap
            log.error("segments_missing", extra={"spool": spool.name, "missing": gap, "before": segment.number})
        open_calls = open_calls.after(segment.number, content.events)
    save_open_calls(spool, open_calls)


def _drop(segment: SealedSegment, content: SegmentContent, counts: SpoolCounts) -> None:
    """The segment is in the table: delete it, unless a part of it is not."""
    if not content.rejected and not content.dropped_bytes:
        segment.path.unlink()
        return
    counts.rejected += len(content.rejected)
    counts.dropped_bytes += content.dropped_bytes
    kept = set_aside(segment)
    fields = {"rejected": len(content.rejected), "dropped_bytes": content.dropped_bytes, "kept": str(kept)}
    log.error("segment_set_aside", extra=fields)


def _end_lost_calls(spool: Path, table_path: Path, counts: SpoolCounts) -> None:
    """One more segment after the spool's last. It is always the same one, so a second try finds it committed."""
    open_calls = load_open_calls(spool)
    ends = open_calls.host_lost(spool.name)
    if ends and commit_segment(table_path, spool.name, open_calls.through + 1, ends):
        counts.commits += 1
        counts.events += len(ends)
        counts.lost_calls += len(ends)
