"""Opus there and back: the sound survives, its length too, and what is not Opus harms nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ, SILENT_FRAME
from deployments.contracts.errors import BadAudio
from serve_app.media.opus import OpusDecoder, OpusEncoder
from tests.fakes.foreign_opus import HELD_BACK_SAMPLES, foreign_payloads
from tests.fakes.tones import tone


def frames_of(samples: np.ndarray) -> list[bytes]:
    pcm = samples.astype("<i2").tobytes()
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm), FRAME_BYTES)]


def there_and_back(samples: np.ndarray) -> np.ndarray:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    pcm = b"".join(decoder.decode(encoder.encode(frame)) for frame in frames_of(samples))
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("frequency_hz", [200.0, 440.0, 1000.0, 3000.0])
def test_a_tone_keeps_its_pitch_its_energy_and_its_length(frequency_hz: float) -> None:
    sent = tone(1.0, frequency_hz)
    heard = there_and_back(sent)
    settled = heard[SAMPLE_RATE_HZ // 5 :]

    spectrum = np.abs(np.fft.rfft(settled * np.hanning(len(settled))))
    assert np.argmax(spectrum) * SAMPLE_RATE_HZ / len(settled) == pytest.approx(frequency_hz, abs=5)
    assert 20 * np.log10(rms(settled) / rms(sent)) == pytest.approx(0, abs=1)
    assert 0 <= len(sent) - len(heard) <= HELD_BACK_SAMPLES


def test_silence_stays_silence() -> None:
    assert rms(there_and_back(np.zeros(SAMPLE_RATE_HZ))) < 2


def test_each_frame_is_one_payload_of_speech_size() -> None:
    encoder = OpusEncoder()
    payloads = [encoder.encode(frame) for frame in frames_of(tone(2.0))]

    assert all(0 < len(payload) <= 200 for payload in payloads)
    assert np.mean([len(payload) for payload in payloads]) <= 32_000 / 8 / 50 * 1.3
    assert len(encoder.encode(SILENT_FRAME)) > 0


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("duration", ["2.5", "5", "10", "20", "40", "60"])
def test_senders_may_choose_their_packets(duration: str, layout: str) -> None:
    payloads = foreign_payloads(duration, layout)
    decoder = OpusDecoder()
    heard = np.frombuffer(b"".join(decoder.decode(payload) for payload in payloads), "<i2")

    assert len(heard) == pytest.approx(len(payloads) * float(duration) * 16, abs=HELD_BACK_SAMPLES)
    assert rms(heard[SAMPLE_RATE_HZ // 5 :]) == pytest.approx(rms(tone(1.0)), rel=0.15)


@pytest.mark.parametrize("payload", [b"", b"\xff\xff\xff", b"\x4b", bytes([3]) + bytes(5)])
def test_what_is_not_opus_is_refused_and_the_next_packet_is_heard(payload: bytes) -> None:
    good = OpusEncoder().encode(tone(0.02).tobytes())
    decoder = OpusDecoder()
    decoder.decode(good)

    with pytest.raises(BadAudio) as refused:
        decoder.decode(payload)
    assert refused.value.code == "opus_undecodable"
    assert len(decoder.decode(good)) == FRAME_SAMPLES * 2


def test_random_bytes_are_audio_or_bad_audio_and_nothing_else() -> None:
    dice, decoder = random.Random(20261121), OpusDecoder()
    refused = heard = 0
    for _ in range(3000):
        payload = dice.randbytes(dice.randrange(0, 120))
        try:
            heard += len(decoder.decode(payload)) > 0
        except BadAudio:
            refused += 1

    assert refused > 100 and heard > 100
    assert len(decoder.decode(OpusEncoder().encode(SILENT_FRAME))) == FRAME_BYTES
