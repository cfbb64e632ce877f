"""G.711, the telephone's codec: 8-bit µ-law (PCMU) and A-law (PCMA) at 8 kHz ↔ mono 16 kHz s16le.

Tables made from the segments of ITU-T G.711 (11/88), one look-up a sample; the tests hold them against the standard's
own figures and against FFmpeg's. Output levels are those of 16-bit PCM: the standard's 14-bit (µ) and 13-bit (A) values
times 4 and 8. RTP: payload types 0 and 8, clock 8 kHz (RFC 3551).

Measured 2026-11 on 2 shared cores, per 20 ms: 17 to 29 µs either way, nearly all of it resampling.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np

from deployments.contracts.audio import SAMPLE_RATE_HZ
from deployments.contracts.errors import BadAudio
from serve_app.media.codec import FRAMES_PER_S
from serve_app.media.concealment import Concealment
from serve_app.media.resampling import StreamResampler

Law = Literal["mu", "a"]

CLOCK_HZ = 8_000
TICKS_PER_FRAME = CLOCK_HZ // FRAMES_PER_S
MOST_PAYLOAD_BYTES = CLOCK_HZ // 5
"""200 ms; senders use 10 to 60."""

_MU_BIAS = 132
_MU_LARGEST = 32_635


class G711Decoder:
    """Payloads of one stream → PCM. A lost packet is concealed from the pitch of what came before."""

    clock_hz = CLOCK_HZ

    def __init__(self, law: Law) -> None:
        self._table = levels(law)
        self._resampler = StreamResampler(CLOCK_HZ, SAMPLE_RATE_HZ)
        self._concealment = Concealment()

    def decode(self, payload: bytes) -> bytes:
        """Two samples (16 kHz) a byte. Raises `BadAudio`."""
        if not 0 < len(payload) <= MOST_PAYLOAD_BYTES:
            raise BadAudio("g711_undecodable", f"a packet of {len(payload)} bytes is not G.711", "media")
        pcm = self._table[np.frombuffer(payload, np.uint8)].tobytes()
        return self._concealment.heard(self._resampler.convert(pcm))

    def conceal(self, samples: int) -> bytes:
        """That many samples (16 kHz) for a packet that did not come."""
        return self._concealment.conceal(samples)

    def recover(self, next_payload: bytes, samples: int) -> bytes | None:
        """None: a packet of G.711 knows nothing of the one before it."""
        return None


class G711Encoder:
    """20 ms frames of PCM → payloads of 160 bytes."""

    clock_hz = CLOCK_HZ
    ticks_per_frame = TICKS_PER_FRAME

    def __init__(self, law: Law) -> None:
        self._table = codes(law)
        self._resampler = StreamResampler(SAMPLE_RATE_HZ, CLOCK_HZ)

    def encode(self, pcm: bytes) -> bytes:
        """The payload of one frame."""
        samples = np.frombuffer(self._resampler.convert(pcm), "<u2")
        return self._table[samples].tobytes()


@cache
def levels(law: Law) -> np.ndarray:
    """(256,) little-endian int16: the level of each code."""
    code = np.arange(256)
    if law == "mu":
        code = code ^ 0xFF  # all bits travel inverted
        step, segment = code & 0x0F, code >> 4 & 7
        size = ((step * 8 + _MU_BIAS) << segment) - _MU_BIAS
        signed = np.where(code & 0x80, -size, size)
    else:
        code = code ^ 0x55  # every second bit travels inverted
        step, segment = code & 0x0F, code >> 4 & 7
        size = np.where(segment == 0, step * 16 + 8, (step * 16 + 264) << np.maximum(segment - 1, 0))
        signed = np.where(code & 0x80, size, -size)
    return signed.astype("<i2")


@cache
def codes(law: Law) -> np.ndarray:
    """(65536,) uint8: the code of each 16-bit sample, found at the sample read as unsigned."""
    level = np.arange(65536).astype(np.uint16).view(np.int16).astype(np.int64)
    negative = level < 0
    if law == "mu":
        size = np.minimum(np.abs(level), _MU_LARGEST) + _MU_BIAS
        segment = np.log2(size).astype(np.int64) - 7
        code = (segment << 4 | size >> (segment + 3) & 0x0F | np.where(negative, 0x80, 0)) ^ 0xFF
    else:
        size = np.where(negative, ~level, level)  # so that both signs have equal decision levels
        segment = np.maximum(np.log2(np.maximum(size, 1)).astype(np.int64) - 7, 0)
        step = size >> np.maximum(segment + 3, 4) & 0x0F
        code = (segment << 4 | step | np.where(negative, 0, 0x80)) ^ 0x55
    return code.astype(np.uint8)
