"""The spool: nothing taken is lost in silence, whatever the disk does."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from analytics.owner import OWNER_LOCK, try_lock
from analytics.segments import read
from analytics.spool import DiskFile, Spool
from deployments.contracts.errors import StageFailed
from tests.analytics.lake_facts import event, events, wait_for


def stored(folder: Path, pattern: str = "*/*.seg") -> list[int]:
    return [one.seq for path in sorted(folder.glob(pattern)) for one in read(path).events]


class WatchedFile(DiskFile):
    """Remembers how much of the file the last sync covered."""

    opened: ClassVar[list[WatchedFile]] = []

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path
        self.synced_bytes = 0
        self.opened.append(self)

    def sync(self) -> None:
        size_bytes = self._file.tell()
        super().sync()
        self.synced_bytes = size_bytes


class FullDisk(DiskFile):
    """Takes one write, and of the next one the first half."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written = False

    def write(self, content: bytes) -> None:
        if self.written:
            super().write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(content)
        self.written = True


@pytest.fixture(autouse=True)
def nothing_opened() -> None:
    WatchedFile.opened.clear()


def test_closing_seals_everything_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for one in events(500):
        spool.append(one)
    spool.close()

    assert stored(tmp_path) == list(range(1, 501))
    assert list(tmp_path.glob("*/*.open")) == []


def test_segments_turn_by_size_and_are_numbered_from_one_without_gaps(tmp_path: Path) -> None:
    spool = Spool(tmp_path, rotate_bytes=2000, queue_events=100_000)
    for one in events(300):
        spool.append(one)
        if one.seq % 50 == 0:  # let the writer come between
            wait_for(lambda: spool.waiting == 0)
    spool.close()

    names = sorted(path.name for path in tmp_path.glob("*/*.seg"))
    assert len(names) > 1
    assert names == [f"{number:08d}.seg" for number in range(1, len(names) + 1)]
    assert stored(tmp_path) == list(range(1, 301))


def test_a_segment_with_content_is_sealed_by_age_without_further_events(tmp_path: Path) -> None:
    spool = Spool(tmp_path, rotate_after_s=0.05)
    spool.append(event(1))
    wait_for(lambda: list(tmp_path.glob("*/*.seg")))

    assert stored(tmp_path) == [1]
    spool.close()


def test_an_event_is_synced_while_the_segment_stays_open(tmp_path: Path) -> None:
    spool = Spool(tmp_path, rotate_after_s=3600, open_file=WatchedFile)
    spool.append(event(1))
    wait_for(lambda: WatchedFile.opened and WatchedFile.opened[0].synced_bytes)

    assert WatchedFile.opened[0].synced_bytes == WatchedFile.opened[0].path.stat().st_size
    assert stored(tmp_path, "*/*.open") == [1]
    spool.close()


def test_interim_transcripts_are_never_stored(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append(event(0, "transcript.interim", data={"text": "my card num"}))
    spool.append(event(1))
    spool.close()

    assert stored(tmp_path) == [1]


def test_a_full_disk_is_told_to_whoever_appends_and_keeps_what_was_whole(tmp_path: Path) -> None:
    spool = Spool(tmp_path, rotate_after_s=3600, open_file=FullDisk)
    spool.append(event(1))
    wait_for(lambda: stored(tmp_path, "*/*.open"))
    spool.append(event(2))
    wait_for(lambda: spool.failed)

    with pytest.raises(StageFailed) as refused:
        spool.append(event(3))
    with pytest.raises(StageFailed):
        spool.close()
    assert refused.value.code == "spool_write_failed"
    assert "No space left" in refused.value.detail
    assert stored(tmp_path, "*/*.open") == [1]


def test_a_removed_file_is_noticed_though_writes_succeed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, rotate_after_s=3600, open_file=WatchedFile)
    spool.append(event(1))
    wait_for(lambda: WatchedFile.opened and WatchedFile.opened[0].synced_bytes)
    WatchedFile.opened[0].path.unlink()
    spool.append(event(2))
    wait_for(lambda: spool.failed)

    with pytest.raises(StageFailed, match="spool_write_failed"):
        spool.append(event(3))
    with pytest.raises(StageFailed):
        spool.close()


def test_a_folder_that_cannot_be_made_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StageFailed, match="spool_unusable"):
        Spool(tmp_path / "file" / "spools")


def test_when_the_disk_hangs_the_queue_fills_and_append_says_so_at_once(tmp_path: Path) -> None:
    go_on = threading.Event()

    class HangingFile(DiskFile):
        def write(self, content: bytes) -> None:
            go_on.wait(30)
            super().write(content)

    spool = Spool(tmp_path, queue_events=5, open_file=HangingFile)
    taken = 0
    with pytest.raises(StageFailed) as full:
        for one in events(100):
            spool.append(one)
            taken += 1
    go_on.set()
    spool.close()

    assert full.value.code == "spool_full"
    assert stored(tmp_path) == list(range(1, taken + 1))


def test_append_after_close_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.close()

    with pytest.raises(StageFailed, match="spool_closed"):
        spool.append(event(1))


def test_the_owner_holds_its_lock_until_it_closes(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    lock_file = tmp_path / spool.spool_id / OWNER_LOCK

    assert try_lock(lock_file) is None
    spool.close()
    freed = try_lock(lock_file)
    assert freed is not None
    os.close(freed)
