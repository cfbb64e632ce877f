"""The processes of one local cluster: remembered while they live, found again when their parent is gone, and ended.

In: the cluster's private folder. Children are found by descent; who lost its parent (HAProxy, when the process that
started it was killed) is found by that folder, which its command line or its environment names. Never by a name alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

_PATIENCE_S = 3.0
"""To end by itself, then after SIGTERM, then after SIGKILL."""
_HEAD = ("gcs_server", "raylet")
"""Both, since the first goes on living for half a minute after a SIGTERM, and answers nobody (Ray 2.60)."""


class ClusterProcesses:
    """What this process has started, directly or not, since it began to look."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._known: set[psutil.Process] = set()

    def living(self) -> set[psutil.Process]:
        """Every one that lives now."""
        self._known |= set(psutil.Process().children(recursive=True)) | self._orphans()
        return {process for process in self._known if _lives(process)}

    def head_lives(self) -> bool:
        """Whether Ray's head is among those seen, and lives: without it every question to Ray waits for a minute."""
        return {_name(process) for process in self._known if _lives(process)}.issuperset(_HEAD)

    def end(self) -> None:
        """Wait for all to end, ask them to, end them."""
        for ask in (psutil.Process.terminate, psutil.Process.kill, None):
            living = self.living()  # again: HAProxy starts its successor when it is reloaded
            psutil.wait_procs(living, timeout=_PATIENCE_S)
            for process in filter(_lives, living):
                if ask is not None:
                    with suppress(psutil.NoSuchProcess):
                        ask(process)
        self._known.clear()

    def _orphans(self) -> set[psutil.Process]:
        found = set()
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # gone meanwhile, or somebody else's
                if process.pid != os.getpid() and process.uids().real == os.getuid() and self._names_us(process):
                    found.add(process)
        return found

    def _names_us(self, process: psutil.Process) -> bool:
        return any(self._folder in word for word in (*process.cmdline(), *process.environ().values()))


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return process.name()
    return ""
