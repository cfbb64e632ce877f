"""A small real WebRTC server on loopback that speaks the public call interface: a tone for a voice, energy for ears.

It greets with a tone, waits until the caller has been silent for `reply_after_s`, and answers with a tone; a caller who
is loud for 100 ms stops it. Its own stamps (arrival of the caller's last loud packet, hand-over of its own first one)
are what the caller's measurements are checked against. Codec and pacing are its own, not the caller's.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import av
import numpy as np
from aiohttp import web
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from tests.fakes.tones import Mouth

LOOPBACK = "127.0.0.1"
LOUD_PEAK = 500
LOUD_PACKETS_THAT_INTERRUPT = 5
SOURCE = {"document": "tones.en", "title": "Tones", "source": "tones.md"}


class MachineCall:
    """One call it has taken."""

    def __init__(self, token: str, machine: AnsweringMachine) -> None:
        self.token = token
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.mouth = Mouth()
        self.delays_s: list[float] = []
        """Of each spoken turn: own first sound minus arrival of the caller's last loud packet."""
        self.stopped_after_s: float | None = None
        """From the first loud packet of an interruption to the last sound of ours."""
        self.texts: list[str] = []
        self.bytes_heard = 0
        self._machine = machine
        self._channel: RTCDataChannel | None = None
        self._decoder = av.CodecContext.create("libopus", "r")
        self.turn = 0
        """Number of the last turn answered."""
        self._seq = 0
        self._loud_run = 0
        self._loud_since_s = 0.0
        self._caller_speaks = False
        self._last_loud_s = 0.0
        self.peer.on("datachannel", self._open)

    async def answer(self, offer_sdp: str) -> str:
        await self.peer.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
        transceiver = self.peer.getTransceivers()[0]
        transceiver.direction = "sendrecv"
        self.peer.addTrack(self.mouth)
        receiver: Any = transceiver.receiver
        receiver._handle_rtp_packet = self._hear
        connection = receiver.transport.transport._connection
        gather = connection.get_component_candidates

        async def gather_loopback(component: int, addresses: list[str], **more: Any) -> Any:
            return await gather(component=component, addresses=[LOOPBACK], **more)

        connection.get_component_candidates = gather_loopback
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return self.peer.localDescription.sdp

    @property
    def greeting(self) -> bool:
        """The greeting sounds."""
        return self.turn == 0 and self.mouth.sounding

    def emit(self, kind: str, **data: Any) -> None:
        if self._channel is not None and self._channel.readyState == "open":
            self._seq += 1
            event = {"type": kind, "call": "c-1", "seq": self._seq, "at_ms": time.time_ns() // 1_000_000, **data}
            self._channel.send(json.dumps(event))

    def _open(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._typed)
        for raw in self._machine.noise_on_channel:
            channel.send(raw)
        self.emit("call.state", state="greeting")
        self.emit("agent.text", turn=0, reply=0, text="Hello.", sources=[])
        self.mouth.sound(self._machine.greeting_s, lambda: self._heard("Hello.", True))

    def _typed(self, message: str) -> None:
        text = json.loads(message)["text"]
        self.texts.append(text)
        self._answer_turn(text)

    async def _hear(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        now_s = time.monotonic()
        self.bytes_heard += len(packet.payload)
        frames = [frame.to_ndarray() for frame in self._decoder.decode(av.Packet(packet.payload))]
        if max((abs(float(frame.max())) for frame in frames), default=0.0) * self._scale(frames) > LOUD_PEAK:
            self._heard_loud(now_s)
        else:
            self._loud_run = 0
            if self._caller_speaks and now_s - self._last_loud_s >= self._machine.reply_after_s:
                self._caller_speaks = False
                if not self._machine.speechless:
                    self._answer_turn(f"question {self.turn + 1}")

    @staticmethod
    def _scale(frames: list[np.ndarray]) -> float:
        return 32768.0 if frames and frames[0].dtype.kind == "f" else 1.0

    def _heard_loud(self, now_s: float) -> None:
        if self.greeting:
            return
        self._loud_run += 1
        if self._loud_run == 1:
            self._loud_since_s = now_s
        self._caller_speaks, self._last_loud_s = True, now_s
        if self.mouth.sounding and self._loud_run >= LOUD_PACKETS_THAT_INTERRUPT:
            self.mouth.hush()
            assert self.mouth.last_sound_s is not None
            self.stopped_after_s = self.mouth.last_sound_s - self._loud_since_s
            self._heard("It", False)

    def _answer_turn(self, text: str) -> None:
        self.turn += 1
        asked_s = self._last_loud_s
        self.emit("transcript.interim", turn=self.turn, text=text[:4], stable_chars=0)
        self.emit("transcript.final", turn=self.turn, text=text)
        for answer in ("It is a tone.", "It is a tone. Really."):
            self.emit("agent.text", turn=self.turn, reply=self.turn, text=answer, sources=[SOURCE])

        def done() -> None:
            assert self.mouth.first_sound_s is not None
            self.delays_s.append(self.mouth.first_sound_s - asked_s)
            self._heard("It is a tone. Really.", True)

        self.mouth.sound(self._machine.reply_s, done)

    def _heard(self, text: str, complete: bool) -> None:
        self.emit("agent.heard", turn=self.turn, reply=self.turn, text=text, complete=complete)
        stages = {"playout": {"began_ms": 400.0, "first_ms": 400.0, "ended_ms": None, "engine_ms": None}}
        self.emit("turn.ledger", turn=self.turn, stages=stages, over_floor_ms=12.5)


class AnsweringMachine:
    """The server; an async context manager."""

    def __init__(self, reply_after_s: float = 0.4, greeting_s: float = 0.3, reply_s: float = 0.6) -> None:
        self.reply_after_s, self.greeting_s, self.reply_s = reply_after_s, greeting_s, reply_s
        self.refusal: web.Response | None = None
        self.answer_sdp: str | None = None
        """Sent in place of its own answer."""
        self.noise_on_channel: list[str | bytes] = []
        self.speechless = False
        """Greets, and never answers."""
        self.never_answers = False
        """Takes the offer and keeps the HTTP request open."""
        self.calls: list[MachineCall] = []
        self.offers: list[str] = []
        self.requests: list[web.Request] = []
        self.hung_up: list[str] = []
        self.url = ""
        self._runner: web.AppRunner | None = None
        self._leaving = asyncio.Event()

    async def __aenter__(self) -> AnsweringMachine:
        app = web.Application()
        app.router.add_post("/v1/calls", self._take)
        app.router.add_get("/v1/calls/{token}", self._show)
        app.router.add_delete("/v1/calls/{token}", self._hang_up)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leaving.set()
        await self.drop_calls()
        await self.close_http()

    async def drop_calls(self) -> None:
        """Close every media connection, as an orderly server does when it stops."""
        await asyncio.gather(*(call.peer.close() for call in self.calls))

    async def vanish(self) -> None:
        """What a caller sees of a killed server: nothing more, and nobody at the HTTP port."""
        for call in self.calls:
            call.mouth.frozen = True
        await self.close_http()

    async def close_http(self) -> None:
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        self.offers.append(await request.text())
        if self.never_answers:
            await self._leaving.wait()
            return web.Response(status=503)
        if self.refusal is not None:
            return self.refusal
        call = MachineCall(f"token-{len(self.calls) + 1}", self)
        self.calls.append(call)
        answer = await call.answer(self.offers[-1])
        return web.Response(
            status=201,
            text=answer if self.answer_sdp is None else self.answer_sdp,
            content_type="application/sdp",
            headers={"Location": f"/v1/calls/{call.token}"},
        )

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response({"call": "c-1", "state": "listening", "turns": []})

    async def _hang_up(self, request: web.Request) -> web.Response:
        self.hung_up.append(request.match_info["token"])
        await asyncio.gather(*(call.peer.close() for call in self.calls if call.token == self.hung_up[-1]))
        return web.Response(status=204)


async def until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Wait for what raises no event: states inside aiortc, counters of the code under test."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def problem(status: int, code: str, detail: str) -> web.Response:
    """An application/problem+json answer."""
    body = {"type": "about:blank", "title": "Refused", "status": status, "code": code, "detail": detail}
    return web.Response(status=status, text=json.dumps(body), content_type="application/problem+json")
