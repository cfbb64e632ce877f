"""A WebRTC caller that costs little: it sends ready Opus packets, and counts what it gets without decoding it.

For load: fifty of them must fit on a core beside the server under test. aiortc's sender (a task, a header extension and
a history for each packet) is passed by: the RTP header is written here and handed to the DTLS transport for SRTP. Its
receiver is replaced as in `peer.py`. Packets leave when `send` is called; `Pacer` calls many peers, evenly spread.

Private attributes of aiortc 1.16 used: a sender's `_ssrc`, its transport's `_send_rtp`; `tests/serve_app/cli/
test_bench_media.py` proves them. Times are seconds of the monotonic clock, which the processes of a machine share.
"""

from __future__ import annotations

import asyncio
import random
import re
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiortc import RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket

from deployments.contracts.errors import StageTimeout
from serve_app.caller.peer import new_peer

LOOPBACK = "127.0.0.1"
FRAME_S = 0.02
TICKS_PER_FRAME = 960
SLOT_S = 0.002
"""uvloop's timers count milliseconds; a peer sends in the same slot of each frame."""
_OPUS = re.compile(r"^a=rtpmap:(\d+) opus/48000/2", re.MULTILINE | re.IGNORECASE)
_HEADER = struct.Struct("!BBHII")


class _NoTrack(MediaStreamTrack):
    """Negotiates a sender and never gives it anything."""

    kind = "audio"

    async def recv(self) -> Any:
        return await asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class Kept:
    """What a peer that is listened to keeps; times in seconds."""

    sent_s: list[float] = field(default_factory=list)
    """Of each packet, in order."""
    timestamps: list[int] = field(default_factory=list)
    arrived_s: list[float] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)


class LightPeer:
    """One call. The packets are said over and over."""

    def __init__(self, packets: Sequence[bytes], seed: int, *, keep: bool = False) -> None:
        dice = random.Random(seed)
        self._packets = packets
        track: Any = _NoTrack()
        self._peer = new_peer(track, (LOOPBACK,), self._on_packet)
        self._connected = asyncio.Event()
        self._sequence, self._timestamp = dice.randrange(2**16), dice.randrange(2**32)
        self._send: Any = None
        self._payload_type = 0
        self._ssrc = 0
        self._next: int | None = None
        self.kept = Kept() if keep else None
        self.sent = 0
        self.received = 0
        self.lost = 0
        """By the gaps of the sequence numbers; less those that came late."""

        @self._peer.on("connectionstatechange")
        def changed() -> None:
            if self._peer.connectionState == "connected":
                self._connected.set()

    async def offer(self) -> str:
        """An SDP offer with all candidates."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        return str(self._peer.localDescription.sdp)

    async def connect(self, answer: str, timeout_s: float = 20.0) -> None:
        """Until media can flow. Raises `StageTimeout`."""
        found = _OPUS.search(answer)
        assert found, "a server of ours answers with Opus"
        await self._peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        try:
            await asyncio.wait_for(self._connected.wait(), timeout_s)
        except TimeoutError:
            raise StageTimeout("not_connected", f"no media within {timeout_s:g} s", "bench") from None
        sender: Any = self._peer.getSenders()[0]
        self._send, self._ssrc, self._payload_type = sender.transport._send_rtp, sender._ssrc, int(found[1])

    async def send(self) -> None:
        """The next packet, now. Before the call is connected, and after its end: nothing."""
        if self._send is None:
            return
        payload = self._packets[self.sent % len(self._packets)]
        header = _HEADER.pack(0x80, self._payload_type, self._sequence, self._timestamp, self._ssrc)
        if self.kept is not None:
            self.kept.sent_s.append(time.monotonic())
        try:
            await self._send(header + payload)
        except ConnectionError:
            self._send = None
            return
        self.sent += 1
        self._sequence = (self._sequence + 1) % 2**16
        self._timestamp = (self._timestamp + TICKS_PER_FRAME) % 2**32

    def _on_packet(self, packet: RtpPacket, arrival_s: float) -> None:
        self.received += 1
        if self._next is not None:
            gap = (packet.sequence_number - self._next + 0x8000 & 0xFFFF) - 0x8000
            self.lost += gap if gap >= 0 else -1
            if gap < 0:
                return
        self._next = (packet.sequence_number + 1) % 2**16
        if self.kept is not None:
            self.kept.timestamps.append(packet.timestamp)
            self.kept.arrived_s.append(arrival_s)
            self.kept.payloads.append(packet.payload)

    async def close(self) -> None:
        """Hang up."""
        self._send = None
        await self._peer.close()


class Pacer:
    """Has each peer send every 20 ms, all of them spread over the 20 ms."""

    def __init__(self) -> None:
        self._slots: list[list[LightPeer]] = [[] for _ in range(round(FRAME_S / SLOT_S))]
        self._seated = 0
        self.late_s: list[float] = []
        """By how much the slots were late: the client's own lag."""

    def add(self, peer: LightPeer) -> None:
        """Begin with its next slot."""
        # 7 and 10 have no common divisor: neighbours are far apart, and ten calls fill ten slots.
        self._slots[self._seated * 7 % len(self._slots)].append(peer)
        self._seated += 1

    async def run(self) -> None:
        """Until cancelled."""
        zero_s, slot = time.monotonic(), 0
        while True:
            due_s = zero_s + slot * SLOT_S
            now_s = time.monotonic()
            if now_s < due_s:
                await asyncio.sleep(due_s - now_s)
                now_s = time.monotonic()
            self.late_s.append(now_s - due_s)
            for peer in self._slots[slot % len(self._slots)]:
                await peer.send()
            slot += 1
