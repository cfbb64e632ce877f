"""G.711: the standard's own figures, every code against FFmpeg's, and a call's worth of frames there and back."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ
from deployments.contracts.errors import BadAudio
from serve_app.media.codec import Decoder, Encoder
from serve_app.media.g711 import G711Decoder, G711Encoder, Law, codes, levels
from tests.fakes.tones import tone

LAWS: list[Law] = ["mu", "a"]
EVERY_SAMPLE = np.arange(-32768, 32768)
FFMPEG: dict[Law, Any] = {"mu": "pcm_mulaw", "a": "pcm_alaw"}


def encoded(law: Law, samples: np.ndarray) -> np.ndarray:
    return codes(law)[samples.astype(np.int16).view(np.uint16)]


@pytest.mark.parametrize(
    ("law", "code", "level"),
    [
        ("mu", 0xFF, 0), ("mu", 0x7F, 0), ("mu", 0x80, 4 * 8031), ("mu", 0x00, -4 * 8031), ("mu", 0xFE, 4 * 2),
        ("mu", 0xEF, 4 * 33), ("mu", 0x8F, 4 * 4191), ("a", 0xD5, 8), ("a", 0x55, -8), ("a", 0xAA, 8 * 4032),
        ("a", 0x2A, -8 * 4032), ("a", 0xD4, 24),
    ],
)  # fmt: skip
def test_levels_of_the_tables_1_and_2_of_the_standard(law: Law, code: int, level: int) -> None:
    assert levels(law)[code] == level


@pytest.mark.parametrize(
    ("law", "period", "overload_db"), [("mu", "1e0b0b1e9e8b8b9e", 3.17), ("a", "342121 34b4a1a1b4", 3.14)]
)
def test_the_digital_milliwatt_is_a_1_khz_tone_so_far_below_overload(law: Law, period: str, overload_db: float) -> None:
    """Tables 5 and 6 of the standard: 1 kHz at 0 dBm0. Full scale (sine) is 8159 × 4 for µ-law, 4096 × 8 for A-law."""
    level = levels(law)[np.frombuffer(bytes.fromhex(period), np.uint8)].astype(float)
    spectrum = np.abs(np.fft.rfft(level)) / 4

    full_scale = {"mu": 8159 * 4, "a": 4096 * 8}[law]
    assert 20 * np.log10(full_scale / spectrum[1]) == pytest.approx(overload_db, abs=0.02)
    assert spectrum[1] > 100 * max(spectrum[0], spectrum[2])


@pytest.mark.parametrize("law", LAWS)
def test_every_code_is_decoded_as_ffmpeg_does(law: Law) -> None:
    decoder = av.CodecContext.create(FFMPEG[law], "r")
    decoder.sample_rate, decoder.layout = 8000, "mono"
    theirs = np.concatenate([frame.to_ndarray()[0] for frame in decoder.decode(av.Packet(bytes(range(256))))])

    assert np.array_equal(levels(law), theirs)


@pytest.mark.parametrize("law", LAWS)
def test_samples_get_the_nearest_code_but_for_the_ends_of_segments(law: Law) -> None:
    """There the standard's decision value is not halfway between the two levels."""
    every_level = np.unique(levels(law).astype(int))
    after = np.clip(np.searchsorted(every_level, EVERY_SAMPLE), 1, len(every_level) - 1)
    nearest = np.minimum(np.abs(every_level[after] - EVERY_SAMPLE), np.abs(every_level[after - 1] - EVERY_SAMPLE))
    errors = np.abs(levels(law)[encoded(law, EVERY_SAMPLE)].astype(int) - EVERY_SAMPLE)

    assert np.mean(errors == nearest) > 0.99
    assert (errors - nearest).max() <= 256


@pytest.mark.parametrize(
    ("law", "unit", "ends"),
    [("mu", 4, [31, 95, 223, 479, 991, 2015, 4063]), ("a", 8, [64, 128, 256, 512, 1024, 2048])],
)
def test_segments_end_at_the_decision_values_of_the_standard(law: Law, unit: int, ends: list[int]) -> None:
    """Tables 1a and 2a. Within a segment the levels are evenly spaced, from one to the next the spacing doubles."""
    for end in ends:
        below, above = (int(levels(law)[encoded(law, np.array([end * unit + step]))][0]) for step in (-1, 0))
        assert below < end * unit <= above
        assert above - end * unit == pytest.approx(2 * (end * unit - below), abs=unit / 4)


@pytest.mark.parametrize("law", LAWS)
def test_every_code_comes_back_as_itself(law: Law) -> None:
    back = encoded(law, levels(law))

    both_zeros = {0x7F, 0xFF} if law == "mu" else set()
    assert {code for code in range(256) if back[code] != code} <= both_zeros


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("frequency_hz", [300.0, 1004.0, 2900.0])
def test_a_tone_survives_at_the_quality_of_the_telephone(law: Law, frequency_hz: float) -> None:
    encoder, decoder = G711Encoder(law), G711Decoder(law)
    said = tone(1.0, frequency_hz)
    frames = [said[at : at + FRAME_SAMPLES].tobytes() for at in range(0, len(said), FRAME_SAMPLES)]
    payloads = [encoder.encode(frame) for frame in frames]
    heard = np.frombuffer(b"".join(decoder.decode(payload) for payload in payloads), "<i2").astype(float)

    late = 64  # 2 ms each way
    error = heard[late + 800 :] - said[800:-late]
    assert {len(payload) for payload in payloads} == {160}
    assert len(heard) == len(said)
    assert 20 * np.log10(np.std(said) / np.std(error)) > 30


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("payload_ms", [10, 20, 30, 60])
def test_senders_may_choose_their_packets(law: Law, payload_ms: int) -> None:
    decoder = G711Decoder(law)

    assert len(decoder.decode(bytes(8 * payload_ms))) == payload_ms * SAMPLE_RATE_HZ // 1000 * 2


@pytest.mark.parametrize("size", [0, 1601, 60_000])
def test_what_is_no_packet_is_refused_and_the_next_is_heard(size: int) -> None:
    decoder = G711Decoder("mu")

    with pytest.raises(BadAudio) as refused:
        decoder.decode(bytes(size))
    assert refused.value.code == "g711_undecodable"
    assert len(decoder.decode(bytes(160))) == FRAME_BYTES


@pytest.mark.parametrize("law", LAWS)
def test_a_lost_packet_is_concealed_and_nothing_recovered(law: Law) -> None:
    decoder: Decoder = G711Decoder(law)
    encoder: Encoder = G711Encoder(law)
    said = tone(0.2, 250.0)
    payloads = [encoder.encode(said[at : at + 320].tobytes()) for at in range(0, len(said), 320)]
    for payload in payloads[:-1]:
        decoder.decode(payload)

    concealed = np.frombuffer(decoder.conceal(FRAME_SAMPLES), "<i2").astype(float)
    assert len(concealed) == FRAME_SAMPLES
    assert np.std(concealed) > 3000
    assert decoder.recover(payloads[-1], FRAME_SAMPLES) is None
    assert (decoder.clock_hz, encoder.clock_hz, encoder.ticks_per_frame) == (8000, 8000, 160)
