"""libopus by ctypes: what comes out is what went in, a lost packet is made good, and no payload does harm."""

from __future__ import annotations

import gc
import random
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ, samples_in
from deployments.contracts.errors import BadAudio, MissingPart, StageFailed
from serve_app.media import libopus
from serve_app.media.libopus import LONGEST_PACKET_SAMPLES, OpusDecoder, OpusEncoder, is_dtx
from tests.fakes.foreign_opus import foreign_payloads
from tests.fakes.tones import tone


@cache
def sung(duration_s: float = 1.0) -> bytes:
    """Four swelling syllables a second, of a voice whose pitch wavers: lively enough to be taken for speech."""
    times = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * 150 * times + 5 * np.sin(2 * np.pi * 1.5 * times)
    sound = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20)) * np.sin(4 * np.pi * times) ** 2
    return np.round(4000 * sound).astype("<i2").tobytes()


def frames_of(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]


def encoded(expected_loss: float = 0.0, duration_s: float = 1.0) -> list[bytes]:
    encoder = OpusEncoder()
    encoder.set_expected_loss(expected_loss)
    return [encoder.encode(frame) for frame in frames_of(sung(duration_s))]


def array(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(float)


def likeness(one: bytes, other: bytes) -> float:
    return float(np.corrcoef(array(one), array(other))[0, 1])


def test_what_is_decoded_is_what_was_encoded() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    heard = b"".join(decoder.decode(encoder.encode(frame)) for frame in frames_of(sung()))

    late = encoder.lookahead_samples
    assert samples_in(heard) == SAMPLE_RATE_HZ
    assert likeness(sung()[FRAME_BYTES : -2 * late], heard[FRAME_BYTES + 2 * late :]) > 0.8


def test_the_bit_rate_is_obeyed() -> None:
    sizes = {}
    for bit_rate in (16_000, 32_000):
        encoder = OpusEncoder(bit_rate)
        sizes[bit_rate] = sum(len(encoder.encode(frame)) for frame in frames_of(sung())) * 8

    assert sizes[16_000] * 1.5 < sizes[32_000] < 36_000


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("duration", ["2.5", "5", "10", "20", "40", "60"])
def test_foreign_packets_of_any_length_and_layout_come_out_mono_and_as_long(duration: str, layout: str) -> None:
    decoder, length = OpusDecoder(), round(float(duration) * 16)
    sent = foreign_payloads(duration, layout)
    heard = [decoder.decode(payload) for payload in sent]

    assert {samples_in(pcm) for pcm in heard} == {decoder.samples_of(payload) for payload in sent} == {length}
    assert np.abs(array(b"".join(heard)[6400:])).max() == pytest.approx(8000, rel=0.2)


@pytest.mark.parametrize("payload", [b"", b"\xff\xff\xff", b"\x03\x3f"])
def test_what_is_not_opus_is_refused_and_the_next_packet_is_heard(payload: bytes) -> None:
    decoder = OpusDecoder()
    for good in encoded()[:10]:
        decoder.decode(good)

    with pytest.raises(BadAudio) as caught:
        decoder.decode(payload)
    assert caught.value.code == "opus_undecodable"
    assert np.abs(array(decoder.decode(encoded()[10]))).max() > 1000


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=300)
def test_no_payload_does_harm(payload: bytes) -> None:
    decoder = OpusDecoder()
    length = decoder.samples_of(payload)
    recovered = decoder.recover(payload, 320)
    try:
        pcm = decoder.decode(payload)
    except BadAudio:
        pcm = None

    assert 0 <= length <= LONGEST_PACKET_SAMPLES
    assert recovered is None or samples_in(recovered) == 320
    assert pcm is None or samples_in(pcm) == length


def test_concealment_goes_on_as_the_voice_was_and_fades() -> None:
    decoder = OpusDecoder()
    for payload in encoded()[:20]:
        decoder.decode(payload)
    pcm = decoder.conceal(5000)

    assert samples_in(pcm) == 5000
    assert np.abs(array(pcm)[:320]).max() > 1000
    assert np.abs(array(pcm)[-320:]).max() < np.abs(array(pcm)[:320]).max() / 3


@pytest.mark.parametrize("samples", [1, 39, 41, 320, 1919, 1921])
def test_any_number_of_samples_is_concealed(samples: int) -> None:
    assert samples_in(OpusDecoder().conceal(samples)) == samples


def test_a_lost_packet_is_recovered_from_the_next() -> None:
    sent = encoded(expected_loss=10)
    whole, broken = OpusDecoder(), OpusDecoder()
    wanted = [whole.decode(payload) for payload in sent]
    likenesses = []
    for number, payload in enumerate(sent):
        if number % 4 == 3 and (pcm := broken.recover(sent[number + 1], FRAME_SAMPLES)) is not None:
            likenesses.append(likeness(pcm, wanted[number]))
        else:
            broken.decode(payload)

    assert len(likenesses) > 6
    assert np.mean(likenesses) > 0.8


def test_a_gap_longer_than_the_copy_is_concealed_before_it() -> None:
    sent, decoder = encoded(expected_loss=10), OpusDecoder()
    for payload in sent[:20]:
        decoder.decode(payload)
    recovered = decoder.recover(sent[23], 3 * FRAME_SAMPLES)

    assert recovered is not None and samples_in(recovered) == 3 * FRAME_SAMPLES
    assert np.abs(array(recovered)[:FRAME_SAMPLES]).max() > 100


