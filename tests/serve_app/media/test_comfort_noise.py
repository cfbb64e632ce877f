"""Comfort noise: faint, even, low, without a seam."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES
from deployments.contracts.errors import BadSettings
from serve_app.media.comfort_noise import ComfortNoise


def played(noise: ComfortNoise, frames: int) -> np.ndarray:
    return np.frombuffer(b"".join(noise.frame() for _ in range(frames)), "<i2").astype(float)


def level_dbfs(samples: np.ndarray) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(samples**2)) / 32768))


@pytest.mark.parametrize("level", [-65.0, -62.0, -60.0])
def test_its_level_is_what_was_asked_and_even(level: float) -> None:
    sound = played(ComfortNoise(level), 200)

    assert level_dbfs(sound) == pytest.approx(level, abs=0.2)
    assert all(abs(level_dbfs(part) - level) < 1.5 for part in sound.reshape(20, -1))


def test_it_falls_towards_the_treble_and_has_no_hum() -> None:
    sound = played(ComfortNoise(), 200)
    power = np.abs(np.fft.rfft(sound)) ** 2
    hz = np.fft.rfftfreq(len(sound), 1 / 16_000)

    def density_db(low_hz: float, high_hz: float) -> float:
        return 10 * float(np.log10(power[(hz >= low_hz) & (hz < high_hz)].mean()))

    assert density_db(100, 400) - density_db(1000, 1400) == pytest.approx(7.5, abs=1.5)
    assert density_db(1000, 1400) > density_db(2000, 2800) + 4
    assert density_db(0, 45) < density_db(100, 400) - 15


def test_the_loop_has_no_seam() -> None:
    sound = played(ComfortNoise(), 400)
    steps = np.abs(np.diff(sound))
    seam = 200 * FRAME_SAMPLES

    assert np.array_equal(sound[:seam], sound[seam:])
    assert steps[seam - 2 : seam + 1].max() < steps.max()
    assert np.corrcoef(sound[seam - 4 : -4], sound[seam:])[0, 1] < 0.95


def test_calls_need_not_sound_alike() -> None:
    one, two = ComfortNoise(begin_frame=0), ComfortNoise(begin_frame=1077)

    assert one.frame() != two.frame()
    assert len(one.frame()) == FRAME_BYTES


@pytest.mark.parametrize("level", [-65.1, -59.9, 0.0, float("nan")])
def test_louder_and_fainter_noise_is_refused(level: float) -> None:
    with pytest.raises(BadSettings) as refused:
        ComfortNoise(level)
    assert refused.value.code == "comfort_noise_level"
