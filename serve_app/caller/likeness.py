"""Two recordings of the same speech, one of which went over a line: how late is it, and how much does it differ.

Everything is measured from outside: by what is in the sound, not by anybody's counters. Sound is mono 16 kHz, arrays
(samples,) float64 in units of a 16-bit sample; times are seconds of one clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deployments.contracts.audio import FRAME_SAMPLES

PART_SAMPLES = 10 * FRAME_SAMPLES
"""A fifth of a second is compared at a time: stalls put sound in between, and losses take some out."""
LIKE = 0.7
"""Correlation from which on two parts are the same. Opus at 28 kbit/s leaves above 0.9."""
LOUD_POWER = 1000.0
"""-60 dBFS; pauses say nothing."""
EARLIEST_S, LATEST_S = -0.05, 1.5
"""Where a part is looked for: so much after it was sent."""
LEAST_DB, MOST_DB = -10.0, 35.0
"""What the ratio of a frame counts at least and at most, as usual for a segmental SNR."""


def to_array(pcm: bytes) -> np.ndarray:
    """s16le as floats."""
    return np.frombuffer(pcm, "<i2").astype(np.float64)


@dataclass(frozen=True, slots=True)
class Timed:
    """Sound whose samples came or went in pieces."""

    sound: np.ndarray
    ends: np.ndarray
    """(pieces,) int: number of samples up to the end of each piece."""
    at_s: np.ndarray
    """(pieces,): when each piece came or went."""

    def when(self, sample: int) -> float:
        """When the piece with this sample came or went."""
        piece = min(int(np.searchsorted(self.ends, sample, side="right")), len(self.at_s) - 1)
        return float(self.at_s[piece])

    def sample_at(self, time_s: float) -> int:
        """The first sample that came at that time or later."""
        piece = int(np.searchsorted(self.at_s, time_s))
        return 0 if piece == 0 else int(self.ends[piece - 1])


def timed(sound: np.ndarray, at_s: np.ndarray, frame: int = FRAME_SAMPLES) -> Timed:
    """Sound in pieces of one length."""
    return Timed(sound, np.arange(1, len(at_s) + 1) * frame, at_s)


@dataclass(frozen=True, slots=True)
class Delays:
    """Of the parts that were found again."""

    at_s: np.ndarray
    """When each was sent."""
    ms: np.ndarray

    def percentile(self, percent: float) -> float | None:
        """None when nothing was found."""
        return float(np.percentile(self.ms, percent)) if len(self.ms) else None

    def between(self, begin_s: float, end_s: float) -> Delays:
        """Of what was sent in that time."""
        inside = (self.at_s >= begin_s) & (self.at_s < end_s)
        return Delays(self.at_s[inside], self.ms[inside])


def delays(sent: Timed, heard: Timed, begin_s: float = 0.0, end_s: float = np.inf) -> Delays:
    """For each fifth of a second sent between the two times: when its middle frame was heard, less when it was sent."""
    at_s, ms = [], []
    for first in range(0, len(sent.sound) - PART_SAMPLES + 1, PART_SAMPLES):
        middle = first + PART_SAMPLES // 2 + FRAME_SAMPLES // 2  # in the middle of a frame: the codec is 6 ms late
        sent_s = sent.when(middle)
        part = sent.sound[first : first + PART_SAMPLES]
        if not begin_s <= sent_s < end_s or (part**2).mean() < LOUD_POWER:
            continue
        found, likeness = _find(part, sent.when(first), heard)
        if likeness >= LIKE:
            at_s.append(sent_s)
            ms.append((heard.when(found + middle - first) - sent_s) * 1000)
    return Delays(np.array(at_s), np.array(ms))


def _find(part: np.ndarray, sent_s: float, heard: Timed) -> tuple[int, float]:
    """Where in what was heard this is most likely, and how like it is (at most 1)."""
    # One part more on either side: what arrives at a time may begin within a piece.
    begin = max(0, heard.sample_at(sent_s + EARLIEST_S) - FRAME_SAMPLES)
    end = heard.sample_at(sent_s + LATEST_S) + len(part)
    window = heard.sound[begin:end]
    if len(window) < len(part):
        return begin, 0.0
    size = 1 << int(np.ceil(np.log2(len(window) + len(part))))
    product = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(part, size)), size)
    product = product[: len(window) - len(part) + 1]
    running = np.concatenate([[0.0], np.cumsum(window**2)])
    power = running[len(part) :] - running[: len(running) - len(part)]
    likeness = product / np.sqrt(np.maximum(power, 1.0) * max(float((part**2).sum()), 1.0))
    best = int(np.argmax(likeness))
    return begin + best, float(likeness[best])


@dataclass(frozen=True, slots=True)
class Difference:
    """What the line did to the sound."""

    snr_db: float | None
    """Segmental: mean over the 20 ms frames of speech. None without speech."""
    frames: int
    """Of speech."""
    unheard: int
    """Frames of speech in place of which something else was heard, or nothing: less than 0 dB."""


def difference(sent: Timed, heard: Timed) -> Difference:
    """Each part is compared where it fits best, to an eighth of a sample: resamplers delay by fractions."""
    found = []
    for first in range(0, len(sent.sound) - PART_SAMPLES + 1, PART_SAMPLES):
        part = sent.sound[first : first + PART_SAMPLES]
        if (part**2).mean() >= LOUD_POWER:
            at, _ = _find(part, sent.when(first), heard)
            fits = [_ratios(part, heard, at, eighth / 8) for eighth in range(-4, 5)]
            found.append(max(fits, key=lambda ratios: float(ratios.sum())))
    if not found:
        return Difference(None, 0, 0)
    ratios = np.concatenate(found)
    held = np.clip(ratios, LEAST_DB, MOST_DB)
    return Difference(float(held.mean()), len(ratios), int((ratios < 0).sum()))


def _ratios(part: np.ndarray, heard: Timed, at: int, shift: float) -> np.ndarray:
    """Signal to noise of the loud frames, dB."""
    margin = 64
    begin = max(0, at - margin)
    window = heard.sound[begin : at + len(part) + margin]
    if shift:
        spectrum = np.fft.rfft(window)
        window = np.fft.irfft(
            spectrum * np.exp(2j * np.pi * np.arange(len(spectrum)) * shift / len(window)), len(window)
        )
    got = window[at - begin : at - begin + len(part)]
    got = np.concatenate([got, np.zeros(len(part) - len(got))]).reshape(-1, FRAME_SAMPLES)
    wanted = part.reshape(-1, FRAME_SAMPLES)
    power = (wanted**2).mean(axis=1)
    loud = power >= LOUD_POWER
    noise = ((wanted - got) ** 2).mean(axis=1)[loud]
    return np.asarray(10 * np.log10(power[loud] / np.maximum(noise, 1e-3)))
