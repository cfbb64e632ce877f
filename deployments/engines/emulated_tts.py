"""No voice: a tone of known delay, speed and length, for measuring the platform around it.

In: text, of which only the number of words counts. Out: a 400 Hz tone at 0.3 of full scale (a listener's detector
hears it), `ms_per_word` for each word, 16 kHz mono s16le in pieces of 100 ms; the first after `first_audio_ms`, the
following at `speed` times real time. It sleeps: a delay of known length is what it is for.
"""

from __future__ import annotations

import math
import re
import struct
import time
from collections.abc import Iterator

from configs.engines import EmulatedTts as Settings
from deployments.contracts.audio import SAMPLE_BYTES, SAMPLE_RATE_HZ, to_ms, to_samples
from deployments.contracts.errors import BadInput
from deployments.contracts.speech import SpeechAudio, SynthesisRequest, WordMark

TONE_HZ = 400
AMPLITUDE = 0.3
PIECE_SAMPLES = to_samples(100)

_PERIOD = [round(AMPLITUDE * 32767 * math.sin(2 * math.pi * n * TONE_HZ / SAMPLE_RATE_HZ)) for n in range(40)]
_PIECE = struct.pack(f"<{PIECE_SAMPLES}h", *_PERIOD * (PIECE_SAMPLES // len(_PERIOD)))
"""100 ms of tone; a whole number of its periods, so that pieces join without a click."""


class EmulatedTts:
    """`TtsEngine`. Any number of requests at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def voices(self) -> dict[str, tuple[str, ...]]:
        """One name a language; any other is taken too, for it makes no difference."""
        return {"en": ("tone",), "ar": ("tone",)}

    def synthesise(self, request: SynthesisRequest) -> Iterator[SpeechAudio]:
        """The tone, in pieces. The schedule runs from the first `next`, whether or not the reader keeps up."""
        if not 0.5 <= request.speed <= 2.0:
            raise BadInput("speed_out_of_range", f"speed {request.speed} is not in 0.5 to 2.0", "tts")
        begun_s = time.perf_counter()
        word_samples = to_samples(self._settings.ms_per_word) / request.speed
        marks = [
            WordMark(round(number * word_samples), word.end())
            for number, word in enumerate(re.finditer(r"\S+", request.text), start=1)
        ]
        total = marks[-1].end_sample if marks else 0
        due_s = begun_s + self._settings.first_audio_ms / 1000
        asked_s = begun_s
        sent = 0
        while True:
            time.sleep(max(0.0, due_s - time.perf_counter()))
            end = min(sent + PIECE_SAMPLES, total)
            inside = tuple(mark for mark in marks if sent < mark.end_sample <= end)
            yield SpeechAudio(
                _PIECE[: (end - sent) * SAMPLE_BYTES], end == total, inside, (time.perf_counter() - asked_s) * 1000
            )
            if end == total:
                return
            asked_s = time.perf_counter()
            due_s += to_ms(end - sent) / 1000 / self._settings.speed
            sent = end
