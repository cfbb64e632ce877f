"""What the media plane asks of a codec, whichever it is: payloads of the wire ↔ mono 16 kHz s16le.

G.711 (`g711.py`), L16 (`l16.py`) and Opus fit these Protocols. One object serves one direction of one call and keeps
the state between its packets; it is used from one thread. The clock of the codec's RTP timestamps need not be the rate
of its audio: Opus always counts 48 000 a second (RFC 7587, section 4.1), whatever it is decoded to.
"""

from __future__ import annotations

from typing import Protocol

FRAMES_PER_S = 50
"""We send frames of 20 ms."""


class Decoder(Protocol):
    """Payloads → PCM, of one stream."""

    clock_hz: int
    """RTP timestamp ticks a second."""

    def decode(self, payload: bytes) -> bytes:
        """The audio of the next packet, as long as the packet lasts. Raises `BadAudio` when it cannot be read."""
        ...

    def conceal(self, samples: int) -> bytes:
        """That many samples (16 kHz) in the place of a packet that did not come."""
        ...

    def recover(self, next_payload: bytes, samples: int) -> bytes | None:
        """The lost packet's audio out of the one that follows it; None when that one does not carry it."""
        ...


class Encoder(Protocol):
    """PCM → payloads, of one stream."""

    clock_hz: int
    """RTP timestamp ticks a second."""
    ticks_per_frame: int
    """RTP timestamp ticks in 20 ms."""

    def encode(self, pcm: bytes) -> bytes:
        """The payload of one 20 ms frame (640 bytes)."""
        ...
