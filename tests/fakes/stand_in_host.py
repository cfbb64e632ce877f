"""A small stand-in for the call host, for tests of the page: answers offers, sends events, records what it hears."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import uvicorn
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from fastapi import Request
from starlette.responses import JSONResponse, Response

from deployments.contracts.errors import NotFound
from deployments.contracts.knowledge import Document, KnowledgeAnswer, KnowledgeQuery
from serve_app.api import Services, build_api

RATE_HZ = 48_000
FRAME_SAMPLES = 960
AGENT_HZ = 1000.0
ENOUGH_SAMPLES = RATE_HZ // 2
"""What `hears` judges by: half a second."""


class Tone(MediaStreamTrack):
    """What the agent "says": a steady tone."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._samples = 0
        self._began_s: float | None = None

    async def recv(self) -> av.AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        self._began_s = self._began_s or time.monotonic()
        await asyncio.sleep(max(0.0, self._began_s + self._samples / RATE_HZ - time.monotonic()))
        angles = 2 * np.pi * AGENT_HZ * (np.arange(FRAME_SAMPLES) + self._samples) / RATE_HZ
        pcm = (np.sin(angles) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._samples, Fraction(1, RATE_HZ)
        self._samples += FRAME_SAMPLES
        return frame


class StandIn:
    """Answers calls like the call host: tone and events out, what it hears is recorded."""

    def __init__(self) -> None:
        self.talk: list[dict[str, Any] | str] = []
        """Sent as soon as the channel is there; a string goes out as it is."""
        self.refusals: list[Response] = []
        """Answers to the next offers, first to last; then calls are taken."""
        self.state: dict[str, Any] | None = {"state": "listening", "reason": None}
        """What `GET Location` says; None = 410."""
        self.asked = asyncio.Event()
        """Somebody has asked for the state."""
        self.tenants: list[str] = []
        self.credentials: list[str | None] = []
        self.typed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.moves = 0
        """How often a call was to go on over another connection."""
        self.may_move = True
        self.stats: list[dict[str, Any]] = []
        """What the page said it hears."""
        self.typing = 0
        """How often it was told that somebody is writing."""
        self.hung_up = asyncio.Event()
        self.channel: Any = None
        self._peers: dict[str, RTCPeerConnection] = {}
        self._recordings: list[asyncio.Task[None]] = []
        self._heard = bytearray()
        self._news = asyncio.Event()

    @property
    def offers(self) -> int:
        """How often a call was asked for."""
        return len(self.tenants)

    async def offer(self, request: Request) -> Response:
        self.tenants.append(request.query_params["tenant"])
        self.credentials.append(request.headers.get("authorization"))
        assert request.headers["content-type"] == "application/sdp"
        if self.refusals:
            return self.refusals.pop(0)
        call = str(self.offers)
        answer = await self._connect(call, await request.body())
        return Response(answer, 201, {"Location": f"/v1/calls/{call}"}, "application/sdp")

    async def _connect(self, call: str, offer: bytes) -> str:
        peer = RTCPeerConnection()
        self._peers[call] = peer
        peer.on("track", self._record)
        peer.on("datachannel", self._open_channel)
        await peer.setRemoteDescription(RTCSessionDescription(offer.decode(), "offer"))
        peer.addTrack(Tone())
        await peer.setLocalDescription(await peer.createAnswer())
        return peer.localDescription.sdp

    async def move(self, request: Request, call: str) -> Response:
        """Another offer for the same call, or a late candidate."""
        if request.headers["content-type"] != "application/sdp":
            return Response(status_code=204)
        self.moves += 1
        if not self.may_move:
            return JSONResponse({"code": "call_over", "detail": "this call has ended"}, 410)
        old = self._peers[call]
        self.talk = []
        answer = await self._connect(call, await request.body())
        await old.close()
        return Response(answer, 200, media_type="application/sdp")

    async def tell_state(self, call: str) -> Response:
        self.asked.set()
        if self.state is None:
            return JSONResponse({"code": "call_over", "detail": "this call has ended"}, 410)
        return JSONResponse(self.state)

    async def hang_up(self, call: str) -> Response:
        if peer := self._peers.pop(call, None):
            await peer.close()
        self.hung_up.set()
        return Response(status_code=204)

    async def close(self) -> None:
        """Ends the lines without a word, as a host that stops does."""
        peers, self._peers = self._peers, {}
        for peer in peers.values():
            await peer.close()
        recordings, self._recordings = self._recordings, []
        for recording in recordings:
            recording.cancel()
        await asyncio.gather(*recordings, return_exceptions=True)

    def send(self, event: Mapping[str, Any] | str) -> None:
        self.channel.send(event if isinstance(event, str) else json.dumps(event))

    async def hears(self) -> np.ndarray:
        """The next half second of the caller's sound from now on."""
        self._heard.clear()
        while len(self._heard) < 2 * ENOUGH_SAMPLES:
            self._news.clear()
            await self._news.wait()
        return np.frombuffer(bytes(self._heard), "<i2").astype(np.float64)

    def _open_channel(self, channel: Any) -> None:
        self.channel = channel
        channel.on("message", self._on_message)
        for event in self.talk:
            self.send(event)

    def _on_message(self, text: str) -> None:
        message = json.loads(text)
        if message == {"type": "caller.typing"}:
            self.typing += 1
        elif message["type"] == "caller.stats":
            self.stats.append(message)
        else:
            self.typed.put_nowait(message)

    def _record(self, track: MediaStreamTrack) -> None:
        async def record() -> None:
            while True:
                try:
                    frame = await track.recv()
                except MediaStreamError:
                    return
                assert isinstance(frame, av.AudioFrame)
                self._heard += frame.to_ndarray().reshape(-1, 2)[:, 0].astype("<i2").tobytes()
                self._news.set()

        self._recordings.append(asyncio.create_task(record()))


def share_at(samples: np.ndarray, hz: float) -> float:
    """Share of the sound's energy within 20 Hz of `hz`."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    around = np.abs(np.fft.rfftfreq(len(samples), 1 / RATE_HZ) - hz) <= 20
    return float(spectrum[around].sum() / max(spectrum.sum(), 1e-9))


class OneDocument:
    """A knowledge base in which every tenant has one document, except those in `empty`."""

    def __init__(self) -> None:
        self.empty: set[str] = set()

    async def find(self, query: KnowledgeQuery) -> KnowledgeAnswer:
        return KnowledgeAnswer(())

    async def remove(self, tenant: str, document: str) -> bool:
        return False

    async def documents(self, tenant: str) -> list[Document]:
        return (
            []
            if tenant in self.empty
            else [Document(tenant, "hours", "Opening hours", "hours.md", "en", "Eight to eight.")]
        )


@dataclass(frozen=True)
class PageTenant:
    languages: tuple[str, ...]


class PageTenants:
    """`demo` speaks English, `souk` Arabic."""

    async def by_id(self, tenant: str) -> PageTenant:
        if tenant not in ("demo", "souk"):
            raise NotFound("tenant_unknown", "no such tenant")
        return PageTenant(("en",) if tenant == "demo" else ("ar",))


@dataclass(frozen=True)
class NeverIngested:
    document: str = ""
    chunks: int = 0


async def _ingest(content: bytes, filename: str, tenant: str) -> NeverIngested:
    return NeverIngested()


async def _embedded() -> Mapping[str, Any]:
    return {"engine": "pocketsphinx", "nature": "embedded"}


@asynccontextmanager
async def serving(stand_in: StandIn, knowledge: OneDocument) -> AsyncIterator[str]:
    """The real control plane with the stand-in as its media plane; gives its address."""
    services = Services(
        profile="embedded",
        version="0.1.0",
        parts={"asr": _embedded},
        knowledge=knowledge,
        ingest_document=_ingest,
        tenants=PageTenants(),
        allow=lambda request, tenant: None,
    )
    app = build_api(services)
    app.add_api_route("/v1/calls", stand_in.offer, methods=["POST"])
    app.add_api_route("/v1/calls/{call}", stand_in.hang_up, methods=["DELETE"])
    app.add_api_route("/v1/calls/{call}", stand_in.move, methods=["PATCH"])
    app.add_api_route("/v1/calls/{call}", stand_in.tell_state, methods=["GET"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, ws="none", log_level="warning", timeout_graceful_shutdown=2))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        await stand_in.close()
        server.should_exit = True
        await task
