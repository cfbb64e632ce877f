"""Delay and difference found in the sound alone: recordings whose delays and faults are known."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ
from serve_app.caller.likeness import MOST_DB, Timed, delays, difference, timed, to_array

FRAMES = 250


def noise(frames: int = FRAMES) -> np.ndarray:
    """Never like itself at any other place."""
    return np.random.default_rng(1).normal(0, 3_000, frames * FRAME_SAMPLES)


def said(sound: np.ndarray) -> Timed:
    """A frame each 20 ms from 100 s on."""
    return timed(sound, 100 + np.arange(len(sound) // FRAME_SAMPLES) * 0.02)


def late(sound: np.ndarray, by_s: float) -> Timed:
    sent = said(sound)
    return Timed(sent.sound, sent.ends, sent.at_s + by_s)


@pytest.mark.parametrize("by_s", [0.0, 0.003, 0.28, 1.2])
def test_the_delay_is_found(by_s: float) -> None:
    sound = noise()

    found = delays(said(sound), late(sound, by_s))

    assert len(found.ms) == FRAMES // 10
    assert found.ms == pytest.approx(by_s * 1000)


def test_a_delay_that_changes_is_seen_when_it_does() -> None:
    sound = noise()
    heard = late(sound, 0.05)
    heard.at_s[120:] += 0.2

    found = delays(said(sound), heard)

    assert found.between(100, 102.2).ms == pytest.approx(50)
    assert found.between(102.5, 200).percentile(50) == pytest.approx(250)


def test_silence_put_in_between_is_delay_and_no_difference() -> None:
    sound = noise()
    longer = np.concatenate([sound[: 100 * FRAME_SAMPLES], np.zeros(10 * FRAME_SAMPLES), sound[100 * FRAME_SAMPLES :]])
    heard = timed(longer, 100 + np.arange(FRAMES + 10) * 0.02)

    assert delays(said(sound), heard).ms[-1] == pytest.approx(200)
    assert difference(said(sound), heard).unheard == 0


def test_what_did_not_arrive_has_no_delay() -> None:
    sound = noise()
    other = np.random.default_rng(2).normal(0, 3_000, len(sound))

    found = delays(said(sound), late(other, 0.05))

    assert len(found.ms) == 0
    assert found.percentile(50) is None


def test_only_the_asked_time_is_looked_at() -> None:
    sound = noise()

    assert len(delays(said(sound), late(sound, 0), 101, 103).ms) == 10


def test_pauses_say_nothing() -> None:
    silence = np.zeros(FRAMES * FRAME_SAMPLES)

    assert len(delays(said(silence), late(silence, 0)).ms) == 0
    assert difference(said(silence), late(silence, 0)).snr_db is None


def test_the_ratio_is_that_of_signal_and_noise() -> None:
    sound = noise()
    rough = sound + np.random.default_rng(3).normal(0, 300, len(sound))

    assert difference(said(sound), late(sound, 0.1)).snr_db == MOST_DB
    assert difference(said(sound), late(rough, 0.1)).snr_db == pytest.approx(20, abs=0.3)


def test_frames_that_are_gone_are_counted() -> None:
    sound = noise()
    holes = sound.copy()
    holes[33 * FRAME_SAMPLES : 36 * FRAME_SAMPLES] = -sound[33 * FRAME_SAMPLES : 36 * FRAME_SAMPLES]

    found = difference(said(sound), late(holes, 0))

    assert (found.frames, found.unheard) == (FRAMES, 3)
    assert found.snr_db == pytest.approx((MOST_DB * (FRAMES - 3) - 6.02 * 3) / FRAMES, abs=0.01)


def test_half_a_sample_of_a_resampler_is_no_difference() -> None:
    low = np.fft.irfft(np.fft.rfft(noise()) * (np.arange(FRAMES * FRAME_SAMPLES // 2 + 1) < 20_000))
    turns = np.arange(len(low) // 2 + 1) * 0.5 / len(low)
    moved = np.fft.irfft(np.fft.rfft(low) * np.exp(-2j * np.pi * turns), len(low))

    assert difference(said(low), late(moved, 0)).snr_db > 25  # type: ignore[operator]


def test_a_sample_belongs_to_the_piece_it_came_with() -> None:
    recording = timed(np.zeros(3 * FRAME_SAMPLES), np.array([1.0, 2.0, 3.0]))
    at = [recording.when(sample) for sample in (0, FRAME_SAMPLES - 1, FRAME_SAMPLES, 3 * FRAME_SAMPLES)]

    assert at == [1.0, 1.0, 2.0, 3.0]
    assert [recording.sample_at(time_s) for time_s in (0.5, 1.0, 1.5, 3.0)] == [0, 0, FRAME_SAMPLES, 2 * FRAME_SAMPLES]


def test_pcm_becomes_floats() -> None:
    assert to_array(b"\x01\x00\xff\xff").tolist() == [1.0, -1.0]
    assert SAMPLE_RATE_HZ == 16_000
