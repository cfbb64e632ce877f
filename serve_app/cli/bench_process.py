"""Processes of a bench: each has a role, a core of its own where the machine allows it, and is asked over its pipes.

One JSON object a line in (`{"do": name, …}`), one a line out. A process ends when its standard input does, so none is
left behind when the bench is killed. CPU time is taken from outside, by psutil.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
import uvloop

from deployments.contracts.errors import StageFailed

Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
_LONGEST_LINE = 2**24


def pin(core: int) -> bool:
    """Stay on this core; False where that cannot be had (other systems, one core, a cgroup without it)."""
    try:
        os.sched_setaffinity(0, {core})
    except (AttributeError, OSError):
        return False
    return True


def run_commands(start: Callable[[], Awaitable[Command]], core: int) -> None:
    """The life of a child: pinned, under uvloop as in a Ray Serve replica, until its input ends."""
    pinned = pin(core)  # before any thread begins: it would keep the old cores

    async def live() -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_LONGEST_LINE)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        command = await start()
        print(json.dumps({"pinned": pinned}), flush=True)
        while line := await reader.readline():
            print(json.dumps(await command(json.loads(line))), flush=True)

    uvloop.run(live())


@dataclass(frozen=True, slots=True)
class Use:
    """What a process has used up to a moment."""

    at_s: float
    cpu_s: float
    """User and system."""
    waited_s: float | None = None
    """For how long its main thread could have run and did not: somebody else had the core. None: not Linux."""

    def waited_percent_since(self, before: Use) -> float | None:
        """Of the time."""
        if self.waited_s is None or before.waited_s is None:
            return None
        return 100 * (self.waited_s - before.waited_s) / (self.at_s - before.at_s)

    def percent_since(self, before: Use) -> float:
        """Of one core."""
        return 100 * (self.cpu_s - before.cpu_s) / (self.at_s - before.at_s)


class BenchProcess:
    """One child. For `with`."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._name = module.rpartition(".")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._outside = psutil.Process(self._process.pid)
        self.pinned = False

    def __enter__(self) -> BenchProcess:
        try:
            self.pinned = bool(self._answer()["pinned"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def tell(self, do: str, **more: Any) -> None:
        """Have it begin with something; the answer is fetched by `answer`."""
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has ended: `answer` says so
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Of the oldest command. Raises `StageFailed` when the process has failed."""
        return self._answer()

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """`tell` and `answer`."""
        self.tell(do, **more)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise StageFailed("bench_process_failed", f"{self._name} has ended; its error is above", "bench")
        return cast(dict[str, Any], json.loads(line))

    def use(self) -> Use:
        """CPU up to now."""
        times = self._outside.cpu_times()
        return Use(time.monotonic(), times.user + times.system, self._waited_s())

    def _waited_s(self) -> float | None:
        # Second field: nanoseconds on the run queue (kernel documentation, sched-stats).
        file = Path(f"/proc/{self._process.pid}/schedstat")
        return int(file.read_text().split()[1]) / 1e9 if file.exists() else None

    def rss_mb(self) -> float:
        """Resident memory."""
        return float(self._outside.memory_info().rss) / 1e6

    def threads(self) -> int:
        """How many it has."""
        return int(self._outside.num_threads())
