"""The reading end of one spool's folder: which segments wait, sealing what a dead owner left open, clearing up.

Layout: `<spools>/<spool_id>/` with owner.lock, calls.json, 00000001.seg …, 00000007.open. A name that begins with a
dot is no spool.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from analytics.open_calls import CALLS_FILE
from analytics.owner import OWNER_LOCK, sync_folder
from analytics.segments import OPEN_SUFFIX, SEALED_SUFFIX, STAGE, read
from deployments.contracts.errors import StageFailed

SET_ASIDE = ".set_aside"
"""Folder, beside the spools, of segments that were not used whole: kept for a person to look at."""


@dataclass(frozen=True, slots=True)
class SealedSegment:
    """A segment file that waits for the committer."""

    path: Path
    number: int
    size_bytes: int
    written_s: float
    """When it was last written, seconds since 1970."""


def spools_in(spools: Path) -> list[Path]:
    """Folders of all spools, in name order. Raises `OSError`."""
    return sorted(path for path in spools.iterdir() if path.is_dir() and not path.name.startswith("."))


def sealed_segments(spool: Path) -> list[SealedSegment]:
    """Segments that wait, oldest first. Raises `OSError`."""
    segments = []
    for path in spool.glob(f"*{SEALED_SUFFIX}"):
        if not path.stem.isdecimal():
            continue  # not ours; it keeps the folder from being removed, so it will be noticed
        facts = path.stat()
        segments.append(SealedSegment(path, int(path.stem), facts.st_size, facts.st_mtime))
    return sorted(segments, key=lambda segment: segment.number)


def batches(segments: list[SealedSegment], most_bytes: int) -> Iterator[list[SealedSegment]]:
    """Cut into consecutive groups of at most `most_bytes` (a longer segment stands alone)."""
    batch: list[SealedSegment] = []
    size_bytes = 0
    for segment in segments:
        if batch and size_bytes + segment.size_bytes > most_bytes:
            yield batch
            batch, size_bytes = [], 0
        batch.append(segment)
        size_bytes += segment.size_bytes
    if batch:
        yield batch


def seal_left_open(spool: Path) -> int:
    """Seal what a dead owner was writing, without its torn tail; returns the bytes cut off. Hold the owner's lock.

    The tail is the record the owner died in, or bytes that no sync had promised.
    """
    dropped_bytes = 0
    for path in spool.glob(f"*{OPEN_SUFFIX}"):
        content = read(path)
        dropped_bytes += content.dropped_bytes
        if content.whole_bytes == 0:
            path.unlink()
            continue
        with path.open("r+b") as file:
            file.truncate(content.whole_bytes)
            os.fsync(file.fileno())
        path.rename(path.with_suffix(SEALED_SUFFIX))
    sync_folder(spool)
    return dropped_bytes


def set_aside(segment: SealedSegment) -> Path:
    """Move a segment that was not used whole out of the way; returns where it lies. Raises `OSError`."""
    spool = segment.path.parent
    folder = spool.parent / SET_ASIDE
    folder.mkdir(exist_ok=True)
    target = folder / f"{spool.name}-{segment.path.name}"
    segment.path.replace(target)
    sync_folder(folder)
    return target


def left_in(spool: Path) -> list[str]:
    """Names in the folder, sorted. Raises `OSError`."""
    return sorted(path.name for path in spool.iterdir())


def remove_spool(spool: Path) -> None:
    """Remove a dead owner's folder once its segments are gone. Raises `StageFailed` when anything else is in it.

    The lock goes last: as long as it is there, a committer that comes back after a crash knows the owner is dead.
    """
    ours = (f"{CALLS_FILE}.new", CALLS_FILE, OWNER_LOCK)
    strange = [name for name in left_in(spool) if name not in ours]
    if strange:
        raise StageFailed("spool_not_empty", f"{spool} holds {', '.join(strange)}", STAGE)
    for name in ours:
        (spool / name).unlink(missing_ok=True)
    spool.rmdir()
    sync_folder(spool.parent)
