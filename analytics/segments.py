"""The record format of the spool: how an event becomes bytes in a segment file, and how it is read back.

A segment is a row of records: length (u32 little-endian), CRC-32 of the payload (u32 little-endian), payload (one JSON
object in UTF-8). Reading stops at the first record that is torn or does not match its CRC and says how many bytes lie
behind it; a whole record that is no valid event is handed out as rejected, so one bad record never holds up the others.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ConfigDict, Field, ValidationError

from configs.strict import Strict
from deployments.contracts.call_events import CallEvent
from deployments.contracts.errors import StageFailed

STAGE = "spool"
OPEN_SUFFIX = ".open"
SEALED_SUFFIX = ".seg"
LONGEST_PAYLOAD_BYTES = 1_000_000
"""Longer ones are refused when written, so a longer length read back is damage."""

_HEADER = struct.Struct("<II")
_LAST_AT_MS = 253_402_300_799_999
"""End of the year 9999: what a Delta timestamp can hold."""
_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """What one segment file holds."""

    events: tuple[CallEvent, ...]
    """In the order they were written."""
    rejected: tuple[bytes, ...]
    """Payloads of whole records that are no valid event."""
    whole_bytes: int
    """Length of the file up to the end of its last whole record."""
    dropped_bytes: int
    """Bytes behind that: a torn or damaged record and whatever follows it."""


class _StoredEvent(Strict):
    """A `CallEvent` as the spool holds it."""

    # Not refused, unlike in settings: during an upgrade a newer host may write a field this committer does not know,
    # and its calls must reach the table all the same.
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    type: str = Field(min_length=1)
    call: str = Field(min_length=1)
    tenant: str = Field(min_length=1)
    seq: int = Field(ge=0, le=_INT64)
    data: dict[str, Any]
    epoch: int = Field(ge=0, le=_INT64)
    at_ms: int = Field(ge=0, le=_LAST_AT_MS)
    event_id: str = Field(min_length=1)
    version: int = Field(ge=1, le=2**31 - 1)


def encode(event: CallEvent) -> bytes:
    """One record. Raises `StageFailed` when the event is not JSON or too long."""
    try:
        payload = orjson.dumps(asdict(event))
    except (TypeError, orjson.JSONEncodeError) as error:
        raise StageFailed("event_not_json", f"{event.type} of call {event.call}: {error}", STAGE) from error
    if len(payload) > LONGEST_PAYLOAD_BYTES:
        detail = f"{event.type} of call {event.call}: {len(payload)} bytes, at most {LONGEST_PAYLOAD_BYTES}"
        raise StageFailed("event_too_long", detail, STAGE)
    return _HEADER.pack(len(payload), zlib.crc32(payload)) + payload


def decode(payload: bytes) -> CallEvent | None:
    """The event a payload holds, or None when it holds none."""
    try:
        stored = _StoredEvent.model_validate(orjson.loads(payload))
        # The table holds `data` as text: what cannot be written again must not get as far as a commit and block it.
        orjson.dumps(stored.data)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError, ValidationError):
        return None
    return CallEvent(**dict(stored))


def read(path: Path) -> SegmentContent:
    """Everything a segment file holds. Raises `OSError` when it cannot be read."""
    content = path.read_bytes()
    events: list[CallEvent] = []
    rejected: list[bytes] = []
    whole_bytes = 0
    for payload in _payloads(content):
        whole_bytes += _HEADER.size + len(payload)
        event = decode(payload)
        if event is None:
            rejected.append(payload)
        else:
            events.append(event)
    return SegmentContent(tuple(events), tuple(rejected), whole_bytes, len(content) - whole_bytes)


def _payloads(content: bytes) -> Iterator[bytes]:
    start = 0
    while start + _HEADER.size <= len(content):
        length, crc = _HEADER.unpack_from(content, start)
        start += _HEADER.size
        # Length 0 is damage too: a file that a power cut left with zeros at its end would otherwise read as an
        # endless row of empty records, whose CRC of 0 is right.
        if not 0 < length <= LONGEST_PAYLOAD_BYTES or start + length > len(content):
            return
        payload = content[start : start + length]
        if zlib.crc32(payload) != crc:
            return
        yield payload
        start += length
