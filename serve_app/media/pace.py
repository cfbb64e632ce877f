"""Where the audio handed on stands on our clock: when silence is owed, and how far ahead too much of it has brought us.

A sender that pauses (DTX, a muted microphone) sends nothing, and what ends a caller's turn is silence *heard*. So when
packets stop, silence is filled in at the rate of our clock, `hold_s` behind it. If the line was only stalled, the
packets come after all, in a burst, and their audio is handed on whole: words matter more than the clock. Then the audio
is longer than the time it stands for, by what was filled. That debt is paid back where nobody can tell: a pause is
shortened once it has lasted for a second, for what decides about the end of a turn lies before that.

A packet that comes late only because the sender stood still (its RTP clock too) makes no debt: the silence was real.
Pure; seconds of any clock, samples of 16 kHz.
"""

from __future__ import annotations

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, to_samples

HOLD_QUIET_S = 0.04
"""How far silence stays behind our clock when the sender has said that it goes quiet."""
HOLD_S = 0.06
"""The same when it stopped without a word; more on a line that stalls, so that jitter does not tear words apart."""
MOST_HOLD_S = 0.2
MOST_AT_ONCE_SAMPLES = to_samples(60)
"""After a host stood still itself, packets wait in its sockets: they shall get their turn before much is filled."""

_HOLD_MARGIN_S = 0.02
_KEPT_QUIET_SAMPLES = SAMPLE_RATE_HZ
"""So much of a pause is never shortened."""
_CREEP = 0.01
"""Part of a packet's lateness that is taken for a slower clock or a longer way: half of it in 70 packets."""


class Pace:
    """Of one stream."""

    def __init__(self) -> None:
        self._due_s: float | None = None
        """When the latest packet should have come, by the quickest of late; None before the first."""
        self._heard_s: float | None = None
        """When the latest one did come; before the first, when the first silence was asked for."""
        self._late = 0.0
        """Samples between the two."""
        self._filled = 0
        """Samples since the latest packet that silence stands for, or that were left out to pay."""
        self._debt = 0.0
        """Samples that the audio handed on is longer than the sender's and than our time."""
        self._quiet = 0
        """Samples of quiet heard last; counted only while something is owed."""
        self.inserted = 0
        """Samples handed on, less those by the sender's clock."""

    @property
    def in_debt(self) -> bool:
        """Whether a pause should be shortened."""
        return self._debt > 0

    def credit(self, samples: int) -> int:
        """A gap of so many samples has turned out: those of it that silence stands for already."""
        credit = min(self._filled, samples)
        self._filled -= credit
        self._debt = max(0.0, self._debt - credit)
        self.inserted -= credit
        return credit

    def heard(self, samples: int, arrived_s: float) -> None:
        """A packet has come; so many samples of the sender's clock have passed since the one before, it included."""
        if self._due_s is None:
            self._debt, self._filled, self.inserted = 0.0, 0, 0
            self._due_s = arrived_s
        due_s = self._due_s + samples / SAMPLE_RATE_HZ
        late_s = arrived_s - due_s
        if late_s > 0:
            late_s -= (creep_s := late_s * _CREEP)
            due_s += creep_s
            self._debt = max(0.0, self._debt - creep_s * SAMPLE_RATE_HZ)
            self._late = late_s * SAMPLE_RATE_HZ
        else:
            due_s = arrived_s
            self._late = 0.0
        self._due_s, self._heard_s, self._filled = due_s, arrived_s, 0
        if not self._debt:
            self._quiet = 0

    def leave_out(self, samples: int, *, quiet: bool) -> bool:
        """Whether to leave out these samples of audio, to pay; asked while in debt, after `heard`."""
        self._quiet = self._quiet + samples if quiet else 0
        if self._quiet <= _KEPT_QUIET_SAMPLES + samples or self._debt - self._late < samples:
            return False
        self._debt -= samples
        self.inserted -= samples
        return True

    def owed(self, now_s: float, stall_s: float, *, gone_quiet: bool) -> int:
        """Samples of silence to fill in now, in whole frames."""
        if self._heard_s is None:
            self._heard_s = now_s
        hold_s = HOLD_QUIET_S if gone_quiet else min(max(HOLD_S, stall_s + _HOLD_MARGIN_S), MOST_HOLD_S)
        owed = round((now_s - self._heard_s - hold_s) * SAMPLE_RATE_HZ) - self._filled
        if owed < FRAME_SAMPLES:
            return 0
        frames = min(owed, MOST_AT_ONCE_SAMPLES) // FRAME_SAMPLES * FRAME_SAMPLES
        self._filled += frames
        self._quiet += frames
        if self._due_s is not None and self._quiet > _KEPT_QUIET_SAMPLES:
            ahead = self._debt - (now_s - hold_s - self._due_s) * SAMPLE_RATE_HZ
            if ahead >= 0:
                return 0
        self._debt += frames
        self.inserted += frames
        return frames
