"""Carries the segments of every spool in a folder into the Delta table `call_events`, in order, exactly once.

This file is the loop around it: pass after pass, back-off per spool (one that fails holds up nothing but itself),
compaction, status. What is done for one spool: `one_spool.py`. A crash anywhere is repaired by the next pass. One
committer works on a folder at a time (`.committer.lock`); another waits for its turn. All disk work is in a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from analytics.commit import compact
from analytics.one_spool import SpoolCounts, serve_spool
from analytics.owner import try_lock
from analytics.spool_folder import SealedSegment, sealed_segments, spools_in
from analytics.tables import STAGE, call_events_path
from deployments.contracts.errors import DukatError, StageFailed

log = logging.getLogger(__name__)

COMMITTER_LOCK = ".committer.lock"
_LONGEST_RETRY_S = 30.0
_PASS, _COMPACTION = "(all spools)", "(compaction)"
_OWN_WORK = {_PASS, _COMPACTION}


@dataclass(frozen=True, slots=True)
class CommitterStatus:
    """How the committer stands. Counts are since its start."""

    passes: int
    segments_waiting: int
    """Sealed and not committed, when the last pass ended."""
    oldest_age_s: float
    """Age of the oldest of them; 0 when none waits."""
    last_error: str | None
    """Why a spool (or compaction) cannot go on at present; None when all is well."""
    segments_committed: int
    events_committed: int
    records_rejected: int
    """Whole records that were no event; their segments lie in `.set_aside`."""
    bytes_dropped: int
    """Torn or damaged."""
    segments_missing: int
    """Numbers that were skipped: somebody removed segment files."""
    calls_lost: int
    """Calls ended in a dead host's name."""


@dataclass(slots=True)
class _Trouble:
    """What fails, and when it is tried again."""

    error: str
    tries: int
    retry_at_s: float


class Committer:
    """Starts its loop when built inside a running event loop; otherwise call `start` there, or `pass_once` by hand."""

    def __init__(
        self,
        spool_folder: Path,
        lake_folder: Path,
        period_s: float = 0.5,
        *,
        first_retry_s: float = 0.5,
        compact_every: int = 100,
    ) -> None:
        self._spools = Path(spool_folder)
        self._table = call_events_path(Path(lake_folder))
        self._period_s = period_s
        self._first_retry_s = first_retry_s
        self._compact_every = compact_every
        self._commits_at_compact = 0
        self._counts = SpoolCounts()
        self._troubles: dict[str, _Trouble] = {}
        self._passes = 0
        self._waiting: list[SealedSegment] = []
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        try:
            self._spools.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StageFailed("spool_unusable", f"{self._spools}: {error}", STAGE) from error
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # no loop runs here: the owner calls `start`
        self.start()

    def start(self) -> None:
        """Start the loop; nothing if it was started. Needs a running event loop."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.run(), name="committer")

    async def run(self) -> None:
        """Pass after pass until `stop`."""
        while not self._stopping.is_set():
            await asyncio.to_thread(self.pass_once)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._period_s)

    async def stop(self) -> None:
        """End the loop after the pass under way."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    def ready(self) -> bool:
        """The loop runs and has made its first pass."""
        return self._task is not None and not self._task.done() and self._passes > 0

    def status(self) -> CommitterStatus:
        """How things stand; cheap, never blocks."""
        counts, waiting, troubles = self._counts, self._waiting, list(self._troubles.values())
        oldest_s = min((segment.written_s for segment in waiting), default=time.time())
        return CommitterStatus(
            passes=self._passes,
            segments_waiting=len(waiting),
            oldest_age_s=max(0.0, time.time() - oldest_s),
            last_error=troubles[-1].error if troubles else None,
            segments_committed=counts.segments,
            events_committed=counts.events,
            records_rejected=counts.rejected,
            bytes_dropped=counts.dropped_bytes,
            segments_missing=counts.missing,
            calls_lost=counts.lost_calls,
        )

    def pass_once(self) -> None:
        """Look at every spool once. Blocks; what goes wrong is in `status` and tried again later, it does not raise."""
        self._attempt(_PASS, self._serve_all)
        if self._counts.commits - self._commits_at_compact >= self._compact_every:
            self._attempt(_COMPACTION, self.compact)
        self._passes += 1

    def compact(self) -> None:
        """Join the table's small files. Blocks. Raises `StageFailed`."""
        compact(self._table)
        self._commits_at_compact = self._counts.commits

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        """Do the work unless it failed a moment ago; a failure is noted under its name and holds up nothing else."""
        trouble = self._troubles.get(name)
        if trouble is not None and time.monotonic() < trouble.retry_at_s:
            return
        try:
            work()
        except Exception as error:
            # Any failure: one spool whose content upsets some library must not stop the others, nor the loop.
            tries = trouble.tries + 1 if trouble else 1
            pause_s = min(self._first_retry_s * 2 ** min(tries - 1, 10), _LONGEST_RETRY_S)
            text = f"{name}: {error if isinstance(error, DukatError) else repr(error)}"
            self._troubles[name] = _Trouble(text, tries, time.monotonic() + pause_s)
            log.warning("commit_failed", extra={"spool": name, "tries": tries, "retry_s": pause_s}, exc_info=error)
        else:
            self._troubles.pop(name, None)

    def _serve_all(self) -> None:
        lock = try_lock(self._spools / COMMITTER_LOCK, create=True)
        if lock is None:
            return
        try:
            spools = spools_in(self._spools)
            for gone in self._troubles.keys() - {spool.name for spool in spools} - _OWN_WORK:
                del self._troubles[gone]
            for spool in spools:
                self._attempt(spool.name, partial(serve_spool, spool, self._table, self._counts))
            self._waiting = [segment for spool in spools if spool.exists() for segment in sealed_segments(spool)]
        finally:
            os.close(lock)
