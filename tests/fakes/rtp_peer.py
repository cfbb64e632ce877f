"""A telephone of plain RTP: real UDP sockets, a voice that is a tone, and a network of its own making.

Payloads are FFmpeg's (`av`), headers are packed here: so what the product sends and takes is not checked against
itself. It sends a packet every 20 ms, silence unless it is told to `say` something; `fate` decides what becomes of it.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from serve_app.media.rtcp import Compound, ReportBlock, SenderInfo, build_report, middle, ntp_time, parse_rtcp
from tests.fakes.tones import tone

LOOPBACK = "127.0.0.1"
VOICE_HZ = 440.0
FORMATS = {
    "pcmu": (0, "PCMU/8000", 8_000, 8_000),
    "pcma": (8, "PCMA/8000", 8_000, 8_000),
    "l16": (96, "L16/16000", 16_000, 16_000),
    "l16-8k": (97, "L16/8000", 8_000, 8_000),
    "l16-24k": (98, "L16/24000", 24_000, 24_000),
    "opus": (111, "opus/48000/2", 48_000, 48_000),
}
"""Payload type, rtpmap, RTP clock, rate of the audio."""
EVENT_TYPE = 101


@dataclass(frozen=True, slots=True)
class Got:
    """A packet of ours at the telephone."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    at_s: float
    source: tuple[str, int]


