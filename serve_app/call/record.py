"""What happened in a call, as events: shown to the caller's client and to watchers, stored by the sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from deployments.contracts.call_events import NOT_STORED, CallEvent
from deployments.contracts.errors import StageFailed
from deployments.contracts.ports import EventSink

log = logging.getLogger(__name__)

WATCHER_EVENTS = 256
"""Events a watcher may lag behind; then the oldest are dropped for it."""
KEPT_EVENTS = 5_000


class CallRecord:
    """The events of one call."""

    def __init__(
        self, call: str, tenant: str, epoch: int, sink: EventSink, show: Callable[[dict[str, Any]], None]
    ) -> None:
        self._call = call
        self._tenant = tenant
        self._epoch = epoch
        self._sink = sink
        self._show = show
        self._seq = 0
        self._kept: list[dict[str, Any]] = []
        self._watchers: set[asyncio.Queue[dict[str, Any] | None]] = set()
        self._closed = False
        self.unstored = 0
        """Events the sink refused; they were still shown."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """All stored events so far, in their public form."""
        return list(self._kept)

    def emit(self, kind: str, data: dict[str, Any]) -> None:
        """Note a fact: show it, and store it unless its type is not stored."""
        stored = kind not in NOT_STORED
        if stored:
            self._seq += 1
        event = CallEvent(kind, self._call, self._tenant, self._seq if stored else 0, data, self._epoch)
        if stored:
            self._store(event)
        public = event.public()
        self._show(public)
        for watcher in self._watchers:
            if watcher.full():
                watcher.get_nowait()
            watcher.put_nowait(public)

    def _store(self, event: CallEvent) -> None:
        if len(self._kept) < KEPT_EVENTS:
            self._kept.append(event.public())
        try:
            self._sink.append(event)
        except StageFailed as error:
            # The call goes on without its record; the operator must see it.
            self.unstored += 1
            log.error("event_not_stored", extra={"call_id": self._call, "code": error.code, "type": event.type})

    def watch(self) -> asyncio.Queue[dict[str, Any] | None]:
        """Everything so far, then everything to come; None at the end."""
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(WATCHER_EVENTS)
        for event in self._kept[-(WATCHER_EVENTS - 1) :]:
            queue.put_nowait(event)
        if self._closed:
            queue.put_nowait(None)
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
        """The watcher has left."""
        self._watchers.discard(queue)

    def close(self) -> None:
        """No further event will come."""
        self._closed = True
        for watcher in self._watchers:
            if watcher.full():
                watcher.get_nowait()
            watcher.put_nowait(None)
