"""Events for the tests of the usage path, and the rows they should become."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deltalake import DeltaTable

from analytics.committer import Committer
from analytics.owner import claim
from analytics.segments import encode
from analytics.tables import call_events_path
from deployments.contracts.call_events import CallEvent

NOON_MS = 1_790_000_000_000
"""Some day in September 2026."""


def event(
    seq: int, type: str = "quality", call: str = "c1", data: dict[str, Any] | None = None, **fields: Any
) -> CallEvent:
    fields.setdefault("at_ms", NOON_MS + seq)
    return CallEvent(type=type, call=call, tenant="demo", seq=seq, data={} if data is None else data, **fields)


def events(count: int, call: str = "c1") -> list[CallEvent]:
    return [event(seq, call=call) for seq in range(1, count + 1)]


def wait_for(condition: Callable[[], object], patience_s: float = 30) -> None:
    """Return as soon as the condition holds; fail when it never does."""
    give_up_s = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < give_up_s, "it never came about"
        time.sleep(0.01)


def rows(lake: Path) -> list[dict[str, Any]]:
    """All rows of the table, in no particular order."""
    return DeltaTable(call_events_path(lake)).to_pyarrow_dataset().to_table().to_pylist()


def seqs(lake: Path, call: str = "c1") -> list[int]:
    """Of one call, sorted; duplicates stay."""
    return sorted(row["seq"] for row in rows(lake) if row["call_id"] == call)


class Folders:
    """A folder of spools and a lake, and what the tests put there."""

    def __init__(self, root: Path) -> None:
        self.spools = root / "spools"
        self.lake = root / "lake"
        self.spools.mkdir()

    def committer(self, **options: float) -> Committer:
        return Committer(self.spools, self.lake, first_retry_s=0, **options)  # type: ignore[arg-type]

    def dead_spool(self, name: str, *segments: list[CallEvent], left_open: bytes | None = None) -> Path:
        """The folder of a process that died after sealing these segments."""
        os.close(claim(self.spools, name))
        spool = self.spools / name
        for number, part in enumerate(segments, start=1):
            (spool / f"{number:08d}.seg").write_bytes(b"".join(map(encode, part)))
        if left_open is not None:
            (spool / f"{len(segments) + 1:08d}.open").write_bytes(left_open)
        return spool

    def left(self) -> list[str]:
        return sorted(path.name for path in self.spools.iterdir() if not path.name.startswith("."))
