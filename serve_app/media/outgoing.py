"""The agent's voice on its way out: a frame each 20 ms from the source, a payload with its RTP time to the wire.

Pure; a host's clock calls `next` (`doors/host_clock.py`). Silence costs nothing: 200 ms after the last sound nothing is
sent any more but a frame every 400 ms, as Opus itself does in DTX (RFC 7587, section 3.1.3), so that the far end goes
on hearing its background and a watchdog sees the line alive. RTP time follows the clock over every pause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from deployments.contracts.audio import FRAME_MS, SILENT_FRAME
from serve_app.media.codec import Encoder

HANGOVER_FRAMES = 10
"""Silence that is still sent: pauses inside a sentence stay whole, and the encoder's background settles."""
KEEP_ALIVE_FRAMES = 20
"""In silence one frame of so many is sent."""
FRAME_S = FRAME_MS / 1000
MOST_LATE_S = 3 * FRAME_S


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What is to be sent now."""

    payload: bytes
    ticks: int
    """RTP time since the beginning of the stream; does not wrap."""
    talk_begins: bool
    """First frame after a pause: the marker bit (RFC 3551, section 4.1)."""


class OutgoingStream:
    """One direction of one leg."""

    def __init__(self, encoder: Encoder) -> None:
        self.source: Callable[[], bytes] = lambda: SILENT_FRAME
        self._encoder = encoder
        self._silent_frames = HANGOVER_FRAMES
        self._zero_s: float | None = None
        """Our clock where RTP time is 0, as it has been since the last pause."""
        self._ticks = 0
        self._paused = True
        self.sent = 0
        """Packets."""
        self.frames = 0
        """Frames asked for."""

    @property
    def quiet(self) -> bool:
        """Nothing but silence has been asked for lately: what comes next may leave at any moment."""
        return self._silent_frames >= HANGOVER_FRAMES

    def next(self, now_s: float) -> Outgoing | None:
        """The frame of this moment; None when nothing needs to be sent."""
        frame = self.source()
        self.frames += 1
        if frame == SILENT_FRAME:
            self._silent_frames += 1
            if self.quiet and (self._silent_frames - HANGOVER_FRAMES) % KEEP_ALIVE_FRAMES:
                self._paused = True
                return None
        else:
            self._silent_frames = 0
        self._advance(now_s)
        begins, self._paused = self._paused, False
        self.sent += 1
        return Outgoing(self._encoder.encode(frame), self._ticks, begins and self._silent_frames == 0)

    def _advance(self, now_s: float) -> None:
        """RTP time of this frame: right after the one before, whatever moment it leaves at; after a pause, or once
        stalls have made it 60 ms late, as the clock says."""
        if self._zero_s is None:
            self._zero_s = now_s
            return
        self._ticks += self._encoder.ticks_per_frame
        late_s = now_s - self._zero_s - self._ticks / self._encoder.clock_hz
        if self._paused or late_s > MOST_LATE_S:
            self._ticks += max(0, round(late_s * self._encoder.clock_hz))
            self._zero_s = now_s - self._ticks / self._encoder.clock_hz
