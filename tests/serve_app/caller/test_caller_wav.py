"""Every way a WAV file can be wrong has its own code."""

import struct
from pathlib import Path

import pytest

from deployments.contracts.errors import BadAudio
from serve_app.caller.wav import LONGEST_WAV_S, read_wav, write_wav

SAMPLES = struct.pack("<4h", 1, -2, 32767, -32768)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def fmt(coding: int = 1, channels: int = 1, rate_hz: int = 16_000, bits: int = 16, extra: bytes = b"") -> tuple:
    align = channels * bits // 8
    return b"fmt ", struct.pack("<HHIIHH", coding, channels, rate_hz, rate_hz * align, align, bits) + extra


def code_of(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(BadAudio) as refused:
        read_wav(path)
    assert str(path) in refused.value.detail
    return refused.value.code


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_wav(path, SAMPLES)

    assert read_wav(path) == SAMPLES


def test_other_chunks_and_odd_lengths_are_stepped_over(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(riff((b"LIST", b"odd"), fmt(), (b"fact", b"1234"), (b"data", SAMPLES), (b"id3 ", b"x")))

    assert read_wav(path) == SAMPLES


def test_extensible_pcm_and_a_piped_file_without_size_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    subformat = struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14)
    whole = riff(fmt(coding=0xFFFE, extra=subformat), (b"data", SAMPLES))
    path.write_bytes(whole.replace(b"data" + struct.pack("<I", 8), b"data\xff\xff\xff\xff"))

    assert read_wav(path) == SAMPLES


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "wav_unreadable"),
        (b"ID3\x04 this is an mp3, honestly", "wav_unreadable"),
        (riff(), "wav_unreadable"),
        (riff(fmt())[:30], "wav_unreadable"),
        (riff(fmt(), (b"data", SAMPLES))[:-2], "wav_unreadable"),
        (riff((b"data", SAMPLES)), "wav_unreadable"),
        (riff(fmt(channels=2), (b"data", SAMPLES)), "wav_stereo"),
        (riff(fmt(rate_hz=8_000), (b"data", SAMPLES)), "wav_rate"),
        (riff(fmt(rate_hz=48_000), (b"data", SAMPLES)), "wav_rate"),
        (riff(fmt(bits=8), (b"data", SAMPLES)), "wav_format"),
        (riff(fmt(coding=3, bits=32), (b"data", SAMPLES)), "wav_format"),
        (riff(fmt(coding=7, bits=8), (b"data", SAMPLES)), "wav_format"),
        (riff(fmt(), (b"data", b"")), "wav_empty"),
    ],
)
def test_a_bad_file_is_refused_with_its_own_code(tmp_path: Path, content: bytes, code: str) -> None:
    assert code_of(tmp_path / "bad.wav", content) == code


def test_a_file_longer_than_the_limit_is_refused_and_one_as_long_is_not(tmp_path: Path) -> None:
    longest = bytes(LONGEST_WAV_S * 16_000 * 2)
    path = tmp_path / "long.wav"
    write_wav(path, longest)

    assert len(read_wav(path)) == len(longest)
    assert code_of(path, riff(fmt(), (b"data", longest + b"\0\0"))) == "wav_too_long"


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "none.wav", tmp_path):
        with pytest.raises(BadAudio) as refused:
            read_wav(path)

        assert refused.value.code == "wav_unreadable"
