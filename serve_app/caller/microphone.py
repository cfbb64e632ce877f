"""The caller's microphone: a track that hands ready Opus packets to aiortc, one every 20 ms by absolute deadlines.

aiortc sends an `av.Packet` as it is, without encoding. What is said leaves in its own packets, silence between.
Times are seconds of the monotonic clock, taken when a packet is handed over (it is on the wire well under 1 ms later).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from deployments.contracts.audio import FRAME_BYTES, FRAME_MS, SAMPLE_RATE_HZ
from deployments.contracts.errors import CallOver
from serve_app.caller.ear import FOLLOWS_ON_SAMPLES, Tape
from serve_app.caller.speech import Speech, silent_packet

FRAME_S = FRAME_MS / 1000
FRAME_TICKS = 960
"""20 ms of RTP time at 48 kHz."""
LONGEST_CATCH_UP_S = 1.0
"""Behind by more than this (a suspended laptop), the missed packets are skipped instead of sent at once."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """When something was said."""

    first_voiced_s: float
    last_voiced_s: float


class Microphone(MediaStreamTrack):
    """Negotiated as the caller's audio; `on_packet` is called with the time of each packet."""

    kind = "audio"

    def __init__(self, zero_s: float, tape: Tape, on_packet: Callable[[float], None]) -> None:
        super().__init__()
        self._zero_s = zero_s
        self._tape = tape
        self._on_packet = on_packet
        self._due_s: float | None = None
        self._ticks = 0
        self._speech: Speech | None = None
        self._at = 0
        self._first_voiced_s = 0.0
        self._said: asyncio.Future[Spoken] | None = None
        self.worst_delay_s = 0.0
        """The latest a packet left behind its deadline."""

    def say(self, speech: Speech) -> asyncio.Future[Spoken]:
        """Begin with the next packet; the future is done when the last voiced one was sent. One thing at a time."""
        assert self._said is None or self._said.done(), "still speaking"
        self._speech, self._at = speech, 0
        self._said = asyncio.get_running_loop().create_future()
        return self._said

    def silence(self, reason: str) -> None:
        """The line is down: whoever waits for the end of what is being said learns it."""
        if self._said is not None and not self._said.done():
            self._said.set_exception(CallOver("line_ended", f"the line ended while speaking: {reason}", "caller"))
            # Marks it as seen: nobody may be waiting.
            self._said.exception()
        self._speech = None

    async def recv(self) -> av.Packet:
        """The next packet, when it is due."""
        if self._due_s is None:
            self._due_s = time.monotonic()
        if (wait_s := self._due_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        if self.readyState != "live":
            raise MediaStreamError
        now_s = time.monotonic()
        self._skip_if_far_behind(now_s)
        packet = av.Packet(self._next_payload(now_s))
        packet.pts = self._ticks
        packet.time_base = Fraction(1, 48_000)
        self._due_s += FRAME_S
        self._ticks += FRAME_TICKS
        self._on_packet(now_s)
        return packet

    def _skip_if_far_behind(self, now_s: float) -> None:
        assert self._due_s is not None
        late_s = now_s - self._due_s
        self.worst_delay_s = max(self.worst_delay_s, late_s)
        if late_s > LONGEST_CATCH_UP_S:
            skipped = int(late_s / FRAME_S)
            self._due_s += skipped * FRAME_S
            self._ticks += skipped * FRAME_TICKS

    def _next_payload(self, now_s: float) -> bytes:
        speech, at = self._speech, self._at
        if speech is None:
            return silent_packet()
        pcm = speech.pcm[at * FRAME_BYTES : (at + 1) * FRAME_BYTES]
        assert self._due_s is not None
        self._tape.place(round((self._due_s - self._zero_s) * SAMPLE_RATE_HZ), pcm, FOLLOWS_ON_SAMPLES)
        if at == speech.first_voiced:
            self._first_voiced_s = now_s
        if at == speech.last_voiced and self._said is not None and not self._said.done():
            self._said.set_result(Spoken(self._first_voiced_s, now_s))
        self._at += 1
        if self._at == len(speech.packets):
            self._speech = None
        return speech.packets[at]
