"""Processes of a cluster are found after their parent is gone, and all are ended; nobody else's are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from serve_app import local_processes
from serve_app.local_processes import ClusterProcesses

ORPHANED = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=2).pid)"
"""Starts a command, tells its id and is gone."""
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def orphan(*command: str, **environment: str) -> psutil.Process:
    """A process whose parent has ended."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHANED, *command],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return psutil.Process(int(done.stdout))


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterProcesses:
    monkeypatch.setattr(local_processes, "_PATIENCE_S", 0.5)
    return ClusterProcesses(tmp_path / "dukat-1")


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    process = orphan("sleep", "60", OTHER="/tmp/dukat-other")
    yield process
    process.kill()


def test_orphans_are_found_by_the_folder_they_were_started_with(
    ours: ClusterProcesses, stranger: psutil.Process, tmp_path: Path
) -> None:
    proxy = orphan(sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path / "dukat-1" / "haproxy.cfg"))
    replica = orphan("sleep", "60", HAPROXY_CONFIG=str(tmp_path / "dukat-1" / "haproxy.cfg"))
    assert {proxy, replica} <= ours.living()
    assert stranger not in ours.living()

    ours.end()

    assert ours.living() == set()
    assert stranger.is_running()


def test_what_does_not_listen_is_killed(ours: ClusterProcesses) -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"up\n"

        ours.end()

        assert child.wait(10) == -9


@pytest.mark.parametrize("first_to_go", ["gcs_server", "raylet"])
def test_the_head_lives_until_one_of_its_two_is_a_zombie(
    ours: ClusterProcesses, tmp_path: Path, first_to_go: str
) -> None:
    names = ("gcs_server", "raylet")
    for name in names:
        (tmp_path / name).symlink_to("/bin/sleep")
    assert not ours.head_lives()
    head = {name: subprocess.Popen([tmp_path / name, "60"]) for name in names}
    try:
        assert not ours.head_lives()  # not seen yet
        ours.living()
        assert ours.head_lives()
        head[first_to_go].terminate()
        # Dead, and nobody has asked for its status.
        os.waitid(os.P_PID, head[first_to_go].pid, os.WEXITED | os.WNOWAIT)

        assert not ours.head_lives()
    finally:
        for process in head.values():
            process.kill()
            process.wait(10)
