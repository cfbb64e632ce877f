"""From spools to the table: in order, exactly once, whatever dies in between."""

from __future__ import annotations

import asyncio
import struct
import zlib
from pathlib import Path

import pytest

import analytics.one_spool
from analytics.committer import Committer
from analytics.owner import OWNER_LOCK
from analytics.segments import encode
from analytics.spool import Spool
from analytics.tables import call_events_path
from deployments.contracts.errors import StageFailed
from tests.analytics.lake_facts import Folders, event, events, rows, seqs, wait_for


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_a_living_spools_segments_are_committed_and_its_open_file_is_left_alone(folders: Folders) -> None:
    spool = Spool(folders.spools, rotate_after_s=3600, rotate_bytes=1000)
    spool.append(event(1, data={"text": "x" * 1000}))
    wait_for(lambda: list(folders.spools.glob("*/*.seg")))
    spool.append(event(2))
    wait_for(lambda: list(folders.spools.glob("*/*.open")))
    committer = folders.committer()

    committer.pass_once()

    assert seqs(folders.lake) == [1]
    assert len(list(folders.spools.glob("*/*.open"))) == 1
    spool.close()
    committer.pass_once()
    assert seqs(folders.lake) == [1, 2]
    assert folders.left() == []


def test_the_tail_a_dead_owner_tore_is_dropped_and_counted(folders: Folders) -> None:
    folders.dead_spool("a", events(3), left_open=encode(event(4)) + encode(event(5))[:-1])
    committer = folders.committer()

    committer.pass_once()

    assert seqs(folders.lake) == [1, 2, 3, 4]
    assert committer.status().bytes_dropped == len(encode(event(5))) - 1
    assert folders.left() == []


def test_calls_of_a_dead_host_are_ended_once(folders: Folders) -> None:
    folders.dead_spool(
        "a",
        [event(1, "call.started"), event(1, "call.started", "c2")],
        [event(2, "turn.ledger"), event(2, "call.ended", "c2", {"reason": "caller"})],
    )
    committer = folders.committer()

    committer.pass_once()
    committer.pass_once()

    ends = [(row["call_id"], row["seq"], row["data"]) for row in rows(folders.lake) if row["type"] == "call.ended"]
    assert sorted(ends) == [
        ("c1", 3, '{"reason":"host_lost","duration_s":0.001,"turns":1}'),
        ("c2", 2, '{"reason":"caller"}'),
    ]
    assert committer.status().calls_lost == 1


def test_a_record_that_is_no_event_is_set_aside_and_blocks_nothing(folders: Folders) -> None:
    spool = folders.dead_spool("a", events(1), [])
    payload = b'{"qes":2}'
    content = struct.pack("<II", len(payload), zlib.crc32(payload)) + payload + encode(event(3))
    (spool / "00000002.seg").write_bytes(content)
    committer = folders.committer()

    committer.pass_once()

    assert seqs(folders.lake) == [1, 3]
    assert committer.status().records_rejected == 1
    assert (folders.spools / ".set_aside" / "a-00000002.seg").read_bytes() == content
    assert folders.left() == []


def test_a_spool_that_cannot_be_committed_blocks_only_itself_and_goes_on_later(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders.dead_spool("a", [event(1, call="a")], [event(2, call="a")])
    folders.dead_spool("b", [event(1, call="b")])
    committer = folders.committer()
    real = analytics.one_spool.commit_segments

    def refuse_a(table: Path, name: str, parts: list[analytics.one_spool.Segment]) -> int:
        if name == "a":
            raise StageFailed("lake_write_failed", "no room", "lake")
        return real(table, name, parts)

    with monkeypatch.context() as patched:
        patched.setattr(analytics.one_spool, "commit_segments", refuse_a)
        committer.pass_once()
    blocked = committer.status()
    committer.pass_once()

    assert (blocked.segments_waiting, blocked.events_committed) == (2, 1)
    assert blocked.last_error == "a: lake_write_failed [lake]: no room"
    assert blocked.oldest_age_s > 0
    assert (committer.status().segments_waiting, committer.status().last_error) == (0, None)
    assert seqs(folders.lake, "a") == [1, 2]


def test_a_failing_spool_is_not_tried_again_at_once(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.dead_spool("a", events(1))
    committer = Committer(folders.spools, folders.lake, first_retry_s=3600)
    tries: list[str] = []

    def refuse(spool: Path, *_: object) -> None:
        tries.append(spool.name)
        raise OSError("no")

    monkeypatch.setattr("analytics.committer.serve_spool", refuse)
    committer.pass_once()
    committer.pass_once()

    assert tries == ["a"]


def test_without_its_owners_lock_an_open_file_is_not_touched_and_the_fault_is_told(folders: Folders) -> None:
    spool = folders.dead_spool("a", events(2), left_open=encode(event(3)))
    (spool / OWNER_LOCK).unlink()
    committer = folders.committer()

    committer.pass_once()

    assert seqs(folders.lake) == [1, 2]
    assert "owner_lock_missing" in (committer.status().last_error or "")
    assert (spool / "00000002.open").exists()


def test_missing_segments_are_told_and_the_rest_goes_on(folders: Folders) -> None:
    spool = folders.dead_spool("a", events(1), [event(2)], [event(3)])
    (spool / "00000002.seg").unlink()
    committer = folders.committer()

    committer.pass_once()

    assert seqs(folders.lake) == [1, 3]
    assert committer.status().segments_missing == 1


def test_small_files_are_joined_after_so_many_commits(folders: Folders) -> None:
    committer = folders.committer(compact_every=4)
    for name in "abcd":
        folders.dead_spool(name, [event(1, call=name)])

    committer.pass_once()

    added = list(call_events_path(folders.lake).rglob("*.parquet"))
    assert len(added) == 5  # four, and the one they were joined into; the four are deleted after a day
    assert sorted(row["call_id"] for row in rows(folders.lake)) == ["a", "b", "c", "d"]


async def test_the_loop_starts_with_the_object_and_ends_on_stop(folders: Folders) -> None:
    folders.dead_spool("a", events(1))
    committer = Committer(folders.spools, folders.lake, period_s=0.01)

    await asyncio.to_thread(wait_for, lambda: committer.ready() and committer.status().events_committed == 1)
    await committer.stop()

    assert seqs(folders.lake) == [1]
    assert not committer.ready()
