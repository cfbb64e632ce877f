"""L16: the wire's order of bytes, every rate, and what is not L16."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES
from deployments.contracts.errors import BadAudio, BadInput
from serve_app.media.codec import Decoder, Encoder
from serve_app.media.l16 import RATES_HZ, L16Decoder, L16Encoder
from tests.fakes.tones import tone


def test_the_high_byte_travels_first_unless_said_otherwise() -> None:
    frame = np.full(FRAME_SAMPLES, 0x0102, "<i2").tobytes()

    assert L16Encoder(16_000).encode(frame)[:4] == b"\x01\x02\x01\x02"
    assert L16Encoder(16_000, "<").encode(frame)[:4] == b"\x02\x01\x02\x01"
    assert L16Decoder(16_000).decode(b"\x01\x02") == b"\x02\x01"
    assert L16Decoder(16_000, "<").decode(b"\x01\x02") == b"\x01\x02"


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_tone_survives_at_every_rate(rate_hz: int) -> None:
    encoder, decoder = L16Encoder(rate_hz), L16Decoder(rate_hz)
    said = tone(1.0, 1000.0)
    payloads = [encoder.encode(said[at : at + 320].tobytes()) for at in range(0, len(said), 320)]
    heard = np.frombuffer(b"".join(decoder.decode(payload) for payload in payloads), "<i2").astype(float)

    late = {8_000: 64, 16_000: 0}.get(rate_hz, 32)  # 2 or 1 ms each way
    error = heard[late + 800 :] - said[800 : len(said) - late]
    assert {len(payload) for payload in payloads} == {rate_hz // 50 * 2}
    assert len(heard) == len(said)
    assert 20 * np.log10(np.std(said) / max(np.std(error), 1e-9)) > 55


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_clock_is_the_rate(rate_hz: int) -> None:
    decoder: Decoder = L16Decoder(rate_hz)
    encoder: Encoder = L16Encoder(rate_hz)

    assert (decoder.clock_hz, encoder.clock_hz, encoder.ticks_per_frame) == (rate_hz, rate_hz, rate_hz // 50)


@pytest.mark.parametrize("payload", [b"", b"\x01", bytes(641), bytes(6402)], ids=len)
def test_what_is_not_l16_is_refused_and_the_next_is_heard(payload: bytes) -> None:
    decoder = L16Decoder(16_000)

    with pytest.raises(BadAudio) as refused:
        decoder.decode(payload)
    assert refused.value.code == "l16_undecodable"
    assert len(decoder.decode(bytes(FRAME_BYTES))) == FRAME_BYTES


@pytest.mark.parametrize("rate_hz", [0, 11_025, 44_100])
def test_other_rates_are_refused(rate_hz: int) -> None:
    for build in (L16Decoder, L16Encoder):
        with pytest.raises(BadInput) as refused:
            build(rate_hz)
        assert refused.value.code == "l16_rate"


def test_a_lost_packet_is_concealed_and_nothing_recovered() -> None:
    decoder = L16Decoder(16_000)
    decoder.decode(tone(0.1, 250.0).astype(">i2").tobytes())

    assert np.std(np.frombuffer(decoder.conceal(320), "<i2")) > 3000
    assert decoder.recover(bytes(640), 320) is None
