"""What stands in for lost audio: it goes on with the voice, fades, and joins without a click."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_SAMPLES, to_samples
from serve_app.media.concealment import Concealment
from tests.fakes.tones import tone


def voice(seconds: float, pitch_hz: float = 120.0) -> np.ndarray:
    """(samples,) int16: a vowel of twelve harmonics."""
    times = np.arange(round(seconds * 16_000)) / 16_000
    sound = sum(np.sin(2 * np.pi * pitch_hz * n * times + n * n) / n for n in range(1, 13))
    return np.round(5000 * sound).astype("<i2")


def lossy(samples: np.ndarray, lost: set[int]) -> np.ndarray:
    concealment, out = Concealment(), []
    for number in range(len(samples) // FRAME_SAMPLES):
        frame = samples[number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES].tobytes()
        out.append(concealment.conceal(FRAME_SAMPLES) if number in lost else concealment.heard(frame))
    return np.frombuffer(b"".join(out), "<i2").astype(float)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


@pytest.mark.parametrize("pitch_hz", [80.0, 120.0, 150.0, 210.0, 330.0])
def test_one_lost_frame_of_a_steady_voice_is_hardly_missed(pitch_hz: float) -> None:
    said = voice(0.5, pitch_hz)
    heard = lossy(said, {12})
    gap = slice(12 * FRAME_SAMPLES, 13 * FRAME_SAMPLES)
    first_half = slice(12 * FRAME_SAMPLES, 12 * FRAME_SAMPLES + FRAME_SAMPLES // 2)

    assert rms(heard[first_half] - said[first_half]) < 0.35 * rms(said)
    assert rms(heard[gap]) == pytest.approx(rms(said[gap]), rel=0.3)


def test_without_a_gap_nothing_is_changed() -> None:
    said = voice(0.3)

    assert np.array_equal(lossy(said, set()), said)


def test_a_long_gap_fades_and_is_silent_after_60_ms() -> None:
    heard = lossy(voice(0.8), set(range(10, 30)))
    levels = [rms(heard[at : at + 160]) for at in range(10 * FRAME_SAMPLES, 30 * FRAME_SAMPLES, 160)]

    assert levels[0] > 2000
    assert all(later <= earlier * 1.1 for earlier, later in pairwise(levels))
    assert levels[4] < 0.5 * levels[0]
    assert levels[6:] == [0.0] * len(levels[6:])


@pytest.mark.parametrize("said", [voice(0.6), tone(0.6, 441.0), voice(0.6, 95.0)], ids=["vowel", "tone", "low"])
@pytest.mark.parametrize("lost", [{12}, {12, 13}, {12, 14, 16}, set(range(12, 20))], ids=str)
def test_no_join_is_a_click(said: np.ndarray, lost: set[int]) -> None:
    heard = lossy(said, lost)

    steepest = np.abs(np.diff(said.astype(float))).max()
    assert np.abs(np.diff(heard)).max() <= steepest * 1.25


@pytest.mark.parametrize("phase", range(6))
def test_a_voice_that_grows_is_joined_without_a_click(phase: int) -> None:
    """The repeated period begins far below where the voice stood, and it ends far above where it begins."""
    times = np.arange(9600) / 16_000
    said = np.round(np.minimum(12_000, 40 * np.exp2(60 * times)) * np.sin(2 * np.pi * 151 * times + phase))
    heard = lossy(said.astype("<i2"), {6})

    assert np.abs(heard[6 * FRAME_SAMPLES : 7 * FRAME_SAMPLES]).max() > 5000
    assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(said)).max() * 1.1


@pytest.mark.parametrize("pitch_hz", [80.0, 120.0, 150.0, 210.0, 330.0])
def test_every_second_frame_lost_keeps_the_pitch(pitch_hz: float) -> None:
    """What was concealed is part of what the next gap is judged by: else the history itself would have a break."""
    said = voice(0.6, pitch_hz)
    heard = lossy(said, {10, 12, 14, 16, 18})

    for frame in (12, 14, 16, 18):
        first_half = slice(frame * FRAME_SAMPLES, frame * FRAME_SAMPLES + FRAME_SAMPLES // 2)
        assert rms(heard[first_half] - said[first_half]) < 0.3 * rms(said)


def test_silence_is_concealed_as_silence_and_so_is_the_beginning() -> None:
    concealment = Concealment()

    assert concealment.conceal(FRAME_SAMPLES) == bytes(2 * FRAME_SAMPLES)
    assert concealment.heard(bytes(640)) == bytes(640)
    assert concealment.conceal(7) == bytes(14)
    assert concealment.conceal(0) == b""


def test_noise_is_not_made_to_hum() -> None:
    """A short period, repeated, would be heard as a tone; so the longest one is taken."""
    noise = np.random.default_rng(4).normal(0, 2000, 4800).astype("<i2")
    heard = lossy(noise, {14})
    gap = heard[14 * FRAME_SAMPLES : 15 * FRAME_SAMPLES]

    period = to_samples(15)
    assert np.corrcoef(gap[:64], noise[14 * FRAME_SAMPLES - period : 14 * FRAME_SAMPLES - period + 64])[0, 1] > 0.7
    assert rms(gap) > 1000


def test_loud_audio_does_not_wrap_around() -> None:
    heard = lossy(np.sign(voice(0.5)).astype("<i2") * 32767, {12})

    assert np.abs(heard).max() <= 32767
    assert rms(heard[12 * FRAME_SAMPLES : 12 * FRAME_SAMPLES + 160]) > 20_000
