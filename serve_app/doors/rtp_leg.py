"""What two ends of plain RTP have agreed on, at work: packets ↔ audio in one codec, keys, and the counts for RTCP.

Knows no sockets and no addresses: packets that are the caller's come in, datagrams to be sent go out.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from deployments.contracts.errors import BadInput
from serve_app.doors.host_clock import HostClock
from serve_app.doors.leg_audio import HeardQueue, LegAudio
from serve_app.doors.rtp_reports import Reports
from serve_app.doors.rtp_sdp import RtpCodec
from serve_app.media.codec import Decoder, Encoder
from serve_app.media.dtmf import LOST_END_S, KeyPress, KeyReceiver, press_packets
from serve_app.media.g711 import G711Decoder, G711Encoder
from serve_app.media.jitter import Packet
from serve_app.media.l16 import L16Decoder, L16Encoder
from serve_app.media.libopus import OpusDecoder, OpusEncoder
from serve_app.media.outgoing import Outgoing
from serve_app.media.rtcp import Compound
from serve_app.media.rtp import RtpPacket, RtpStream

PRESS_MS, PAUSE_MS = 100, 100
"""A key that we press, and the pause after it; telephones want 40 of each at least (ITU-T Q.24)."""
_LATE_S = 0.01
"""So much after the time of a lost end it is looked for, so that no rounding makes it be missed."""


class RtpLeg:
    """One codec's time. Another codec is another leg."""

    def __init__(
        self,
        codec: RtpCodec,
        event: RtpCodec | None,
        clock: HostClock,
        heard: HeardQueue,
        send: Callable[[bytes], None],
        on_key: Callable[[KeyPress], None],
        name: bytes,
    ) -> None:
        """`name`: our canonical name in RTCP."""
        self.codec, self.event = codec, event
        decoder, self._encoder = _codec(codec)
        self.audio = LegAudio(codec.name, decoder, self._encoder, clock, heard, self._send_audio)
        self._stream = RtpStream(codec.payload_type, self._encoder.ticks_per_frame)
        self._zero = self._stream.timestamp
        self.reports = Reports(self._stream, codec.clock_hz, name, time.time() - time.monotonic())
        self._send = send
        self._on_key = on_key
        self._keys = KeyReceiver(event.clock_hz if event else codec.clock_hz)
        self._key_timer: asyncio.TimerHandle | None = None
        self._pressing = False

    def takes(self, payload_type: int) -> bool:
        """Whether that has been agreed on."""
        return payload_type == self.codec.payload_type or self._is_event(payload_type)

    def packet(self, packet: RtpPacket, now_s: float, *, hears: bool) -> None:
        """A packet of the caller's. `hears`: whether its sound is for the session."""
        event = self._is_event(packet.payload_type)
        self.reports.received(packet, now_s, event=event)
        if hears:
            # An event takes its turn as a packet without sound: its number must not look like a loss.
            sound = b"" if event else packet.payload
            self.audio.push(Packet(packet.sequence, packet.timestamp, sound, packet.marker, packet.ssrc))
        if event:
            self._told(self._keys.packet(packet.timestamp, packet.payload, now_s))
            self._await_lost_end()

    def reported(self, compound: Compound, now_s: float) -> None:
        """The caller's reports have come."""
        self.reports.take(compound, now_s)
        self.audio.rtt_ms = self.reports.rtt_ms
        if isinstance(self._encoder, OpusEncoder) and self.reports.lost_percent is not None:
            self._encoder.set_expected_loss(self.reports.lost_percent)

    async def press(self, keys: str) -> None:
        """Send keys, in place of the audio of that time. Raises `BadInput`."""
        if self.event is None:
            raise BadInput("dtmf_unsupported", "the caller's side takes no keys (telephone-event)", "door")
        presses = [press_packets(key, PRESS_MS, self.event.clock_hz) for key in keys]
        self._pressing = True
        try:
            for packets in presses:
                begun_s = time.monotonic()
                timestamp = self.reports.timestamp(begun_s)
                for packet in packets:
                    await asyncio.sleep(begun_s + packet.at_ms / 1000 - time.monotonic())
                    self._send(self._stream.event(self.event.payload_type, timestamp, packet.payload, packet.marker))
                await asyncio.sleep(PAUSE_MS / 1000)
        finally:
            self._pressing = False

    def stop(self) -> None:
        """Safe to call twice."""
        self.audio.stop()
        if self._key_timer is not None:
            self._key_timer.cancel()

    def _is_event(self, payload_type: int) -> bool:
        return self.event is not None and payload_type == self.event.payload_type

    def _send_audio(self, out: Outgoing) -> None:
        if self._pressing:
            return
        if out.talk_begins:
            self._stream.silence()  # there was some: this sets the marker
        self._stream.timestamp = (self._zero + out.ticks) % 2**32
        self.reports.sent(self._stream.timestamp, time.monotonic())
        self._send(self._stream.packet(out.payload))

    def _told(self, presses: list[KeyPress]) -> None:
        for press in presses:
            self._on_key(press)

    def _await_lost_end(self) -> None:
        if self._key_timer is not None:
            self._key_timer.cancel()
        self._key_timer = asyncio.get_running_loop().call_later(LOST_END_S + _LATE_S, self._end_lost)

    def _end_lost(self) -> None:
        self._told(self._keys.quiet(time.monotonic()))


def random_name() -> bytes:
    """A canonical name that tells nothing (RFC 7022)."""
    return secrets.token_hex(8).encode()


def _codec(codec: RtpCodec) -> tuple[Decoder, Encoder]:
    if codec.name == "opus":
        return OpusDecoder(), OpusEncoder()
    if codec.name == "l16":
        return L16Decoder(codec.clock_hz), L16Encoder(codec.clock_hz)
    law = "mu" if codec.name == "pcmu" else "a"
    return G711Decoder(law), G711Encoder(law)  # type: ignore[arg-type]  # a Literal
