"""The change of rate at the edge: sample for sample, 2 ms late at most, and no seam between pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_app.media.resampling import StreamResampler
from tests.fakes.tones import tone

PAIRS = [(8_000, 16_000), (16_000, 8_000), (24_000, 16_000), (16_000, 24_000), (48_000, 16_000), (16_000, 48_000)]


def converted(resampler: StreamResampler, samples: np.ndarray, piece: int) -> np.ndarray:
    pieces = [samples[at : at + piece] for at in range(0, len(samples), piece)]
    return np.frombuffer(b"".join(resampler.convert(part.tobytes()) for part in pieces), "<i2")


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_each_frame_gives_a_frame_at_once(from_hz: int, to_hz: int) -> None:
    resampler = StreamResampler(from_hz, to_hz)
    frame = bytes(from_hz // 50 * 2)

    assert [len(resampler.convert(frame)) for _ in range(200)] == [to_hz // 50 * 2] * 200


@pytest.mark.parametrize(("from_hz", "to_hz"), PAIRS)
def test_a_tone_comes_out_whole_and_late_by_the_filter_alone(from_hz: int, to_hz: int) -> None:
    heard = converted(StreamResampler(from_hz, to_hz), tone(0.5, 440.0, from_hz), from_hz // 50).astype(float)
    ideal = tone(0.5, 440.0, to_hz).astype(float)
    late = to_hz * (2 if 8_000 in (from_hz, to_hz) else 1) // 1000

    middle = slice(to_hz // 20, len(heard) - to_hz // 20)
    error = heard[late:][middle] - ideal[: len(ideal) - late][middle]
    assert np.abs(error).max() < 8000 * 0.002


@given(st.sampled_from(PAIRS), st.lists(st.integers(1, 700), min_size=1, max_size=30))
@settings(deadline=None, max_examples=60)
def test_however_it_is_cut_the_sound_is_the_same(pair: tuple[int, int], cuts: list[int]) -> None:
    samples = tone(sum(cuts) / pair[0] + 0.001, 300.0, pair[0])[: sum(cuts)]
    resampler, parts = StreamResampler(*pair), np.split(samples, np.cumsum(cuts)[:-1])

    pieces = [resampler.convert(part.tobytes()) for part in parts]

    whole = StreamResampler(*pair).convert(samples.tobytes())
    assert b"".join(pieces) == whole
    assert len(whole) == sum(cuts) * pair[1] // pair[0] * 2


def test_the_same_rate_changes_nothing() -> None:
    assert StreamResampler(16_000, 16_000).convert(b"\x01\x02\x03\x04") == b"\x01\x02\x03\x04"
