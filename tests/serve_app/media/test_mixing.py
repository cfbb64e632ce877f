"""Gains, fades and sums: at no join a click, and never an overflow."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SILENT_FRAME
from serve_app.media.mixing import DUCK_DB, Gain, crossfade, mix
from tests.fakes.tones import tone

FRAMES = 30
SAID = tone(FRAMES * 0.02, 440.0, peak=12_000)


def frames_of(samples: np.ndarray) -> list[bytes]:
    return [samples[at : at + FRAME_SAMPLES].astype("<i2").tobytes() for at in range(0, len(samples), FRAME_SAMPLES)]


def joined(frames: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(frames), "<i2").astype(float)


def through(gain: Gain, orders: dict[int, Callable[[], None]]) -> np.ndarray:
    """The tone through a gain that is given orders before certain frames."""
    out = []
    for number, frame in enumerate(frames_of(SAID)):
        if number in orders:
            orders[number]()
        out.append(gain.apply(frame))
    return joined(out)


def click_db(sound: np.ndarray) -> float:
    """Energy above 4 kHz, where a 440 Hz tone and its slow fades have none, beside the whole; a step reaches there."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    return 10 * math.log10(spectrum[len(spectrum) // 2 :].sum() / spectrum.sum() + 1e-12)


def rms_db(samples: np.ndarray) -> float:
    return 20 * math.log10(float(np.sqrt(np.mean(samples.astype(float) ** 2))) / 32768)


def test_the_measure_of_clicks_sees_a_click() -> None:
    cut = SAID.astype(float)
    cut[4810:] = 0  # in the middle of a wave

    assert click_db(SAID.astype(float)) < -70
    assert click_db(cut) > -52


def test_ducking_takes_15_db_and_gives_them_back() -> None:
    gain = Gain()
    sound = through(gain, {5: gain.duck, 15: gain.restore})

    assert np.array_equal(sound[: 5 * 320], SAID[: 5 * 320])
    assert rms_db(sound[8 * 320 : 15 * 320]) - rms_db(SAID[:4800]) == pytest.approx(DUCK_DB, abs=0.1)
    assert np.array_equal(sound[19 * 320 :], SAID[19 * 320 :])


@pytest.mark.parametrize("over_ms", [20, 30, 60])
@pytest.mark.parametrize(("to_db", "turn_at"), [(-math.inf, 99), (DUCK_DB, 99), (DUCK_DB, 6), (-math.inf, 7)])
def test_no_glide_clicks_even_one_turned_round_halfway(over_ms: float, to_db: float, turn_at: int) -> None:
    gain = Gain()
    orders = {5: lambda: gain.glide(to_db, over_ms), turn_at: lambda: gain.glide(0.0, over_ms)}
    sound = through(gain, orders)

    steepest = np.abs(np.diff(SAID.astype(float))).max()
    slope = 12_000 * math.pi / 2 / (over_ms * 16)
    assert np.abs(np.diff(sound)).max() <= steepest + slope
    assert click_db(sound) < -65


def test_a_glide_goes_down_only_and_ends_where_it_should() -> None:
    gain = Gain()
    steady = np.full(FRAME_SAMPLES, 10_000, "<i2").tobytes()
    gain.glide(-6.0, 50)
    sound = joined([gain.apply(steady) for _ in range(5)])

    assert np.all(np.diff(sound) <= 0)
    assert sound[799] == pytest.approx(5012, abs=1)
    assert np.all(sound[800:] == sound[800])


def test_silence_costs_no_source() -> None:
    gain = Gain(-math.inf)
    assert gain.silent and gain.apply(frames_of(SAID)[0]) == SILENT_FRAME
    gain.glide(0.0, 20)
    assert not gain.silent
    gain.glide(-math.inf, 20)
    assert not gain.silent
    gain.apply(SILENT_FRAME)

    assert gain.silent


def test_a_crossfade_goes_from_one_to_the_other_without_a_click() -> None:
    other = tone(FRAMES * 0.02, 300.0, peak=10_000)
    first, second = frames_of(SAID), frames_of(other)
    sound = joined([*first[:10], crossfade(first[10], second[10]), *second[11:]])
    hard = joined([*first[:10], *second[10:]])

    steepest = np.abs(np.diff(SAID.astype(float))).max()
    assert np.abs(np.diff(sound)).max() <= steepest + 22_000 * math.pi / 2 / 320
    assert click_db(sound[6 * 320 : 16 * 320]) < -65
    assert click_db(hard[6 * 320 : 16 * 320]) > click_db(sound[6 * 320 : 16 * 320]) + 10


@given(st.binary(min_size=FRAME_BYTES, max_size=FRAME_BYTES), st.binary(min_size=FRAME_BYTES, max_size=FRAME_BYTES))
@settings(deadline=None, max_examples=50)
def test_a_crossfade_never_leaves_the_two(leaving: bytes, coming: bytes) -> None:
    both = np.stack([joined([leaving]), joined([coming])])
    sound = joined([crossfade(leaving, coming)])

    assert np.all(sound >= both.min(axis=0) - 1) and np.all(sound <= both.max(axis=0) + 1)


def test_quiet_sources_are_simply_added() -> None:
    one, two = frames_of(SAID)[3], frames_of(tone(0.02, 300.0, peak=9_000))[0]

    assert np.array_equal(joined([mix([one, two])]), joined([one]) + joined([two]))
    assert mix([one]) == one
    assert mix([]) == SILENT_FRAME


def test_loud_sources_are_bent_not_cut_and_never_wrap() -> None:
    steps = np.linspace(-32768, 32767, FRAME_SAMPLES).astype("<i2").tobytes()
    sound = joined([mix([steps, steps, steps])])

    assert np.all(np.diff(sound) >= 0)
    assert (sound.min(), sound.max()) == (-32767, 32767)
    assert np.abs(np.diff(sound)).max() <= 3 * (65535 / 319 + 1)


@given(st.lists(st.binary(min_size=FRAME_BYTES, max_size=FRAME_BYTES), min_size=2, max_size=5))
@settings(deadline=None, max_examples=100)
def test_any_frames_keep_their_sign_and_size_in_the_sum(frames: list[bytes]) -> None:
    sound = joined([mix(frames)])
    total = np.sum([joined([frame]) for frame in frames], axis=0)

    assert np.all(np.sign(sound) == np.sign(total))
    assert np.all(np.abs(sound) <= np.abs(total) + 1)
    assert np.array_equal(sound[np.abs(total) < 26_000], total[np.abs(total) < 26_000])
