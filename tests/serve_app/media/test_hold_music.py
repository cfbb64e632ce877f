"""Hold music: always the same, at its level, in the telephone's band, round and round without a seam."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES
from deployments.contracts.errors import BadAudio
from serve_app.media.hold_music import LEVEL_DBFS, HoldMusic, loop_of, own_loop
from tests.fakes.tones import tone


def level_dbfs(samples: np.ndarray) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) / 32768))


def played(music: HoldMusic, frames: int) -> np.ndarray:
    return np.frombuffer(b"".join(music.frame() for _ in range(frames)), "<i2").astype(float)


def test_it_is_the_same_each_time_it_is_calculated() -> None:
    first = own_loop()
    own_loop.cache_clear()
    again = own_loop()

    assert first is not again
    assert np.array_equal(first, again)
    assert own_loop() is again


def test_its_level_is_below_a_voice_and_never_drops_out() -> None:
    loop = own_loop()
    seconds = loop[: len(loop) // 16_000 * 16_000].reshape(-1, 16_000)

    assert level_dbfs(loop) == pytest.approx(LEVEL_DBFS, abs=0.1)
    assert np.abs(loop.astype(int)).max() < 16_384
    assert all(-35 < level_dbfs(second) < -18 for second in seconds)


def test_a_telephone_carries_it() -> None:
    spectrum = np.abs(np.fft.rfft(own_loop().astype(float))) ** 2
    hz = np.fft.rfftfreq(len(own_loop()), 1 / 16_000)

    assert spectrum[(hz > 170) & (hz < 1_800)].sum() > 0.99 * spectrum.sum()
    assert spectrum[(hz > 300) & (hz < 1_800)].sum() > 0.5 * spectrum.sum()


def test_it_is_a_tune_not_a_tone() -> None:
    """The strongest frequency changes from second to second."""
    seconds = own_loop().reshape(-1, 16_000).astype(float)
    strongest = {int(np.argmax(np.abs(np.fft.rfft(second)))) for second in seconds}

    assert len(strongest) >= 5


def recording(seconds: float = 3.013) -> np.ndarray:
    """Whose end does not meet its beginning."""
    return tone(seconds, 441.7, peak=20_000)


@pytest.mark.parametrize("loop", [own_loop(), loop_of(recording().tobytes())], ids=["ours", "tenant's"])
def test_where_the_loop_begins_again_there_is_no_click(loop: np.ndarray) -> None:
    frames = 2 * len(loop) // FRAME_SAMPLES + 2
    sound = played(HoldMusic(loop), frames)

    steepest_inside = np.abs(np.diff(loop.astype(float))).max()
    assert np.array_equal(sound[: len(loop)], loop)
    assert np.array_equal(sound[len(loop) : 2 * len(loop)], loop)
    assert abs(float(loop[0]) - float(loop[-1])) <= steepest_inside
    bend = np.abs(np.diff(sound, 2))
    assert bend[len(loop) - 3 : len(loop) + 1].max() <= bend[: len(loop) - 3].max()


def test_calls_have_places_of_their_own_in_one_loop() -> None:
    one, two = HoldMusic(), HoldMusic()
    first = [one.frame() for _ in range(5)]

    assert [two.frame() for _ in range(5)] == first
    assert one.frame() != first[0]
    assert {len(frame) for frame in first} == {FRAME_BYTES}


def test_a_tenants_recording_is_set_to_the_same_level() -> None:
    for peak in (300, 32_000):
        assert level_dbfs(loop_of(tone(3.0, 440.0, peak=peak).tobytes())) == pytest.approx(LEVEL_DBFS, abs=0.1)


@pytest.mark.parametrize(
    ("pcm", "code"),
    [(b"", "hold_music_short"), (bytes(63_998), "hold_music_short"), (bytes(64_001), "hold_music_silent")],
    ids=len,
)
def test_what_cannot_be_played_for_minutes_is_refused(pcm: bytes, code: str) -> None:
    with pytest.raises(BadAudio) as refused:
        loop_of(pcm)
    assert refused.value.code == code
