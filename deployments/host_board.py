"""Where the call hosts of a cluster see each other: each writes how it is every two seconds, and reads the others.

Kept in the key-value store of Ray's head (where Serve keeps its own checkpoints): no process more, and it survives
every host. `ray.experimental.internal_kv` is not a public API; Ray is pinned, and `tests/system` uses it for real.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import Protocol

PREFIX = "host/"
NAMESPACE = b"dukat-hosts"
STALE_S = 8.0
"""A host that has not written for so long is not counted on; clocks of machines may differ by a second or two."""


@dataclass(frozen=True, slots=True)
class HostState:
    """How a host is."""

    address: str
    """"host:port" of its control listener."""
    calls: int
    most_calls: int
    lag_ms: float
    open: bool
    """It takes calls: it is neither stopping nor late."""
    written_s: float
    """Seconds since 1970, by the host's own clock."""

    @property
    def free(self) -> int:
        """Calls it can still take."""
        return self.most_calls - self.calls if self.open else 0


class HostBoard(Protocol):
    """Shared by all hosts. Raises nothing but `OSError`, `RuntimeError` and `ValueError` when it cannot be reached."""

    async def write(self, state: HostState) -> None: ...

    async def erase(self, address: str) -> None: ...

    async def read(self) -> list[HostState]:
        """All hosts that wrote lately."""
        ...


class RayHostBoard:
    """In the store of the Ray cluster this process belongs to."""

    async def write(self, state: HostState) -> None:
        """Put up how this host is."""
        await asyncio.to_thread(_put, state.address, json.dumps(asdict(state)))

    async def erase(self, address: str) -> None:
        """Take it down."""
        await asyncio.to_thread(_delete, address)

    async def read(self) -> list[HostState]:
        """All hosts that wrote lately; what nobody can read is passed over."""
        return fresh(await asyncio.to_thread(_all), time.time())


def fresh(values: list[bytes], now_s: float) -> list[HostState]:
    """Those that can be read and are not stale."""
    found = []
    for value in values:
        try:
            state = HostState(**json.loads(value))
        except (ValueError, TypeError):
            continue  # of another version of ours: it does not take part
        if abs(now_s - state.written_s) < STALE_S:
            found.append(state)
    return found


def _put(address: str, value: str) -> None:
    from ray.experimental import internal_kv

    internal_kv._internal_kv_put(PREFIX + address, value, namespace=NAMESPACE)


def _delete(address: str) -> None:
    from ray.experimental import internal_kv

    internal_kv._internal_kv_del(PREFIX + address, namespace=NAMESPACE)


def _all() -> list[bytes]:
    from ray.experimental import internal_kv

    keys = internal_kv._internal_kv_list(PREFIX, namespace=NAMESPACE)
    values = [internal_kv._internal_kv_get(key, namespace=NAMESPACE) for key in keys]
    return [value for value in values if value is not None]
