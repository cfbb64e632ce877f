"""A network that loses, delays, stalls and doubles packets: pure, seeded, in the time of the test.

`LossyLink.carry` gives each packet's fate; `listen` plays arrivals into an `Incoming` with a tick every 20 ms, as a
host does, and notes when each sound came out. `python -m tests.fakes.lossy_link FILE` prints the sweep of loss and
jitter for a file of speech (16 kHz mono s16le, no header).
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES
from serve_app.media.incoming import Incoming
from serve_app.media.jitter import Packet
from serve_app.media.libopus import RTP_CLOCK_HZ, OpusDecoder, OpusEncoder

FRAME_S = 0.02
TICKS_PER_FRAME = RTP_CLOCK_HZ // 50
_MOST_SHIFT = 50
_PART = 10 * FRAME_SAMPLES
MEAN_BURST = 3.0
"""Packets lost in a row on a bursty line."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet at the far end."""

    at_s: float
    packet: Packet
    sent_s: float


@dataclass(frozen=True, slots=True)
class LossyLink:
    """One direction of a line. The same seed gives the same fates."""

    loss: float = 0.0
    """Part of the packets that is lost."""
    bursty: bool = False
    """Losses come in rows of three on average (Gilbert's model) instead of one by one."""
    jitter_s: float = 0.0
    """Standard deviation of the delay, normally distributed about `delay_s`."""
    in_order: bool = False
    """A packet waits for the one before it, as on most real lines; else they overtake each other."""
    delay_s: float = 0.05
    doubled: float = 0.0
    stalls: tuple[tuple[float, float], ...] = ()
    """(begin, end): what would arrive within comes at the end, all at once."""
    seed: int = 1

    def carry(self, packets: Iterable[tuple[float, Packet]]) -> list[Arrival]:
        """(when sent, packet) → arrivals in the order of time."""
        dice = random.Random(self.seed)
        arrivals: list[Arrival] = []
        losing, latest_s = False, 0.0
        for sent_s, packet in packets:
            losing = self._loses(dice, losing)
            at_s = sent_s + max(0.0, dice.gauss(self.delay_s, self.jitter_s))
            again = dice.random() < self.doubled
            if losing:
                continue
            for begin_s, end_s in self.stalls:
                at_s = end_s if begin_s <= at_s < end_s else at_s
            if self.in_order:
                at_s = latest_s = max(at_s, latest_s)
            arrivals += [Arrival(at_s, packet, sent_s)] * (2 if again else 1)
        return sorted(arrivals, key=lambda arrival: arrival.at_s)

    def _loses(self, dice: random.Random, losing: bool) -> bool:
        if not self.bursty:
            return dice.random() < self.loss
        if losing:
            return dice.random() < 1 - 1 / MEAN_BURST
        return dice.random() < self.loss / (MEAN_BURST * (1 - self.loss))


@dataclass(slots=True)
class Heard:
    """What came out of the far end."""

    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    """(when, audio)."""
    waits_s: list[tuple[float, float]] = field(default_factory=list)
    """(when, how long the packet waited in the buffer), whenever audio of packets came out."""

    @property
    def pcm(self) -> bytes:
        return b"".join(pcm for _, pcm in self.pieces)

    def wait_ms(self, percent: float) -> float:
        return float(np.percentile([wait for _, wait in self.waits_s] or [0.0], percent)) * 1000


def listen(incoming: Incoming, arrivals: list[Arrival], until_s: float, tick_s: float = FRAME_S) -> Heard:
    """Push every arrival at its time, tick in between."""
    heard, waiting = Heard(), list(reversed(arrivals))
    begin_s = arrivals[0].at_s if arrivals else 0.0
    for step in range(1, round((until_s - begin_s) / tick_s) + 1):
        now_s = begin_s + step * tick_s
        while waiting and waiting[-1].at_s <= now_s:
            arrival = waiting.pop()
            _note(heard, incoming, arrival.at_s, incoming.push(arrival.packet, arrival.at_s))
        before = incoming.buffer.waiting
        pcm = incoming.tick(now_s)
        _note(heard, incoming, now_s, pcm, from_packets=before > incoming.buffer.waiting)
    return heard


