"""What a host knows of the others: who could take the call that it cannot."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from deployments.host_board import HostBoard, HostState

log = logging.getLogger(__name__)

PERIOD_S = 2.0


class HostPeers:
    """One host's view. `state` gives how it is itself."""

    def __init__(self, board: HostBoard, state: Callable[[], HostState]) -> None:
        self._board = board
        self._state = state
        self._others: list[HostState] = []
        self._reachable = True

    def freest(self) -> list[str]:
        """Addresses of those that can take a call, the emptiest first."""
        able = [other for other in self._others if other.free > 0]
        return [other.address for other in sorted(able, key=lambda other: other.calls / other.most_calls)]

    async def keep(self) -> None:
        """Write and read, for ever."""
        while True:
            await self.refresh()
            await asyncio.sleep(PERIOD_S)

    async def refresh(self) -> None:
        """Once. A board that cannot be reached leaves a host alone, which is said once."""
        own = self._state()
        try:
            await self._board.write(own)
            self._others = [other for other in await self._board.read() if other.address != own.address]
            self._reachable = True
        except (OSError, RuntimeError, ValueError) as error:
            self._others = []
            if self._reachable:
                log.warning("host_board_unreachable", extra={"error": repr(error)})
            self._reachable = False

    async def leave(self) -> None:
        """This host stops."""
        try:
            await self._board.erase(self._state().address)
        except (OSError, RuntimeError, ValueError) as error:
            log.info("host_board_unreachable", extra={"error": repr(error)})  # what it wrote becomes stale


def now_s() -> float:
    """The clock of `HostState.written_s`."""
    return time.time()
