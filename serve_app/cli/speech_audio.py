"""From a text to what the recogniser gets of it: a speaker, silence around, the noise of a room, a telephone line.

All audio is mono 16 kHz; arrays are (samples,) float64 in units of a sample of 16 bits, levels their root mean square.
Everything that is random comes from the generator that is handed in, but for espeak's own flutter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from configs.engines import EngineSettings
from deployments.contracts.audio import FRAME_BYTES, FRAME_SAMPLES, SAMPLE_RATE_HZ, to_samples
from deployments.loading import load
from serve_app.media.opus import OpusDecoder, OpusEncoder

Line = Literal["clean", "opus", "telephone"]

OPUS_BIT_RATE = 24_000
_SILENCE_MS = (250.0, 450.0)
"""Before and after the voice: the pre-roll is 300 ms, a turn ends after 320 to 640 ms."""
_ROOM_LEVEL = 8.0
"""-72 dBFS: no microphone gives zeros."""
_SLOWEST_WPM, _FASTEST_WPM = 140, 190
_LOWEST_PITCH, _HIGHEST_PITCH = 35, 65
_SOUND_S = 3.0
_TELEPHONE_HZ = (300.0, 3_400.0)
_MU = 255.0


class AnyVoice(EngineSettings):
    """espeak-ng with all its voices."""

    engine: ClassVar[str] = "deployments.engines.espeak_any_voice:AnyVoice"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "embedded"


class Speaker(Protocol):
    """Says a text."""

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Room:
    """What happens to a voice on its way."""

    line: Line = "clean"
    noise_db: float | None = None
    """Pink noise so far below the voice; None = a quiet room."""


def speaker() -> Speaker:
    """espeak-ng. Raises `MissingPart` when it is not installed."""
    made: Speaker = load(AnyVoice())
    return made


def speak(said: Speaker, text: str, voice: str, room: Room, chance: np.random.Generator) -> bytes:
    """One utterance as the recogniser would get it, s16le."""
    words_per_minute = int(chance.integers(_SLOWEST_WPM, _FASTEST_WPM + 1))
    pitch = int(chance.integers(_LOWEST_PITCH, _HIGHEST_PITCH + 1))
    voiced = np.frombuffer(said.say(text, voice, words_per_minute, pitch), "<i2").astype(np.float64)
    before, after = (np.zeros(to_samples(chance.uniform(*_SILENCE_MS))) for _ in range(2))
    return through(np.concatenate([before, voiced, after]), level_of(voiced), room, chance)


def through(audio: np.ndarray, voice_level: float, room: Room, chance: np.random.Generator) -> bytes:
    """The audio with the room's noise, and what the line leaves of it; s16le."""
    heard = audio + chance.normal(0, _ROOM_LEVEL, len(audio))
    if room.noise_db is not None:
        heard = heard + voice_level * 10 ** (-room.noise_db / 20) * pink(len(audio), chance)
    if room.line == "telephone":
        heard = telephone(heard)
    pcm = np.clip(heard, -32768, 32767).astype("<i2").tobytes()
    return opus(pcm) if room.line == "opus" else pcm


def level_of(audio: np.ndarray) -> float:
    """Root mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(audio**2))) if len(audio) else 0.0


def pink(samples: int, chance: np.random.Generator) -> np.ndarray:
    """Noise of level 1 whose power falls with the frequency, as that of rooms and streets does."""
    spectrum = np.fft.rfft(chance.normal(0, 1, samples))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ), 50.0))
    noise = np.fft.irfft(spectrum, samples)
    return np.asarray(noise / level_of(noise))


def opus(pcm: bytes) -> bytes:
    """Through the codec of a browser's call and back, at 24 kbit/s."""
    encoder, decoder = OpusEncoder(OPUS_BIT_RATE), OpusDecoder()
    pcm += bytes(-len(pcm) % FRAME_BYTES)
    packets = (encoder.encode(pcm[at : at + FRAME_BYTES]) for at in range(0, len(pcm), FRAME_BYTES))
    return b"".join(decoder.decode(packet) for packet in packets if packet)


def telephone(audio: np.ndarray) -> np.ndarray:
    """300 to 3,400 Hz at 8 kHz, and the rounding of G.711's μ-law, by its formula."""
    spectrum = np.fft.rfft(audio)
    frequencies = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE_HZ)
    spectrum[(frequencies < _TELEPHONE_HZ[0]) | (frequencies > _TELEPHONE_HZ[1])] = 0
    narrow = np.clip(np.fft.irfft(spectrum, len(audio))[::2] / 32768, -1, 1)
    steps = np.round(127 * np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)) / 127
    decoded = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU * 32768
    # To 16 kHz again: the upper half of the spectrum stays empty.
    whole = np.zeros(len(audio) // 2 + 1, dtype=np.complex128)
    half = np.fft.rfft(decoded)
    whole[: len(half)] = 2 * half[: len(whole)]
    return np.asarray(np.fft.irfft(whole, len(audio)))


def sound(name: str, speech: Speaker, room: Room, chance: np.random.Generator) -> bytes:
    """Three seconds of a sound that is no speech, or of many voices at once; s16le."""
    audio = SOUNDS[name](speech, chance)
    return through(audio, level_of(audio), room, chance)


def _seconds() -> np.ndarray:
    return np.arange(int(_SOUND_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ


def _tones(*pitches_hz: float) -> np.ndarray:
    return np.asarray(sum(np.sin(2 * np.pi * pitch * _seconds()) for pitch in pitches_hz))


def _melody(speech: Speaker, chance: np.random.Generator) -> np.ndarray:
    length = int(0.25 * SAMPLE_RATE_HZ)
    notes = chance.choice([262, 294, 330, 349, 392, 440, 494], size=int(_SOUND_S / 0.25))
    fade = np.exp(-np.arange(length) / (length / 3))
    return np.concatenate([6_000 * _tones(pitch, 2 * pitch)[:length] * fade for pitch in notes])


def _babble(speech: Speaker, chance: np.random.Generator) -> np.ndarray:
    """Many people at once, far away."""
    mixed = np.zeros(len(_seconds()))
    for voice in ("en-us+m1", "en-us+f1", "ar", "en-029+f4", "ar+m1", "en-gb-x-rp+m7"):
        words = "the people behind the caller talk about this and that and nobody can be understood at all"
        pcm = speech.say(words, voice, 170, int(chance.integers(30, 70)))
        one = np.frombuffer(pcm, "<i2").astype(np.float64)[: len(mixed)]
        mixed[: len(one)] += np.roll(one, int(chance.integers(len(one))))
    return mixed / 4


SOUNDS: dict[str, Callable[[Speaker, np.random.Generator], np.ndarray]] = {
    "silence": lambda speech, chance: np.zeros(len(_seconds())),
    "white_noise": lambda speech, chance: chance.normal(0, 2_000, len(_seconds())),
    "rumble": lambda speech, chance: 3_000 * pink(len(_seconds()), chance),
    "hum": lambda speech, chance: 3_000 * _tones(50, 100, 150),
    "tone": lambda speech, chance: 8_000 * _tones(440),
    "melody": _melody,
    "ringing": lambda speech, chance: 5_000 * _tones(440, 480),
    "clicks": lambda speech, chance: np.where(
        np.arange(len(_seconds())) % (FRAME_SAMPLES * 10) < 40, chance.normal(0, 12_000, len(_seconds())), 0
    ),
    "babble": _babble,
}
