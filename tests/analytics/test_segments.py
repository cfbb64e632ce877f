"""Segment files: what is cut or damaged is dropped from the first bad record on, never guessed, and blocks nothing."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.segments import decode, encode, read
from deployments.contracts.errors import StageFailed
from tests.analytics.lake_facts import event, events

per_example_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def record(payload: bytes) -> bytes:
    return struct.pack("<II", len(payload), zlib.crc32(payload)) + payload


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = [event(1, "transcript.final", data={"text": "ما هي ساعات العمل؟", "turn": 1}), event(2, epoch=3)]
    path = tmp_path / "00000001.seg"
    path.write_bytes(b"".join(encode(one) for one in written))

    content = read(path)

    assert list(content.events) == written
    assert (content.rejected, content.dropped_bytes) == ((), 0)


@per_example_folder
@given(share=st.floats(0, 1), lengths=st.lists(st.integers(0, 300), min_size=1, max_size=12))
def test_a_cut_anywhere_keeps_every_whole_record_and_invents_none(
    tmp_path: Path, share: float, lengths: list[int]
) -> None:
    written = [event(seq, data={"text": "x" * length}) for seq, length in enumerate(lengths, start=1)]
    records = [encode(one) for one in written]
    path = tmp_path / "cut.open"
    cut = round(share * sum(map(len, records)))
    path.write_bytes(b"".join(records)[:cut])

    content = read(path)

    whole = [sum(map(len, records[: n + 1])) <= cut for n in range(len(records))].count(True)
    assert list(content.events) == written[:whole]
    assert content.whole_bytes == sum(map(len, records[:whole]))
    assert content.dropped_bytes == cut - content.whole_bytes


@per_example_folder
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_damaged_byte_costs_its_record_and_the_rest_never_a_false_event(tmp_path: Path, at: int, flip: int) -> None:
    written = events(8)
    records = [encode(one) for one in written]
    content = bytearray(b"".join(records))
    at %= len(content)
    content[at] ^= flip
    path = tmp_path / "damaged.seg"
    path.write_bytes(content)

    found = read(path)

    before = [sum(map(len, records[: n + 1])) <= at for n in range(len(records))].count(True)
    assert list(found.events) == written[:before]
    assert found.dropped_bytes == len(content) - sum(map(len, records[:before]))


def test_zeros_behind_the_last_record_are_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "power_cut.open"
    path.write_bytes(encode(event(1)) + bytes(4096))

    content = read(path)

    assert (len(content.events), len(content.rejected), content.dropped_bytes) == (1, 0, 4096)


@pytest.mark.parametrize(
    "payload",
    [
        b"not json",
        b"[]",
        b"\xff\xfe",
        orjson.dumps({"type": "quality"}),
        orjson.dumps({**orjson.loads(encode(event(1))[8:]), "seq": "1"}),
        orjson.dumps({**orjson.loads(encode(event(1))[8:]), "call": ""}),
        orjson.dumps({**orjson.loads(encode(event(1))[8:]), "at_ms": 10**15}),
        encode(event(1))[8:].replace(b'"data":{}', b'"data":' + b'{"a":' * 600 + b"1" + b"}" * 600),
    ],
    ids=["text", "list", "bytes", "fields missing", "seq text", "call empty", "year 33658", "too deep"],
)
def test_a_record_that_is_no_event_is_handed_out_and_the_next_ones_are_read(tmp_path: Path, payload: bytes) -> None:
    path = tmp_path / "00000001.seg"
    path.write_bytes(encode(event(1)) + record(payload) + encode(event(2)))

    content = read(path)

    assert [one.seq for one in content.events] == [1, 2]
    assert content.rejected == (payload,)
    assert content.dropped_bytes == 0


def test_a_field_of_a_newer_version_does_not_cost_the_event() -> None:
    payload = orjson.dumps({**orjson.loads(encode(event(1))[8:]), "colour": "blue", "version": 2})

    found = decode(payload)

    assert found is not None
    assert (found.seq, found.version) == (1, 2)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"when": object()}, "event_not_json"),
        ({"text": "\ud800"}, "event_not_json"),
        ({"text": "x" * 1_000_001}, "event_too_long"),
    ],
)
def test_what_cannot_be_stored_is_refused_at_the_door(data: dict[str, object], code: str) -> None:
    with pytest.raises(StageFailed) as failure:
        encode(event(1, data=data))

    assert failure.value.code == code
