"""WAV files in and out of the caller: RIFF/WAVE, 16-bit PCM, mono, 16 kHz in; mono or stereo out.

Read by an own chunk walk rather than the standard `wave` module, because each way a file can be wrong has its own
stable code: `wav_unreadable`, `wav_format`, `wav_stereo`, `wav_rate`, `wav_empty`, `wav_too_long`.
Format: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html
"""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from typing import BinaryIO

from deployments.contracts.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, to_ms
from deployments.contracts.errors import BadAudio

LONGEST_WAV_S = 300
_PCM = 0x0001
_EXTENSIBLE = 0xFFFE
_SIZE_UNKNOWN = 0xFFFFFFFF
"""What a program writes that could not go back to fill in the size (`ffmpeg … -f wav -`): up to the end of the file."""


def read_wav(path: str | Path) -> bytes:
    """The samples of a 16 kHz mono 16-bit WAV file (s16le). Raises `BadAudio`."""
    try:
        with Path(path).open("rb") as file:
            return _samples(file, str(path))
    except OSError as error:
        raise BadAudio("wav_unreadable", f"{path}: {error.strerror or error}", "caller") from error


def write_wav(path: str | Path, pcm: bytes, channels: int = 1) -> None:
    """Write s16le samples at 16 kHz; with two channels they are interleaved."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(SAMPLE_BYTES)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(pcm)


def _samples(file: BinaryIO, name: str) -> bytes:
    if not _is_riff_wave(file.read(12)):
        raise BadAudio("wav_unreadable", f"{name}: not a WAV file (no RIFF/WAVE header)", "caller")
    format_seen = False
    while True:
        header = file.read(8)
        if len(header) < 8:
            missing = "audio" if format_seen else "format"
            raise BadAudio(
                "wav_unreadable", f"{name}: the WAV header is cut off, there is no {missing} chunk", "caller"
            )
        kind, size = header[:4], int.from_bytes(header[4:], "little")
        if kind == b"fmt ":
            _check_format(file.read(size), name)
            format_seen = True
            file.seek(size % 2, 1)
        elif kind == b"data" and format_seen:
            return _data(file, size, name)
        else:
            # Chunks are padded to even lengths.
            file.seek(size + size % 2, 1)


def _is_riff_wave(head: bytes) -> bool:
    return len(head) == 12 and head[:4] == b"RIFF" and head[8:] == b"WAVE"


def _check_format(chunk: bytes, name: str) -> None:
    if len(chunk) < 16:
        raise BadAudio("wav_unreadable", f"{name}: the WAV header is cut off inside the format chunk", "caller")
    coding, channels, rate_hz, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if coding == _EXTENSIBLE and len(chunk) >= 26:
        coding = int.from_bytes(chunk[24:26], "little")
    if coding != _PCM or bits != 16:
        raise BadAudio("wav_format", f"{name}: must be 16-bit PCM (is {bits}-bit, format {coding:#06x})", "caller")
    if channels != 1:
        raise BadAudio("wav_stereo", f"{name}: must be mono (has {channels} channels)", "caller")
    if rate_hz != SAMPLE_RATE_HZ:
        raise BadAudio("wav_rate", f"{name}: must be sampled at {SAMPLE_RATE_HZ} Hz (is {rate_hz} Hz)", "caller")


def _data(file: BinaryIO, size: int, name: str) -> bytes:
    most = LONGEST_WAV_S * SAMPLE_RATE_HZ * SAMPLE_BYTES
    pcm = file.read(min(size, most + SAMPLE_BYTES))
    if len(pcm) > most:
        raise BadAudio("wav_too_long", f"{name}: longer than {LONGEST_WAV_S} s", "caller")
    if size != _SIZE_UNKNOWN and len(pcm) < size:
        has_ms = to_ms(len(pcm) // SAMPLE_BYTES)
        raise BadAudio("wav_unreadable", f"{name}: cut off after {has_ms:.0f} ms of audio", "caller")
    pcm = pcm[: len(pcm) // SAMPLE_BYTES * SAMPLE_BYTES]
    if not pcm:
        raise BadAudio("wav_empty", f"{name}: has no audio in it", "caller")
    return pcm
