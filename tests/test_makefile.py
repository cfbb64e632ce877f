"""`make run` hands on what it was told, spaces and all."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def planned(*words: str) -> list[list[str]]:
    """The commands `make` would run."""
    said = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [shlex.split(line) for line in said.splitlines() if "dukat up" in line or line.startswith("rm ")]


def test_the_state_folder_may_have_a_space() -> None:
    (run,) = planned("run", "STATE=/tmp/my state", "PORT=8001")

    assert run[-4:] == ["--port", "8001", "--state-dir", "/tmp/my state"]


def test_cleaning_removes_the_state_folder_and_not_its_parts() -> None:
    (clean,) = planned("clean", "STATE=/tmp/my state")

    assert clean == ["rm", "-rf", ".venv", "/tmp/my state"]
