"""One caller's incoming stream: RTP packets in, continuous mono 16 kHz audio out. Pure: time is an argument.

`push` takes a packet and gives the audio that may be heard now; on a clean line that is the packet's own, at once.
`tick`, called every 20 ms or so, gives what is due without a packet: audio behind a gap given up, and silence while
the sender sends nothing. Samples are the measure of time: however packets are lost, late, doubled or paused, the audio
is as long as the sender's RTP clock says, plus `inserted_samples` of silence that stalls of the line have put in
(`pace.py` says when, and how they are taken out again).

A lost packet is made good from the copy that the next one may carry (Opus in-band FEC); without, the decoder conceals
it: 60 ms as it likes, faded out by 100 ms, silence after that. Digital silence, not comfort noise: no person hears it,
and a voice detector is sure of it. Audio that comes after silence has been filled in its place is heard all the same,
after it: a recogniser minds a pause inside a word less than half a word missing.

Measured 2026-11 on 2 shared cores: a packet in its turn costs 16 µs, 13 of which are libopus; a tick with nothing to do
0.8 µs.
"""

from __future__ import annotations

from array import array

import numpy as np

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_BYTES, samples_in, to_samples
from deployments.contracts.errors import BadAudio
from serve_app.media.codec import Decoder
from serve_app.media.jitter import Due, JitterBuffer, Packet
from serve_app.media.pace import Pace
from serve_app.media.rtp_clock import RtpClock

LONGEST_QUIET_BYTES = 2
"""So short a payload says that the sender goes quiet: Opus in DTX (RFC 7587 section 3.1.3), or no audio at all."""
FULL_CONCEALMENT = to_samples(60)
LONGEST_CONCEALMENT = to_samples(100)
QUIET_PEAK = 330
"""Largest sample of a pause that may be shortened (−40 dBFS)."""


class Incoming:
    """Order, decoding, concealment and the sample clock of one stream."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.buffer = JitterBuffer(decoder.clock_hz)
        """Its counters say how the line is."""
        self._clock = RtpClock(decoder.clock_hz)
        self._pace = Pace()
        self._lost = 0
        """Packets given up since the latest audio: the next timestamp says how long they were."""
        self._packet_samples = FRAME_SAMPLES
        """Length of the latest packet."""
        self._concealed = 0
        """Samples concealed since the latest packet that could be decoded."""
        self._gone_quiet = True
        """The sender has said so, or nothing has come yet."""
        self.concealed_samples = 0
        """In place of packets lost, undecodable or late, that no copy could make good; what it fades to, too."""
        self.fec_samples = 0
        """Made good from the copy in the next packet."""
        self.fec_packets = 0
        """Packets made good so."""
        self.silence_samples = 0
        """For pauses of the sender, and for stalls that concealment does not bridge."""
        self.undecodable = 0
        """Packets."""

    @property
    def inserted_samples(self) -> int:
        """Silence that stands for no time of the sender's clock; what has been filled since the latest packet, too."""
        return self._pace.inserted

    @property
    def clock_restarts(self) -> int:
        """How often the sender's timestamps jumped without a reason."""
        return self._clock.restarts

    def push(self, packet: Packet, arrival_s: float) -> bytes:
        """Take a packet; return the audio that can now be heard. Never raises for what a packet holds."""
        due = self.buffer.push(packet, arrival_s)
        if len(due) == 1:
            return self._hear(due[0])
        return b"".join(map(self._hear, due))

    def tick(self, now_s: float) -> bytes:
        """The audio that is due by now, or silence of the time in which nothing came."""
        heard = b"".join(map(self._hear, self.buffer.take(now_s))) if self.buffer.waiting else b""
        if heard or self.buffer.waiting:
            return heard
        owed = self._pace.owed(now_s, self.buffer.stall_s, gone_quiet=self._gone_quiet)
        concealed = 0 if self._gone_quiet else min(owed, max(0, LONGEST_CONCEALMENT - self._concealed))
        return self._conceal(concealed) + self._silence(owed - concealed)

    def _hear(self, due: Due) -> bytes:
        packet = due.packet
        self._lost += due.lost
        was_quiet, self._gone_quiet = self._gone_quiet, len(packet.payload) <= LONGEST_QUIET_BYTES
        if not packet.payload:
            return b""
        gap = self._clock.gap(packet.timestamp, due.arrived_s)
        bridge = self._bridge(gap, packet.payload, was_quiet) if gap else b""
        self._lost = 0
        pcm = self._decoded(packet.payload)
        samples = samples_in(pcm)
        self._clock.heard(packet.timestamp, samples)
        self._pace.heard(gap + samples, due.arrived_s)
        if self._pace.in_debt and self._pace.leave_out(samples, quiet=_is_quiet(pcm)):
            pcm = b""
        return bridge + pcm if bridge else pcm

    def _decoded(self, payload: bytes) -> bytes:
        try:
            pcm = self._decoder.decode(payload)
        except BadAudio:
            self.undecodable += 1
            return self._conceal(self._packet_samples)
        self._packet_samples = samples_in(pcm) or self._packet_samples
        self._concealed = 0
        return pcm

    def _bridge(self, gap: int, next_payload: bytes, was_quiet: bool) -> bytes:
        """The samples between two packets: what was lost first, then a pause, then the last packet lost."""
        lost = min(gap, self._lost * self._packet_samples)
        last = min(lost, self._packet_samples)
        # Time that `tick` has filled already was the first of the gap: what was lost, then the pause.
        head = lost - last - self._pace.credit(lost - last)
        pause = gap - lost - self._pace.credit(gap - lost)
        before = self._stand_in(head, was_quiet) + self._silence(pause)
        recovered = self._decoder.recover(next_payload, last) if last else None
        if recovered is None:
            return before + self._stand_in(last - self._pace.credit(last), was_quiet)
        self.fec_samples += last
        self.fec_packets += 1
        self._concealed = 0
        return before + recovered

    def _stand_in(self, samples: int, was_quiet: bool) -> bytes:
        return self._silence(samples) if was_quiet else self._conceal(samples)

    def _silence(self, samples: int) -> bytes:
        self.silence_samples += samples
        return bytes(samples * SAMPLE_BYTES)

    def _conceal(self, samples: int) -> bytes:
        """So much in place of audio that is gone, fading with what was concealed before it."""
        if not samples:
            return b""
        begin, self._concealed = self._concealed, self._concealed + samples
        self.concealed_samples += samples
        made = min(samples, max(0, LONGEST_CONCEALMENT - begin))
        pcm = self._decoder.conceal(made) if made else b""
        if begin + made > FULL_CONCEALMENT and made:
            fade = (LONGEST_CONCEALMENT - np.arange(begin, begin + made)) / (LONGEST_CONCEALMENT - FULL_CONCEALMENT)
            pcm = (np.frombuffer(pcm, "<i2") * np.minimum(fade, 1.0)).astype("<i2").tobytes()
        return pcm + bytes((samples - made) * SAMPLE_BYTES)


def _is_quiet(pcm: bytes) -> bool:
    samples = array("h", pcm)
    return not samples or max(max(samples), -min(samples)) <= QUIET_PEAK
