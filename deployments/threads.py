"""Blocking engines under an asyncio replica: every model call runs in a thread, so the replica's loop stays free.

With `RAY_SERVE_THROUGHPUT_OPTIMIZED=1` user code shares the replica's main loop with its health check and router;
one blocking call there stops every request (ARCHITECTURE.md, "Measured on Ray 2.60").
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


async def stream_from_thread(executor: Executor, start: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Run a blocking generator in `executor`, one `next` at a time.

    Leaving early (cancellation, `aclose`) closes the generator, in the executor, once a `next` under way has returned.
    """
    loop = asyncio.get_running_loop()
    iterator = start()
    step: asyncio.Future[T] | None = None
    try:
        while True:
            step = loop.run_in_executor(executor, next, iterator, _END)
            item = await asyncio.shield(step)
            if item is _END:
                return
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            if step is not None and not step.done():
                step.add_done_callback(lambda done: (done.exception(), loop.run_in_executor(executor, close)))
            else:
                # Shielded: while all threads are busy, a second cancellation would take the close out of their queue.
                await asyncio.shield(loop.run_in_executor(executor, close))
