"""What the recogniser gets of a voice: levels, bands, lines, and the same again from the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.contracts.audio import SAMPLE_RATE_HZ
from serve_app.cli.speech_audio import SOUNDS, Line, Room, level_of, pink, sound, speak, telephone, through


class Humming:
    """A speaker that hums for a second."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, int, int]] = []

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> bytes:
        self.asked.append((text, voice, words_per_minute, pitch))
        return (5_000 * np.sin(2 * np.pi * 500 * np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)).astype("<i2").tobytes()


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def chance() -> np.random.Generator:
    return np.random.default_rng(1)


def power(audio: np.ndarray, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(audio)) ** 2
    pitches = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE_HZ)
    return float(spectrum[(pitches >= low_hz) & (pitches < high_hz)].sum())


@pytest.mark.parametrize("line", ["clean", "opus", "telephone"])
def test_an_utterance_is_a_voice_between_silences(line: Line) -> None:
    audio = samples(speak(Humming(), "hello", "v", Room(line), chance()))

    assert 1.5 * SAMPLE_RATE_HZ <= len(audio) <= 1.95 * SAMPLE_RATE_HZ
    assert level_of(audio[:3_200]) < 30 and level_of(audio[-3_200:]) < 30
    assert level_of(audio[8_000:19_000]) == pytest.approx(5_000 / 2**0.5, rel=0.15)


def test_the_same_seed_is_the_same_and_speed_and_pitch_are_drawn() -> None:
    humming = Humming()

    first, again = (speak(humming, "hello", "v", Room("clean", 20), chance()) for _ in range(2))

    assert first == again
    assert humming.asked[0] == humming.asked[1]
    _, _, words_per_minute, pitch = humming.asked[0]
    assert 140 <= words_per_minute <= 190 and 35 <= pitch <= 65


@pytest.mark.parametrize("below_db", [10, 20])
def test_noise_is_so_far_below_the_voice(below_db: float) -> None:
    quiet = samples(through(np.zeros(32_000), 4_000, Room("clean", below_db), chance()))

    assert 20 * np.log10(4_000 / level_of(quiet)) == pytest.approx(below_db, abs=0.5)


def test_pink_noise_falls_with_the_frequency() -> None:
    noise = pink(64_000, chance())

    assert level_of(noise) == pytest.approx(1)
    assert power(noise, 200, 400) == pytest.approx(power(noise, 2_000, 4_000), rel=0.3)


def test_a_telephone_carries_its_band_only() -> None:
    noise = np.random.default_rng(2).normal(0, 3_000, 32_000)

    heard = telephone(noise)

    assert len(heard) == len(noise)
    assert power(heard, 500, 3_000) == pytest.approx(power(noise, 500, 3_000), rel=0.1)
    assert power(heard, 4_100, 8_000) < 0.001 * power(noise, 4_100, 8_000)


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_are_three_seconds_and_not_clipped(name: str) -> None:
    audio = samples(sound(name, Humming(), Room(), chance()))

    assert len(audio) == 3 * SAMPLE_RATE_HZ
    assert np.mean(np.abs(audio) >= 32_767) < 0.01
    assert (level_of(audio) > 100) == (name != "silence")