class _Ear(asyncio.DatagramProtocol):
    def __init__(self, hear: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._hear = hear

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._hear(data, addr[:2])


class RtpPeer:
    """Made by `a_peer`."""

    def __init__(self, codec: str = "pcmu", *, mux: bool = False, ssrc: int = 0x1234) -> None:
        self.payload_type, self.rtpmap, self.clock_hz, self.rate_hz = FORMATS[codec]
        self.codec, self.mux, self.ssrc = codec, mux, ssrc
        self.sequence, self.timestamp = 65_530, 4_294_966_000
        """Both wrap soon."""
        self.to: tuple[str, int] = (LOOPBACK, 9)
        self.rtcp_to: tuple[str, int] = (LOOPBACK, 9)
        self.fate: Callable[[int], float | None] = lambda number: 0.0
        """Of the packet with that number since the beginning: seconds of delay; None = lost."""
        self.sending = True
        self.got: list[Got] = []
        self.reports: list[Compound] = []
        self.travel_s: float | None = None
        """Answer each sender report with a receiver report that took so long on the way; None = none."""
        self.lost_fraction = 0
        """Of 256, as those reports say."""
        self.sent = 0
        self._words: list[bytes] = []
        self._silence = payloads(codec, 60, 0)[-1]
        self._later: set[asyncio.TimerHandle] = set()

    # ------------------------------------------------------------ sockets

    async def open(self, host: str = LOOPBACK) -> None:
        loop = asyncio.get_running_loop()
        self.rtp, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._hear), local_addr=(host, 0))
        self.rtcp, _ = await loop.create_datagram_endpoint(lambda: _Ear(self._hear_rtcp), local_addr=(host, 0))

    async def move(self, host: str = LOOPBACK) -> None:
        """Another address from now on, as after a change of the network."""
        self.rtp.close()
        self.rtcp.close()
        await self.open(host)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.rtp.get_extra_info("sockname")[:2]
        return host, port

    def offer(self, direction: str = "sendrecv", *, address: str | None = None, version: int = 1) -> str:
        """What it would put into an INVITE."""
        host, port = self.address
        lines = ["v=0", f"o=phone 7 {version} IN IP4 {host}", "s=call", f"c=IN IP4 {address or host}", "t=0 0"]
        lines.append(f"m=audio {port} RTP/AVP {self.payload_type} {EVENT_TYPE}")
        lines.append(f"a=rtpmap:{self.payload_type} {self.rtpmap}")
        lines += [f"a=rtpmap:{EVENT_TYPE} telephone-event/{self.clock_hz}", f"a=fmtp:{EVENT_TYPE} 0-16", "a=ptime:20"]
        lines.append("a=rtcp-mux" if self.mux else f"a=rtcp:{self.rtcp.get_extra_info('sockname')[1]}")
        lines.append(f"a={direction}")
        return "\r\n".join(lines) + "\r\n"

    def accept(self, answer: str) -> None:
        """Send where the answer says."""
        lines = answer.split("\r\n")
        host = next(line.split()[2] for line in lines if line.startswith("c="))
        port = int(next(line.split()[1] for line in lines if line.startswith("m=audio")))
        rtcp = next((int(line[7:]) for line in lines if line.startswith("a=rtcp:")), port)
        self.to, self.rtcp_to = (host, port), (host, rtcp)

    # ------------------------------------------------------------ mouth

    def say(self, ms: float, peak: int = 8_000) -> None:
        """Speak after what is being said."""
        self._words += payloads(self.codec, ms, peak)

    @property
    def speaking(self) -> bool:
        return bool(self._words)

    async def run(self) -> None:
        begun_s, number = time.monotonic(), 0
        while True:
            if self.sending:
                self._send(self._words.pop(0) if self._words else self._silence)
            self.timestamp = (self.timestamp + self.clock_hz // 50) % 2**32
            number += 1
            await asyncio.sleep(max(0.0, begun_s + number * 0.02 - time.monotonic()))

    def _send(self, payload: bytes) -> None:
        self.packet(self.payload_type, self.timestamp, payload)

    def packet(self, payload_type: int, timestamp: int, payload: bytes, marker: bool = False) -> None:
        """The next packet in the row, or its loss."""
        head = struct.pack("!BBHII", 0x80, payload_type | marker << 7, self.sequence, timestamp, self.ssrc)
        self.sequence = (self.sequence + 1) % 2**16
        delay_s, self.sent = self.fate(self.sent), self.sent + 1
        if delay_s == 0:
            self.rtp.sendto(head + payload, self.to)
        elif delay_s is not None:
            asyncio.get_running_loop().call_later(delay_s, self._send_late, head + payload)

    def _send_late(self, datagram: bytes) -> None:
        if not self.rtp.is_closing():
            self.rtp.sendto(datagram, self.to)

    async def press(self, key: str, *, ends: int = 3, updates: int = 3) -> None:
        """A key as RFC 4733 has it; so many of its packets are sent. Audio rests."""
        event, begun = "0123456789*#ABCD".index(key), self.timestamp
        ticks = self.clock_hz // 50
        self.sending = False
        for number in range(1, updates + 1):
            self.packet(EVENT_TYPE, begun, struct.pack("!BBH", event, 10, number * ticks), number == 1)
            await asyncio.sleep(0.02)
        for _ in range(ends):
            self.packet(EVENT_TYPE, begun, struct.pack("!BBH", event, 0x80 | 10, (updates + 1) * ticks))
        self.sending = True

    def report(self, *, sender: bool = False, bye: bool = False, blocks: tuple[ReportBlock, ...] = ()) -> None:
        """Send RTCP."""
        info = SenderInfo(ntp_time(time.time()), self.timestamp, self.sent, self.sent * 160) if sender else None
        datagram = build_report(self.ssrc, b"phone", blocks, info, bye)
        (self.rtp if self.mux else self.rtcp).sendto(datagram, self.to if self.mux else self.rtcp_to)

    # ------------------------------------------------------------ ear

    def _hear(self, datagram: bytes, source: tuple[str, int]) -> None:
        if 192 <= datagram[1] <= 223:
            self._hear_rtcp(datagram, source)
            return
        _, second, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", datagram)
        got = Got(second & 0x7F, second > 127, sequence, timestamp, ssrc, datagram[12:], time.monotonic(), source)
        self.got.append(got)

    def _hear_rtcp(self, datagram: bytes, source: tuple[str, int]) -> None:
        compound = parse_rtcp(datagram)
        assert compound is not None, "what we send is no RTCP"
        self.reports.append(compound)
        for report in compound.reports:
            if report.sender is not None and self.travel_s is not None:
                asyncio.get_running_loop().call_later(self.travel_s, self._answer, report.ssrc, report.sender.ntp)

    def _answer(self, ssrc: int, ntp: int) -> None:
        if not self.rtcp.is_closing():
            self.report(blocks=(ReportBlock(ssrc, self.lost_fraction, 0, 0, 0, middle(ntp), 0),))

    def audio(self, since: int = 0) -> np.ndarray:
        """(samples,) int16 at `rate_hz`: the sound of the packets got, one after the other."""
        return decoded(
            self.codec, [each.payload for each in self.got[since:] if each.payload_type == self.payload_type]
        )


@asynccontextmanager
async def a_peer(
    codec: str = "pcmu", *, mux: bool = False, host: str = LOOPBACK, ssrc: int = 0x1234
) -> AsyncIterator[RtpPeer]:
    """A telephone that sends from the moment it is given an answer, or at once to nowhere."""
    peer = RtpPeer(codec, mux=mux, ssrc=ssrc)
    await peer.open(host)
    running = asyncio.create_task(peer.run())
    try:
        yield peer
    finally:
        running.cancel()
        await asyncio.wait([running])
        peer.rtp.close()
        peer.rtcp.close()
        await asyncio.sleep(0)


# ---------------------------------------------------------------- FFmpeg's codecs


def payloads(codec: str, ms: float, peak: int) -> list[bytes]:
    """A tone in packets of 20 ms."""
    rate_hz = FORMATS[codec][3]
    sound, step = tone(ms / 1000, VOICE_HZ, rate_hz, peak), rate_hz // 50
    frames = [sound[at : at + step] for at in range(0, len(sound) - step + 1, step)]
    if codec.startswith("l16"):
        return [frame.astype(">i2").tobytes() for frame in frames]
    encoder: Any = av.CodecContext.create({"pcmu": "pcm_mulaw", "pcma": "pcm_alaw", "opus": "libopus"}[codec], "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate_hz, "mono", "s16"
    encoder.time_base = Fraction(1, rate_hz)
    made: list[bytes] = []
    for number, samples in enumerate(frames):
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "mono")
        frame.sample_rate, frame.pts = rate_hz, number * step
        made += [bytes(packet) for packet in encoder.encode(frame)]
    return made


def decoded(codec: str, packets: list[bytes]) -> np.ndarray:
    """(samples,) int16."""
    if codec.startswith("l16"):
        return np.frombuffer(b"".join(packets), ">i2").astype(np.int16)
    rate_hz = FORMATS[codec][3]
    decoder: Any = av.CodecContext.create({"pcmu": "pcm_mulaw", "pcma": "pcm_alaw", "opus": "libopus"}[codec], "r")
    decoder.sample_rate, decoder.layout = rate_hz, "mono"
    sound = [frame.to_ndarray().reshape(-1) for packet in packets for frame in decoder.decode(av.Packet(packet))]
    if not sound:
        return np.zeros(0, np.int16)
    whole = np.concatenate(sound)
    return whole.astype(np.int16) if whole.dtype.kind == "i" else np.round(whole * 32767).astype(np.int16)


def tone_snr_db(samples: np.ndarray, rate_hz: int, frequency_hz: float = VOICE_HZ) -> float:
    """How purely a tone is heard: its power over all else, the median of pieces of 100 ms; silent ones left out."""
    step = rate_hz // 10
    at = np.arange(step) / rate_hz
    waves = np.stack([np.sin(2 * np.pi * frequency_hz * at), np.cos(2 * np.pi * frequency_hz * at)], axis=1)
    values = []
    for begin in range(0, len(samples) - step + 1, step):
        piece = samples[begin : begin + step].astype(np.float64)
        if np.sqrt(np.mean(piece**2)) < 500:
            continue
        fitted = waves @ np.linalg.lstsq(waves, piece, rcond=None)[0]
        values.append(10 * np.log10(np.sum(fitted**2) / max(np.sum((piece - fitted) ** 2), 1e-9)))
    return float(np.median(values)) if values else float("-inf")