def _note(heard: Heard, incoming: Incoming, now_s: float, pcm: bytes, from_packets: bool = True) -> None:
    if pcm:
        heard.pieces.append((now_s, pcm))
        if from_packets:
            heard.waits_s.append((now_s, incoming.buffer.delay_ms / 1000))


def spoken(pcm: bytes, expected_loss: float = 0.0, bit_rate: int = 28_000, dtx: bool = False) -> list[bytes]:
    """Speech as Opus payloads of 20 ms."""
    encoder = OpusEncoder(bit_rate, dtx=dtx)
    encoder.set_expected_loss(expected_loss * 100)
    return [encoder.encode(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]


def packets(payloads: list[bytes], sequence: int = 100, timestamp: int = 5_000) -> list[tuple[float, Packet]]:
    """(when sent, packet), a frame each 20 ms."""
    return [
        (
            number * FRAME_S,
            Packet((sequence + number) % 2**16, (timestamp + number * TICKS_PER_FRAME) % 2**32, payload),
        )
        for number, payload in enumerate(payloads)
    ]


def segmental_snr_db(sent: bytes, heard: bytes, delay_samples: int = 0) -> float:
    """Mean over the 20 ms frames that are not silent, each held between −10 and 35 dB. `heard` is so much later.

    Stalls put frames in and losses may take some out: each fifth of a second is compared where it fits best, within
    a second of where it should be.
    """
    wanted = np.frombuffer(sent, "<i2").astype(np.float64)
    room = np.zeros(_MOST_SHIFT * FRAME_SAMPLES)
    got = np.concatenate([room, np.frombuffer(heard, "<i2").astype(np.float64)[delay_samples:], room, room])
    values: list[float] = []
    for first in range(0, len(wanted) - _PART + 1, _PART):
        part = wanted[first : first + _PART].reshape(-1, FRAME_SAMPLES)
        power = (part**2).mean(axis=1)
        loud = power > 1000.0  # −60 dBFS
        best = -10.0
        for shift in range(2 * _MOST_SHIFT + 1) if loud.any() else ():
            at = first + shift * FRAME_SAMPLES
            if at + _PART > len(got):
                break
            noise = ((part - got[at : at + _PART].reshape(-1, FRAME_SAMPLES)) ** 2).mean(axis=1)
            ratio = 10 * np.log10(power[loud] / np.maximum(noise[loud], 1e-3))
            best = max(best, float(np.clip(ratio, -10, 35).mean()))
        values += [best] * int(loud.sum())
    return float(np.mean(values))


def main(file: str) -> None:
    """Print the sweep."""
    pcm = Path(file).read_bytes()
    print("loss %, how, jitter ms | order | lost, late | concealed, FEC frames | wait ms p50, p95, max", end="")
    print(" | inserted ms | segmental SNR dB to what was sent, to the same without loss")
    for loss in (0.0, 0.01, 0.03, 0.05, 0.1):
        for bursty in (False, True) if loss else (False,):
            for jitter_ms in (0, 30, 60):
                for in_order in (False, True) if jitter_ms else (True,):
                    link = LossyLink(loss, bursty, jitter_ms / 1000, in_order, delay_s=0.15)
                    print(_row(link, pcm))


def _row(link: LossyLink, pcm: bytes) -> str:
    payloads = spoken(pcm, link.loss)
    decoder = OpusDecoder()
    clean = b"".join(decoder.decode(payload) for payload in payloads)
    incoming = Incoming(OpusDecoder())
    heard = listen(incoming, link.carry(packets(payloads)), len(payloads) * FRAME_S + link.delay_s)
    to_sent = segmental_snr_db(pcm, heard.pcm, OpusEncoder().lookahead_samples)
    cells = (
        f"{link.loss * 100:.0f} {'bursty' if link.bursty else 'random'} {link.jitter_s * 1000:.0f}",
        "in order" if link.in_order else "overtaking",
        f"{incoming.buffer.lost} {incoming.buffer.late}",
        f"{incoming.concealed_samples // FRAME_SAMPLES} {incoming.fec_samples // FRAME_SAMPLES}",
        " ".join(f"{heard.wait_ms(percent):.0f}" for percent in (50, 95, 100)),
        f"{incoming.inserted_samples / 16:.0f}",
        f"{to_sent:.2f} {segmental_snr_db(clean, heard.pcm):.2f}",
    )
    return " | ".join(cells)


if __name__ == "__main__":
    main(sys.argv[1])
