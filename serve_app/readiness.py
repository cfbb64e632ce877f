"""Which parts of the graph answer: asked every two seconds at most once all are ready, however often we are asked.

In: name → readiness call of each deployment. Out: one `PartState` a part.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.contracts.errors import DukatError

log = logging.getLogger(__name__)

ReadinessCall = Callable[[], Awaitable[Mapping[str, Any]]]

TIMEOUT_S = 2.0
MAX_AGE_S = 2.0
MAX_AGE_OF_NO_S = 0.2
"""While something is not ready, whoever waits for it asks again soon, and would otherwise hear of it 2 s late."""


@dataclass(frozen=True, slots=True)
class PartState:
    """What one part said when it was last asked."""

    ready: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    """{"engine": …, "nature": …, …} as the deployment gives them; of a part that is not ready, what it said before."""
    code: str = ""
    """Why it is not ready."""
    detail: str = ""


class Readiness:
    """Asks all parts at once; callers that come while a round is under way share it."""

    def __init__(
        self,
        parts: Mapping[str, ReadinessCall],
        timeout_s: float = TIMEOUT_S,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = dict(parts)
        self._timeout_s = timeout_s
        self._max_age_s = max_age_s
        self._clock = clock
        self._states: dict[str, PartState] = {}
        self._asked_s: float | None = None
        self._round: asyncio.Task[None] | None = None

    async def states(self) -> dict[str, PartState]:
        """Of every part, at most `max_age_s` old; takes at most `timeout_s`."""
        if not self._fresh():
            await asyncio.shield(self._started_round())
        return dict(self._states)

    async def known(self, wait_s: float) -> dict[str, PartState]:
        """What is known within `wait_s`, older or incomplete if a part hangs: for a liveness probe."""
        if not self._fresh():
            await asyncio.wait([self._started_round()], timeout=wait_s)
        return dict(self._states)

    async def close(self) -> None:
        """End the round under way."""
        if self._round is not None:
            self._round.cancel()
            await asyncio.gather(self._round, return_exceptions=True)

    def _fresh(self) -> bool:
        if self._asked_s is None:
            return False
        all_ready = all(state.ready for state in self._states.values())
        return self._clock() - self._asked_s <= (
            self._max_age_s if all_ready else min(self._max_age_s, MAX_AGE_OF_NO_S)
        )

    def _started_round(self) -> asyncio.Task[None]:
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask_all(), name="readiness")
        return self._round

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask(name, call) for name, call in self._parts.items()))
        self._asked_s = self._clock()

    async def _ask(self, name: str, call: ReadinessCall) -> None:
        before = self._states.get(name)
        known = before.facts if before else {}
        try:
            async with asyncio.timeout(self._timeout_s):
                self._states[name] = PartState(True, await call())
        except TimeoutError:
            self._states[name] = PartState(False, known, "timeout", f"no answer within {self._timeout_s:g} s")
        except DukatError as error:
            self._states[name] = PartState(False, known, error.code, error.detail)
        except Exception as error:
            # Anything may come from a deployment that is starting or dying; here it all means the same: not ready.
            log.info("part does not answer", extra={"part": name, "error": repr(error)})
            self._states[name] = PartState(False, known, "not_answering", f"{type(error).__name__}")
