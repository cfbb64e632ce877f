"""One VAD request for all calls of a host (M1).

A Serve call costs about 1 ms of CPU; one a window and call would need 2.6 cores for 100 calls, one a tick 0.43
(ARCHITECTURE.md, "Measured on Ray 2.60"). A tick leaves when the oldest waiting share is `oldest_ms` old, or when
`most_windows` windows wait; while fewer than `gather_from_calls` calls live there is little to gather, and it leaves at
once. A share without a verdict in time is *unknown* (None), never speech and never silence.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from configs.settings import VadTick
from deployments.contracts.audio import SAMPLE_BYTES
from deployments.contracts.errors import StageFailed
from deployments.contracts.speech import VAD_WINDOW_SAMPLES, VadVerdict, VadWindows

log = logging.getLogger(__name__)

JudgeBatch = Callable[[list[VadWindows]], Awaitable[list[VadVerdict]]]


@dataclass(frozen=True, slots=True)
class _Share:
    windows: VadWindows
    verdict: asyncio.Future[VadVerdict | None]

    @property
    def count(self) -> int:
        return len(self.windows.pcm) // (VAD_WINDOW_SAMPLES * SAMPLE_BYTES)


class VadTicker:
    """Gathers the windows of all calls in this process. A `VadPort`."""

    def __init__(
        self, judge_batch: JudgeBatch, settings: VadTick, budget_ms: float, live_calls: Callable[[], int] | None = None
    ) -> None:
        self._judge_batch = judge_batch
        self._live_calls = live_calls
        self._gather_from = settings.gather_from_calls
        self._oldest_s = settings.oldest_ms / 1000
        self._most = settings.most_windows
        self._budget_s = budget_ms / 1000
        self._waiting: list[_Share] = []
        self._due: asyncio.TimerHandle | None = None
        self._ticks: set[asyncio.Task[None]] = set()
        self.ticks = 0
        self.unknown = 0
        """Shares that got no verdict in time."""

    async def judge(self, windows: VadWindows) -> VadVerdict | None:
        """The verdict on one call's next windows; None when it did not come in time."""
        loop = asyncio.get_running_loop()
        share = _Share(windows, loop.create_future())
        self._waiting.append(share)
        few_calls = self._live_calls is not None and self._live_calls() < self._gather_from
        if few_calls or sum(waiting.count for waiting in self._waiting) >= self._most:
            self._send()
        elif self._due is None:
            self._due = loop.call_later(self._oldest_s, self._send)
        return await share.verdict

    def _send(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        shares, self._waiting = self._waiting, []
        if shares:
            tick = asyncio.get_running_loop().create_task(self._tick(shares))
            self._ticks.add(tick)
            tick.add_done_callback(self._ticks.discard)

    async def _tick(self, shares: list[_Share]) -> None:
        self.ticks += 1
        verdicts: list[VadVerdict | None] = [None] * len(shares)
        try:
            async with asyncio.timeout(self._budget_s):
                judged = await self._judge_batch([share.windows for share in shares])
            verdicts = [verdict for _, verdict in zip(shares, judged, strict=True)]
        except (TimeoutError, StageFailed):
            self.unknown += len(shares)
        except Exception:
            # A mistake of ours; the calls go on by loudness, and somebody must see why.
            self.unknown += len(shares)
            log.exception("vad_tick_failed", extra={"shares": len(shares)})
        finally:
            for share, verdict in zip(shares, verdicts, strict=True):
                if not share.verdict.done():
                    share.verdict.set_result(verdict)
