"""The two servers that `dukat bench media` and `bench loss` compare, each run as a process of its own:

    python -m serve_app.cli.media_servers dukat|stock SPEECH.pcm CORE

"dukat" is our WebRTC door as a call session uses it; "stock" is plain aiortc (`caller/stock_line.py`). Around them
everything is the same: a listener for offers (one JSON object a line: {"call", "offer", "keep"} → {"answer"}), the
agent that plays the speech over and over or is silent, the session that takes the audio, the timer that measures lag.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from configs.settings import Media
from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SILENT_FRAME, HeardAudio, samples_in
from serve_app.caller.light_peer import LOOPBACK
from serve_app.caller.stock_line import StockLine
from serve_app.cli.bench_process import Command, run_commands
from serve_app.doors.host_clock import HostClock
from serve_app.doors.ice_addresses import use_addresses
from serve_app.doors.webrtc import WebRtcLine

MEDIA = Media(host_addresses=(LOOPBACK,))
QUALITY_EVERY_S = 2.0
LAG_EVERY_S = 0.01
_LONGEST_OFFER = 2**20


class Line(Protocol):
    """What both kinds of line can do."""

    async def answer(self, offer: str) -> str: ...

    def frames(self) -> AsyncIterator[HeardAudio]: ...

    def play_from(self, source: Callable[[], bytes]) -> None: ...

    async def close(self) -> None: ...


class Agent:
    """Speaks without end, or keeps silent."""

    def __init__(self, pcm: bytes) -> None:
        self._frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]
        self.speaks = True

    def source(self, asked_s: list[float] | None) -> Callable[[], bytes]:
        """For one line; notes when each frame was asked for."""
        at = 0

        def frame() -> bytes:
            nonlocal at
            if asked_s is not None:
                asked_s.append(time.monotonic())
            at += 1
            return self._frames[(at - 1) % len(self._frames)] if self.speaks else SILENT_FRAME

        return frame


@dataclass(slots=True)
class Call:
    """One line and the session behind it."""

    line: Line
    keep: bool
    samples: int = 0
    pieces: list[bytes] = field(default_factory=list)
    heard_s: list[float] = field(default_factory=list)
    asked_s: list[float] = field(default_factory=list)
    mos: list[float] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def hear(self) -> None:
        """As a session does: take each piece as it comes."""
        async for audio in self.line.frames():
            self.samples += samples_in(audio.pcm)
            if self.keep:
                self.heard_s.append(time.monotonic())
                self.pieces.append(audio.pcm)

    async def watch_quality(self) -> None:
        """Ours alone: every 2 s, as a session does."""
        assert isinstance(self.line, WebRtcLine)
        while True:
            await asyncio.sleep(QUALITY_EVERY_S)
            report = await self.line.quality()
            if report is not None and report["mos"] is not None:
                self.mos.append(float(str(report["mos"])))

    async def counters(self) -> dict[str, Any]:
        """Grow over the call."""
        if isinstance(self.line, StockLine):
            return {"frames": self.samples / FRAME_SAMPLES, "lost": await self.line.packets_lost()}
        assert isinstance(self.line, WebRtcLine)
        incoming = self.line.audio.incoming
        buffer = incoming.buffer
        made_up = incoming.concealed_samples + incoming.fec_samples + incoming.silence_samples
        return {
            "frames": (self.samples - made_up) / FRAME_SAMPLES,
            "lost": buffer.lost,
            "late": buffer.late,
            "reordered": buffer.reordered,
            "concealed_frames": incoming.concealed_samples / FRAME_SAMPLES,
            "fec_frames": incoming.fec_samples / FRAME_SAMPLES,
            "silence_frames": incoming.silence_samples / FRAME_SAMPLES,
            "inserted_ms": incoming.inserted_samples / 16,
            "overrun": self.line.heard.overrun,
            "mos": self.mos,
        }

    def write(self, file: Path) -> None:
        """What it has kept."""
        np.savez(
            file,
            heard=np.frombuffer(b"".join(self.pieces), "<i2"),
            heard_ends=np.cumsum([samples_in(piece) for piece in self.pieces]),
            heard_s=np.array(self.heard_s),
            asked_s=np.array(self.asked_s),
        )


class Lag:
    """How late a timer of 10 ms is: what a call feels of a busy loop."""

    def __init__(self) -> None:
        self.late_s: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._set(time.monotonic())

    def _set(self, now_s: float) -> None:
        # Not the loop's own clock: uvloop's stands still while callbacks run.
        self._due_s = now_s + LAG_EVERY_S
        self._loop.call_later(LAG_EVERY_S, self._called)

    def _called(self) -> None:
        now_s = time.monotonic()
        self.late_s.append(max(0.0, now_s - self._due_s))
        self._set(now_s)

    def ms(self, percent: float) -> float:
        """Of what was noted since `late_s` was emptied."""
        return float(np.percentile(self.late_s or [0.0], percent)) * 1000


class Server:
    """Takes offers from clients, and commands from the bench."""

    def __init__(self, role: str, speech: bytes) -> None:
        self._role = role
        self._agent = Agent(speech)
        self._clock = HostClock()
        self._calls: dict[int, Call] = {}
        self._lag = Lag()

    def _new_line(self) -> Line:
        return WebRtcLine(MEDIA, self._clock) if self._role == "dukat" else StockLine()

    async def take_offers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        while line := await reader.readline():
            wish = json.loads(line)
            call = Call(self._new_line(), keep=wish["keep"])
            self._calls[wish["call"]] = call
            call.line.play_from(self._agent.source(call.asked_s if call.keep else None))
            answer = await call.line.answer(wish["offer"])
            call.tasks.append(asyncio.create_task(call.hear()))
            if self._role == "dukat":
                call.tasks.append(asyncio.create_task(call.watch_quality()))
            writer.write(json.dumps({"answer": answer}).encode() + b"\n")
        writer.close()

    async def command(self, wish: dict[str, Any]) -> dict[str, Any]:
        """`listen`, `agent`, `begin` and `end` of a window, `write`, `close`."""
        match wish["do"]:
            case "listen":
                server = await asyncio.start_server(self.take_offers, LOOPBACK, 0, limit=_LONGEST_OFFER)
                return {"port": server.sockets[0].getsockname()[1]}
            case "agent":
                self._agent.speaks = wish["speaks"]
                return {}
            case "begin":
                self._lag.late_s.clear()
                return {"at_s": time.monotonic(), "calls": await self._counters()}
            case "end":
                return {
                    "at_s": time.monotonic(),
                    "calls": await self._counters(),
                    "lag_ms_p50": self._lag.ms(50),
                    "lag_ms_p99": self._lag.ms(99),
                    "clock_lag_ms_p99": self._clock.lag_ms() if self._role == "dukat" else None,
                }
            case "write":
                for number, call in self._calls.items():
                    if call.keep:
                        call.write(Path(wish["folder"]) / f"server-{number}.npz")
                return {}
            case _:
                await asyncio.gather(*(call.line.close() for call in self._calls.values()))
                for call in self._calls.values():
                    for task in call.tasks:
                        task.cancel()
                return {}

    async def _counters(self) -> dict[int, dict[str, Any]]:
        return {number: await call.counters() for number, call in self._calls.items()}


def main(role: str, speech: str, core: str) -> None:
    """Entry point."""
    pcm = Path(speech).read_bytes()

    async def start() -> Command:
        use_addresses(MEDIA)
        return Server(role, pcm).command

    run_commands(start, int(core))


if __name__ == "__main__":
    main(*sys.argv[1:])
