"""The writing end of the usage path: takes events from calls without blocking and makes them durable on local disk.

In: `CallEvent`s, from the event loop. Out: segment files `<folder>/<spool_id>/<number>.seg` (format: `segments.py`),
numbered from 1 without gaps, which the committer carries into the lakehouse. One spool is one process incarnation; it
holds `owner.lock` while it lives. One writer thread does all disk work. An event is handed to the operating system at
once and is on the disk ≤ 200 ms after `append`: the writer syncs after half of that, the rest is for the disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from analytics.owner import claim, sync_folder
from analytics.segments import OPEN_SUFFIX, SEALED_SUFFIX, STAGE, encode
from deployments.contracts.call_events import NOT_STORED, CallEvent
from deployments.contracts.errors import StageFailed

log = logging.getLogger(__name__)


class SegmentFile(Protocol):
    """An open segment as the writer sees it. Every method raises `OSError` when the disk refuses."""

    def write(self, content: bytes) -> None:
        """Hand all of it to the operating system: from then on it survives the death of this process."""
        ...

    def sync(self) -> None:
        """From then on it survives a power cut."""
        ...

    def close(self) -> None: ...


class DiskFile:
    """A segment on a real disk; the file must not exist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb")
        sync_folder(path.parent)

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._file.flush()

    def sync(self) -> None:
        # A deleted file takes writes without complaint, and they are gone.
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise FileNotFoundError(f"{self._path} was removed while it was written")
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


@dataclass(slots=True)
class _OpenSegment:
    path: Path
    file: SegmentFile
    opened_s: float
    size_bytes: int = 0
    unsynced_since_s: float | None = None


class Spool:
    """An `EventSink` on local disk. Build it where blocking is allowed: the constructor makes its folder."""

    def __init__(
        self,
        folder: Path,
        *,
        rotate_after_s: float = 2.0,
        rotate_bytes: int = 1_000_000,
        queue_events: int = 10_000,
        sync_after_s: float = 0.1,
        open_file: Callable[[Path], SegmentFile] = DiskFile,
    ) -> None:
        self.spool_id = uuid.uuid4().hex
        self._folder = folder / self.spool_id
        self._rotate_after_s = rotate_after_s
        self._rotate_bytes = rotate_bytes
        self._queue_events = queue_events
        self._sync_after_s = sync_after_s
        self._open_file = open_file
        self._number = 0
        self._segment: _OpenSegment | None = None
        self._queue: deque[bytes] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._failed: StageFailed | None = None
        try:
            self._owner_lock: int | None = claim(folder, self.spool_id)
        except OSError as error:
            raise StageFailed("spool_unusable", f"{folder}: {error}", STAGE) from error
        # A daemon: a process that leaves without `close` must end; the committer then recovers what was written.
        self._writer = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._writer.start()

    @property
    def failed(self) -> StageFailed | None:
        """What stopped the writer for good, or None. Events not yet on disk are then lost; open a new `Spool`."""
        return self._failed

    @property
    def waiting(self) -> int:
        """Events the writer has not taken yet."""
        return len(self._queue)

    def append(self, event: CallEvent) -> None:
        """Take the event; durable within 200 ms. Raises `StageFailed` when it cannot be kept. Safe from any thread."""
        if event.type in NOT_STORED:
            return
        record = encode(event)
        with self._wake:
            if self._failed is not None:
                raise StageFailed(self._failed.code, self._failed.detail, STAGE) from self._failed
            if self._closing:
                raise StageFailed("spool_closed", f"{event.type} of call {event.call} came after close", STAGE)
            if len(self._queue) >= self._queue_events:
                raise StageFailed("spool_full", f"{len(self._queue)} events wait for the disk", STAGE)
            self._queue.append(record)
            self._wake.notify()

    def close(self) -> None:
        """Write what waits, seal the segment, let go of the spool. Blocks. Raises `StageFailed` if events were lost."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._writer.join()
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None
        if self._failed is not None:
            raise StageFailed(self._failed.code, self._failed.detail, STAGE) from self._failed

    # ------------------------------------------------------------ writer thread

    def _run(self) -> None:
        try:
            closing = False
            while not closing:
                batch, closing = self._take()
                if batch:
                    self._write(batch)
                self._sync_if_due(closing)
                self._seal_if_due(closing)
        except Exception as error:
            # Whatever it was, no event will reach the disk any more, and whoever appends must learn that.
            with self._wake:
                detail = f"{self._folder}: {type(error).__name__}: {error}; {len(self._queue)} events waited"
                self._failed = StageFailed("spool_write_failed", detail, STAGE)
            log.exception("spool_write_failed", extra={"spool": self.spool_id})
            if self._segment is not None:
                # Closing tries to write once more and fails the same way; that failure is already told.
                with contextlib.suppress(OSError):
                    self._segment.file.close()

    def _take(self) -> tuple[bytes, bool]:
        """Wait for events, for the next thing that falls due, or for the end. Returns records and whether to end."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._closing, self._due_in_s())
            batch = b"".join(self._queue)
            self._queue.clear()
            return batch, self._closing

    def _due_in_s(self) -> float | None:
        if self._segment is None:
            return None
        due_s = self._segment.opened_s + self._rotate_after_s
        if self._segment.unsynced_since_s is not None:
            due_s = min(due_s, self._segment.unsynced_since_s + self._sync_after_s)
        return max(0.0, due_s - time.monotonic())

    def _write(self, batch: bytes) -> None:
        now_s = time.monotonic()
        if self._segment is None:
            self._number += 1
            path = self._folder / f"{self._number:08d}{OPEN_SUFFIX}"
            self._segment = _OpenSegment(path, self._open_file(path), opened_s=now_s)
        self._segment.file.write(batch)
        self._segment.size_bytes += len(batch)
        if self._segment.unsynced_since_s is None:
            self._segment.unsynced_since_s = now_s

    def _sync_if_due(self, closing: bool) -> None:
        segment = self._segment
        if segment is None or segment.unsynced_since_s is None:
            return
        if closing or time.monotonic() - segment.unsynced_since_s >= self._sync_after_s:
            segment.file.sync()
            segment.unsynced_since_s = None

    def _seal_if_due(self, closing: bool) -> None:
        segment = self._segment
        if segment is None:
            return
        old = time.monotonic() - segment.opened_s >= self._rotate_after_s
        if closing or old or segment.size_bytes >= self._rotate_bytes:
            segment.file.sync()
            segment.file.close()
            segment.path.rename(segment.path.with_suffix(SEALED_SUFFIX))
            sync_folder(self._folder)
            self._segment = None
