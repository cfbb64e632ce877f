"""Who writes a spool, and whether it still lives: an `flock` on `<spool>/owner.lock`, which the kernel frees at death.

A process's folder appears under its name with the lock already held (made under a dotted name, then renamed), so a
committer that looks at the wrong moment cannot take a newborn spool for a dead one.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

OWNER_LOCK = "owner.lock"


def claim(spools: Path, spool_id: str) -> int:
    """Make the folder `<spools>/<spool_id>` and hold its lock: an open file descriptor. Raises `OSError`."""
    spools.mkdir(parents=True, exist_ok=True)
    newborn = spools / f".{spool_id}"
    newborn.mkdir()
    lock = os.open(newborn / OWNER_LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)
    newborn.rename(spools / spool_id)
    sync_folder(spools)
    return lock


def try_lock(path: Path, create: bool = False) -> int | None:
    """Hold the lock file `path`, or None when somebody else does. Raises `FileNotFoundError` unless `create`."""
    lock = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def sync_folder(folder: Path) -> None:
    """Make new, renamed and removed names in `folder` survive a power cut. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
