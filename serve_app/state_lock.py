"""One product a state folder: two would write one spool and one index, and lose what the other wrote.

In: the folder, made when it is not there. The lock is the kernel's (`flock`): it ends with the process that holds it,
however that ends, and no child inherits it (Python opens files so, PEP 446).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from deployments.contracts.errors import BadSettings


class StateLock:
    """Held from `take` to `release`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def take(self) -> None:
        """Raises `BadSettings`: `state_dir_unusable`, `state_dir_in_use`."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            detail = f"nothing can be written to {self._folder}: {error.strerror}; choose another with --state-dir"
            raise BadSettings("state_dir_unusable", detail, "up") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            by = f"process {holder}" if holder.isdigit() else "another process"
            detail = f"{self._folder} is in use by {by}; stop that one, or choose another with --state-dir"
            raise BadSettings("state_dir_in_use", detail, "up") from error
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._descriptor = descriptor

    def release(self) -> None:
        """The file stays: who opens it next may be waiting with it in hand."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
