"""The ear: however the line cuts its audio, the windows are the same, and every sample keeps its time of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_BYTES, SAMPLE_RATE_HZ, HeardAudio
from serve_app.call.ear import WINDOW_BYTES, Ear, level_dbfs

FORTY_SECONDS = 40 * SAMPLE_RATE_HZ
CUTS = st.lists(st.integers(0, 3_000), max_size=30)
"""Samples in each piece the line delivers."""


def numbered(count: int, first: int = 0) -> bytes:
    """Audio in which every sample tells its place (modulo 65536)."""
    return np.arange(first, first + count).astype("<u2").tobytes()


def cut(pcm: bytes, sizes: list[int]) -> list[bytes]:
    """`pcm` in pieces of those sizes; the last holds what is left."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(pcm[at : at + size * SAMPLE_BYTES])
        at += size * SAMPLE_BYTES
    return [*pieces, pcm[at:]]


def an_ear_that_heard(samples: int, **more: float) -> Ear:
    """Frames of 20 ms, the one that ends at sample n arrived at n / 16000 s."""
    ear = Ear(**more)
    for at in range(0, samples, FRAME_SAMPLES):
        end = min(at + FRAME_SAMPLES, samples)
        ear.add(HeardAudio(numbered(end - at, at), end / SAMPLE_RATE_HZ))
    return ear


@given(st.integers(0, 20_000), CUTS, st.integers(1, 7))
@settings(deadline=None)
def test_however_the_audio_is_cut_the_windows_are_the_same(samples: int, sizes: list[int], most: int) -> None:
    ear, given_out = Ear(), []
    for piece in cut(numbered(samples), sizes):
        ear.add(HeardAudio(piece, 0.0))
        while ear.waiting_windows:
            given_out.append(ear.windows(most))

    whole = samples * SAMPLE_BYTES // WINDOW_BYTES * WINDOW_BYTES
    assert b"".join(given_out) == numbered(samples)[:whole]
    assert all(len(pcm) % WINDOW_BYTES == 0 and len(pcm) <= most * WINDOW_BYTES for pcm in given_out)
    assert ear.heard == samples


@given(st.integers(1, 20_000), CUTS, st.data())
@settings(deadline=None)
def test_a_sample_arrived_with_the_packet_that_carried_it(samples: int, sizes: list[int], data: st.DataObject) -> None:
    ear, carried_by = Ear(), []
    for number, piece in enumerate(cut(numbered(samples), sizes)):
        ear.add(HeardAudio(piece, float(number)))
        carried_by += [float(number)] * (len(piece) // SAMPLE_BYTES)
    place = data.draw(st.integers(0, samples - 1))

    assert ear.arrived(place + 1) == carried_by[place]


def test_a_sample_not_yet_heard_counts_as_arrived_with_the_newest_packet() -> None:
    ear = an_ear_that_heard(SAMPLE_RATE_HZ)

    assert ear.arrived(2 * SAMPLE_RATE_HZ) == 1.0
    assert Ear().arrived(1) == 0.0


def test_after_long_audio_the_newest_35_seconds_are_still_right() -> None:
    ear = an_ear_that_heard(FORTY_SECONDS)
    start = FORTY_SECONDS - 35 * SAMPLE_RATE_HZ

    assert ear.heard == FORTY_SECONDS
    assert ear.between(start, FORTY_SECONDS) == numbered(35 * SAMPLE_RATE_HZ, start)
    assert ear.between(FORTY_SECONDS - 1000, FORTY_SECONDS - 400) == numbered(600, FORTY_SECONDS - 1000)
    assert ear.arrived(start + FRAME_SAMPLES) == pytest.approx((start + FRAME_SAMPLES) / SAMPLE_RATE_HZ)


def test_what_is_older_is_forgotten_and_nothing_else_is_given_in_its_place() -> None:
    ear = an_ear_that_heard(FORTY_SECONDS)
    kept = ear.between(0, FORTY_SECONDS)

    assert ear.between(0, SAMPLE_RATE_HZ) == b""
    assert 35 <= len(kept) / SAMPLE_BYTES / SAMPLE_RATE_HZ <= 36.1
    assert numbered(FORTY_SECONDS).endswith(kept)


def test_windows_go_on_in_order_while_old_audio_is_forgotten() -> None:
    ear, judged = Ear(keep_s=1), bytearray()
    for at in range(0, 5 * SAMPLE_RATE_HZ, FRAME_SAMPLES):
        ear.add(HeardAudio(numbered(FRAME_SAMPLES, at), 0.0))
        judged += ear.windows(16)

    assert judged == numbered(5 * SAMPLE_RATE_HZ)[: len(judged)]
    assert len(judged) == 5 * SAMPLE_RATE_HZ * SAMPLE_BYTES // WINDOW_BYTES * WINDOW_BYTES


def test_windows_forgotten_before_they_were_judged_are_silence_so_that_samples_stay_a_measure_of_time() -> None:
    ear, judged = an_ear_that_heard(4 * SAMPLE_RATE_HZ, keep_s=1), []
    while ear.waiting_windows:
        judged.append(ear.windows(16))

    pcm = b"".join(judged)
    assert len(pcm) == 4 * SAMPLE_RATE_HZ * SAMPLE_BYTES
    assert not any(pcm[: 2 * SAMPLE_RATE_HZ * SAMPLE_BYTES - WINDOW_BYTES])
    assert numbered(4 * SAMPLE_RATE_HZ).endswith(pcm[-SAMPLE_RATE_HZ * SAMPLE_BYTES :])


@pytest.mark.parametrize(("start", "end"), [(10, 10), (20, 10), (500, 900)])
def test_a_stretch_that_has_no_audio_is_empty(start: int, end: int) -> None:
    ear = an_ear_that_heard(400)

    assert ear.between(start, end) == b""


@pytest.mark.parametrize(
    ("peak", "dbfs"), [(32_767, 0.0), (3_277, -20.0), (328, -40.0), (0, -120.0)], ids=["full", "tenth", "soft", "none"]
)
def test_loudness_is_relative_to_full_scale(peak: int, dbfs: float) -> None:
    square = np.tile([peak, -peak], 256).astype("<i2").tobytes()

    assert level_dbfs(square) == pytest.approx(dbfs, abs=0.02)
    assert level_dbfs(b"") == -120.0
