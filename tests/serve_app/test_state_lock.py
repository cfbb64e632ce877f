"""One product a state folder, and a folder that cannot be used is said to be so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.contracts.errors import BadSettings
from serve_app.state_lock import StateLock

ROOT = Path(__file__).parents[2]
HOLD = (
    "import os, subprocess, sys; from pathlib import Path; from serve_app.state_lock import StateLock\n"
    "StateLock(Path(sys.argv[1])).take()\n"
    "heir = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, close_fds=False)\n"
    "print(os.getpid(), heir.pid, flush=True); sys.stdin.readline(); os._exit(9)"
)


def test_a_second_one_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    """Until its holder is gone, however it went; what the holder started has no share in it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "new" / "state")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as holder:
        assert holder.stdout is not None
        pid, heir = holder.stdout.readline().split()
        try:
            with pytest.raises(BadSettings, match=f"state_dir_in_use.*state is in use by process {pid};"):
                StateLock(tmp_path / "new" / "state").take()
            StateLock(tmp_path / "other").take()
            holder.communicate("crash\n", timeout=30)

            StateLock(tmp_path / "new" / "state").take()
        finally:
            subprocess.run(["kill", heir], check=True)


def test_what_was_released_can_be_taken_again(tmp_path: Path) -> None:
    first, second = StateLock(tmp_path), StateLock(tmp_path)
    first.take()
    with pytest.raises(BadSettings, match="state_dir_in_use"):
        second.take()
    second.release()  # it has nothing, and takes nothing away
    with pytest.raises(BadSettings, match="state_dir_in_use"):
        second.take()
    first.release()

    second.take()
    second.release()


def test_what_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")

    for folder in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / "circle", Path("/proc/nope")):
        with pytest.raises(BadSettings, match=rf"state_dir_unusable.*{folder}.*--state-dir"):
            StateLock(folder).take()
