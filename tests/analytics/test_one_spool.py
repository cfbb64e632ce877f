"""Whatever dies, and when: no event that was promised is lost, and none is in the table twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import analytics.one_spool
from analytics.segments import encode
from tests.analytics.lake_facts import Folders, event, rows, seqs

CHILD = Path(__file__).parent / "appending_child.py"


class Killed(BaseException):
    """What a process that dies here would see: nothing catches it."""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "step",
    ["seal_left_open", "commit_segments", "save_open_calls", "_drop", "commit_segment", "remove_spool"],
)
def test_a_committer_killed_at_any_step_loses_and_doubles_nothing(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    folders.dead_spool(
        "a", [event(1, "call.started")], [event(2), event(3)], left_open=encode(event(4)) + encode(event(5))[:9]
    )
    with monkeypatch.context() as patched:
        real = getattr(analytics.one_spool, step)

        def die(*args: object, **named: object) -> None:
            if after:
                real(*args, **named)
            raise Killed

        patched.setattr(analytics.one_spool, step, die)
        with pytest.raises(Killed):
            folders.committer().pass_once()

    folders.committer().pass_once()

    assert seqs(folders.lake) == [1, 2, 3, 4, 5]
    assert [row["seq"] for row in rows(folders.lake) if row["type"] == "call.ended"] == [5]
    assert folders.left() == []


def test_two_committers_at_once_write_every_event_once(folders: Folders) -> None:
    parts = [[event(seq) for seq in range(start, start + 3)] for start in range(1, 31, 3)]
    for name in ("a", "b", "c"):
        folders.dead_spool(name, *[[event(one.seq, call=name) for one in part] for part in parts])
    first, second = folders.committer(), folders.committer()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda one: [one.pass_once() for _ in range(3)], [first, second]))

    for name in ("a", "b", "c"):
        assert seqs(folders.lake, name) == list(range(1, 31))
    assert folders.left() == []
    assert first.status().events_committed + second.status().events_committed == 90


def test_after_kill_9_everything_older_than_200_ms_is_in_the_table(folders: Folders) -> None:
    child = subprocess.Popen([sys.executable, CHILD, folders.spools], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    printed = "".join(child.stdout.readline() for _ in range(400))
    committer = folders.committer()
    committer.pass_once()  # while the owner lives
    os.kill(child.pid, signal.SIGKILL)
    killed_s = time.monotonic()
    printed += child.stdout.read()
    child.stdout.close()
    child.wait()

    committer.pass_once()

    whole_lines = printed[: printed.rindex("\n")].splitlines()
    promised = [int(line.split()[0]) for line in whole_lines if float(line.split()[1]) < killed_s - 0.2]
    found = seqs(folders.lake)
    assert len(promised) > 100
    assert found == list(range(1, len(found) + 1))
    assert len(found) - 1 >= promised[-1]  # the last row is the call's end, written for the dead host
    assert [row["seq"] for row in rows(folders.lake) if row["type"] == "call.ended"] == [len(found)]
    assert folders.left() == []