def test_nothing_is_recovered_where_there_is_no_copy_or_it_is_longer_than_the_gap() -> None:
    without, with_copy, decoder = encoded(expected_loss=0), encoded(expected_loss=10), OpusDecoder()
    decoder.decode(without[0])

    assert [decoder.recover(payload, FRAME_SAMPLES) for payload in without[1:]] == [None] * 49
    assert decoder.recover(with_copy[20], FRAME_SAMPLES) is not None
    assert decoder.recover(with_copy[20], FRAME_SAMPLES - 40) is None
    assert decoder.recover(with_copy[20], FRAME_SAMPLES + 1) is None


@pytest.mark.parametrize("percent", [1, 2, 5, 10])
def test_by_default_copies_are_sent_at_every_loss_that_is_expected(percent: float) -> None:
    """Not a matter of course: at complexity 0, or at 24 kbit/s, libopus sends none at 5 %."""
    decoder = OpusDecoder()
    copies = [decoder.recover(payload, FRAME_SAMPLES) is not None for payload in encoded(percent)[5:]]

    assert sum(copies) > len(copies) / 2


def test_with_dtx_silence_is_hardly_sent() -> None:
    quiet = [bytes(FRAME_BYTES)] * 100
    with_dtx, without = OpusEncoder(dtx=True), OpusEncoder()
    sent = [with_dtx.encode(frame) for frame in quiet]

    assert sum(is_dtx(payload) for payload in sent[30:]) > 60
    assert not any(is_dtx(without.encode(frame)) for frame in quiet)
    assert samples_in(OpusDecoder().decode(next(payload for payload in sent if is_dtx(payload)))) == FRAME_SAMPLES


@pytest.mark.parametrize("pcm", [b"", bytes(638), bytes(642)])
def test_a_frame_of_the_wrong_length_is_refused(pcm: bytes) -> None:
    with pytest.raises(BadAudio) as caught:
        OpusEncoder().encode(pcm)

    assert caught.value.code == "frame_length_wrong"


def test_settings_that_libopus_does_not_know_are_an_error() -> None:
    with pytest.raises(StageFailed):
        OpusEncoder(complexity=11)


def test_streams_do_not_disturb_each_other() -> None:
    sent, quiet = encoded(), OpusEncoder().encode(bytes(FRAME_BYTES))
    alone, one, other = OpusDecoder(), OpusDecoder(), OpusDecoder()
    heard = []
    for payload in sent:
        heard.append(one.decode(payload))
        other.decode(quiet)

    assert heard == [alone.decode(payload) for payload in sent]


def test_states_are_freed() -> None:
    process, frame = psutil.Process(), frames_of(sung())[3]
    for _ in range(200):
        OpusDecoder().decode(OpusEncoder().encode(frame))
    gc.collect()
    before = process.memory_info().rss
    for _ in range(2000):  # 100 MB, were they kept
        OpusDecoder().decode(OpusEncoder().encode(frame))
    gc.collect()

    assert process.memory_info().rss - before < 10_000_000


def test_random_bytes_by_the_thousand() -> None:
    dice, decoder, good = random.Random(7), OpusDecoder(), encoded()
    refused = 0
    for number in range(5000):
        payload = bytearray(good[number % 50])
        payload[dice.randrange(len(payload))] ^= 1 << dice.randrange(8)
        payload = payload[: dice.randrange(1, len(payload) + 1)]
        try:
            assert samples_in(decoder.decode(bytes(payload))) <= LONGEST_PACKET_SAMPLES
        except BadAudio:
            refused += 1

    assert 0 < refused < 2500


@pytest.mark.parametrize(
    ("package", "library"),
    [
        ("av/__init__.py", "av.libs/libopus-114e2b1a.so.0.11.1"),
        ("av/__init__.py", "av.libs/opus-5cb94f9a.dll"),
        ("av/__init__.py", "av/.dylibs/libopus.0.dylib"),
    ],
)
def test_the_library_is_found_however_the_wheel_lays_it_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, library: str
) -> None:
    for name in (package, library, "av.libs/libopusfile-1.so", "av.libs/libopusenc-2.so"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(libopus, "find_spec", lambda name: _Spec(str(tmp_path / package)))

    assert libopus.library_file() == tmp_path / library


def test_a_missing_library_or_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in (None, _Spec(str(tmp_path / "av/__init__.py"))):
        monkeypatch.setattr(libopus, "find_spec", lambda name, spec=spec: spec)
        with pytest.raises(MissingPart, match="install") as caught:
            libopus.library_file()
        assert caught.value.code == "library_missing"


def test_a_file_that_is_not_libopus_is_a_missing_part(tmp_path: Path) -> None:
    (tmp_path / "libopus.so").write_bytes(b"not a library")

    with pytest.raises(MissingPart) as caught:
        libopus.load(tmp_path / "libopus.so")
    assert caught.value.code == "library_missing"


class _Spec:
    def __init__(self, origin: str) -> None:
        self.origin = origin


def test_a_tone_stays_a_tone() -> None:
    encoder, decoder = OpusEncoder(), OpusDecoder()
    heard = b"".join(decoder.decode(encoder.encode(frame)) for frame in frames_of(tone(1.0, 440).tobytes()))
    spectrum = np.abs(np.fft.rfft(array(heard)[-8000:]))

    assert np.argmax(spectrum) * SAMPLE_RATE_HZ / 8000 == pytest.approx(440, abs=4)
