"""The callers of `dukat bench media` and `bench loss`, all in one process:

    python -m serve_app.cli.media_clients SPEECH.pcm CORE

Each call may go through a relay of its own that spoils its line. Packets are encoded before the first call.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deployments.contracts.audio import FRAME_BYTES
from deployments.contracts.errors import StageTimeout
from serve_app.caller.impaired import Impairment, Relay, server_address, through, without_candidates
from serve_app.caller.light_peer import LOOPBACK, LightPeer, Pacer
from serve_app.cli.bench_process import Command, run_commands
from serve_app.media.libopus import OpusEncoder

AT_ONCE = 4
"""Calls that are set up at a time: 50 handshakes at once would be a test of handshakes."""
_LONGEST_ANSWER = 2**20


@dataclass(slots=True)
class Caller:
    """One call."""

    peer: LightPeer
    set_up_ms: float
    relay: Relay | None


def encoded(pcm: bytes, loss_percent: float) -> list[bytes]:
    """As a browser does that has learnt how much is lost."""
    encoder = OpusEncoder()
    encoder.set_expected_loss(loss_percent)
    return [encoder.encode(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]


class Clients:
    """All callers."""

    def __init__(self, speech: bytes) -> None:
        self._speech = speech
        self._packets: dict[float, list[bytes]] = {}
        """By the loss that they are made for."""
        self._calls: dict[int, Caller] = {}
        self._pacer = Pacer()
        self._pacing: asyncio.Task[None] | None = None

    async def command(self, wish: dict[str, Any]) -> dict[str, Any]:
        """`call`, `talk`, `begin` and `end` of a window, `hush`, `write`, `close`."""
        match wish["do"]:
            case "call":
                gate = asyncio.Semaphore(AT_ONCE)
                await asyncio.gather(*(self._call(wish["port"], gate, **each) for each in wish["calls"]))
                return {"set_up_ms": [caller.set_up_ms for caller in self._calls.values()]}
            case "talk":
                for _, caller in sorted(self._calls.items()):
                    self._pacer.add(caller.peer)
                self._pacing = asyncio.create_task(self._pacer.run())
                return {}
            case "begin":
                self._pacer.late_s.clear()
                return {"at_s": time.monotonic(), "calls": self._counters()}
            case "end":
                noted = {"at_s": time.monotonic(), "calls": self._counters()}
                return {**noted, "late_ms_p99": float(np.percentile(self._pacer.late_s or [0.0], 99)) * 1000}
            case "hush":
                if self._pacing is not None:
                    self._pacing.cancel()
                return {}
            case "write":
                for number, caller in self._calls.items():
                    if caller.peer.kept is not None:
                        self._write(caller, Path(wish["folder"]) / f"client-{number}.npz")
                return {}
            case _:
                await asyncio.gather(*(caller.peer.close() for caller in self._calls.values()))
                for caller in self._calls.values():
                    if caller.relay is not None:
                        caller.relay.close()
                return {}

    async def _call(
        self,
        port: int,
        gate: asyncio.Semaphore,
        call: int,
        keep: bool,
        loss_percent: float,
        line: dict[str, Any] | None,
    ) -> None:
        """`line`: the fields of an `Impairment`, a `seed` and `both_ways`; None: no relay."""
        if loss_percent not in self._packets:
            self._packets[loss_percent] = encoded(self._speech, loss_percent)
        packets = self._packets[loss_percent]
        async with gate:
            began_s = time.monotonic()
            peer = LightPeer(packets, seed=call, keep=keep)
            offer = await peer.offer()
            reader, writer = await asyncio.open_connection(LOOPBACK, port, limit=_LONGEST_ANSWER)
            wish = {"call": call, "keep": keep, "offer": offer if line is None else without_candidates(offer)}
            writer.write(json.dumps(wish).encode() + b"\n")
            answer = json.loads(await reader.readline())["answer"]
            writer.close()
            relay = None
            if line is not None:
                relay = Relay(server_address(answer))
                answer = through(answer, await relay.open())
            try:
                await peer.connect(answer)
            except StageTimeout:  # a saturated server: a result, not an end
                await peer.close()
                if relay is not None:
                    relay.close()
                return
            set_up_ms = (time.monotonic() - began_s) * 1000
            if relay is not None and line is not None:
                seed, both_ways = line.pop("seed"), line.pop("both_ways")
                line["lose"] = frozenset(line.pop("lose", ()))
                relay.impair(Impairment(**line), seed, both_ways=both_ways)
        self._calls[call] = Caller(peer, set_up_ms, relay)

    def _counters(self) -> dict[int, dict[str, int]]:
        return {
            number: {"sent": caller.peer.sent, "received": caller.peer.received, "lost": caller.peer.lost}
            for number, caller in self._calls.items()
        }

    def _write(self, caller: Caller, file: Path) -> None:
        kept = caller.peer.kept
        assert kept is not None
        np.savez(
            file,
            sent_s=np.array(kept.sent_s),
            arrived_s=np.array(kept.arrived_s),
            payload_ends=np.cumsum([len(payload) for payload in kept.payloads]),
            payloads=np.frombuffer(b"".join(kept.payloads), np.uint8),
        )


def main(speech: str, core: str) -> None:
    """Entry point."""
    pcm = Path(speech).read_bytes()

    async def start() -> Command:
        return Clients(pcm).command

    run_commands(start, int(core))


if __name__ == "__main__":
    main(*sys.argv[1:])
