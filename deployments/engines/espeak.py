"""A voice without a model: espeak-ng, robotic but at once (first audio in 4 ms on 2 shared cores), English and Arabic.

In: a clause of at most 2,000 characters of plain text. Out: 16 kHz mono s16le; the first piece as soon as 40 ms are
there, later ones of at least 100 ms but for the last; silence around the clause cut to 20 ms before and 60 ms after,
because dead air is latency. A `WordMark` for each word between spaces: it ends where the next one begins.

Voices: "en": en-us, en-us+f3, en-us+m3, en-gb, en-gb+f3; "ar": ar, ar+f3, ar+m3 (f3 a woman's, m3 another man's).
espeak's flutter is random: two renderings of one text differ by some samples.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import av
import numpy as np

from configs.engines import EspeakTts
from deployments.contracts.audio import SAMPLE_RATE_HZ, to_samples
from deployments.contracts.errors import BadInput
from deployments.contracts.speech import SpeechAudio, SynthesisRequest, WordMark
from deployments.engines.espeak_library import Job, RawBlock, WordStart, shared_library

LONGEST_TEXT_CHARS = 2_000

# What this 1.52 calls "en" is British; it knows no "en-gb".
_VOICES = {
    "en": {"en-us": "en-us", "en-us+f3": "en-us+f3", "en-us+m3": "en-us+m3", "en-gb": "en", "en-gb+f3": "en+f3"},
    "ar": {"ar": "ar", "ar+f3": "ar+f3", "ar+m3": "ar+m3"},
}
_SLOWEST_WPM, _FASTEST_WPM = 80, 450
_WARM_UP = {"en": "hello", "ar": "مرحبا"}
_QUIET = 64
"""Largest sample that counts as silence (−54 dBFS); espeak's own silence is zeros."""
_LEAD = to_samples(20)
_TAIL = to_samples(60)
_FIRST_PIECE = to_samples(40)
_LATER_PIECE = to_samples(100)


class Espeak:
    """`TtsEngine`. Any number of requests at once, from any threads."""

    def __init__(self, settings: EspeakTts) -> None:
        self._settings = settings
        self._library = shared_library()
        for language, word in _WARM_UP.items():
            voice = next(iter(_VOICES[language]))
            for _ in self.synthesise(SynthesisRequest("warm-up", word, language, voice)):
                pass

    def voices(self) -> dict[str, tuple[str, ...]]:
        """Language → names of voices."""
        return {language: tuple(names) for language, names in _VOICES.items()}

    def synthesise(self, request: SynthesisRequest) -> Iterator[SpeechAudio]:
        """Speak one clause. Raises `BadInput` (`voice_unknown`, `text_too_long`, `speed_out_of_range`)."""
        voice = _voice(request)
        if len(request.text) > LONGEST_TEXT_CHARS:
            raise BadInput(
                "text_too_long",
                f"{len(request.text)} characters; at most {LONGEST_TEXT_CHARS} are spoken at once",
                "tts",
            )
        if not 0.5 <= request.speed <= 2.0:
            raise BadInput("speed_out_of_range", f"speed {request.speed} is not in 0.5 to 2.0", "tts")
        text = without_controls(request.text)
        if not _can_be_said(text):
            yield SpeechAudio(b"", last=True)
            return
        words_per_minute = round(self._settings.words_per_minute * request.speed)
        words_per_minute = min(max(words_per_minute, _SLOWEST_WPM), _FASTEST_WPM)
        job = self._library.start(Job(text, voice, words_per_minute, self._settings.pitch))
        try:
            yield from shape(text, job.blocks(), self._library.rate_hz)
        finally:
            job.cancelled = True


def without_controls(text: str) -> str:
    """As long as before, with spaces for control characters: espeak obeys some ("\\x0150P" sets the pitch)."""
    return "".join(" " if unicodedata.category(char) == "Cc" else char for char in text)


def shape(text: str, blocks: Iterable[list[RawBlock]], rate_hz: int) -> Iterator[SpeechAudio]:
    """Turn raw blocks into 16 kHz pieces with word marks, trimmed. However blocks are cut, the sound is the same."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
    marks = _Marks(text)
    silence = _SilenceTrimmer()
    sent = 0
    engine_ms = 0.0
    ready: list[np.ndarray] = []
    for batch in blocks:
        for block in batch:
            engine_ms += block.engine_ms
            marks.add(block.words)
            ready.append(silence.pass_on(_resample(resampler, block.pcm, rate_hz)))
        waiting = sum(map(len, ready))
        # One sample stays back, so that the last piece is never empty and holds the last mark.
        if waiting > (_LATER_PIECE if sent else _FIRST_PIECE):
            piece = np.concatenate(ready)
            ready = [piece[-1:]]
            sent += len(piece) - 1
            yield SpeechAudio(piece[:-1].tobytes(), False, marks.before(sent, silence.cut), engine_ms)
            engine_ms = 0.0
    ready.append(silence.pass_on(_resample(resampler, None, rate_hz)))
    piece = np.concatenate(ready)
    sent += len(piece)
    yield SpeechAudio(piece.tobytes(), True, marks.rest(sent, silence.cut) if sent else (), engine_ms)


class _SilenceTrimmer:
    """Drops silence before the first sound but 20 ms; holds silence back until sound follows, but for 60 ms."""

    def __init__(self) -> None:
        self.cut = 0
        """Samples dropped at the beginning."""
        self._held = np.empty(0, np.int16)
        self._begun = False
        self._tail_passed = 0
        """Samples of silence passed on since the last sound."""

    def pass_on(self, audio: np.ndarray) -> np.ndarray:
        """Take the next samples; return those that are certain to belong to the clause. (samples,) int16 both."""
        self._held = np.concatenate((self._held, audio))
        loud = np.flatnonzero((self._held > _QUIET) | (self._held < -_QUIET))
        if not self._begun:
            keep_from = max(0, (int(loud[0]) if len(loud) else len(self._held)) - _LEAD)
            self.cut += keep_from
            self._held = self._held[keep_from:]
            loud = loud - keep_from
            self._begun = len(loud) > 0
            if not self._begun:
                return self._held[:0]
        if len(loud):
            self._tail_passed = 0
            sure = int(loud[-1]) + 1
        else:
            sure = 0
        tail = min(len(self._held) - sure, _TAIL - self._tail_passed)
        self._tail_passed += tail
        passed, self._held = self._held[: sure + tail], self._held[sure + tail :]
        return passed


class _Marks:
    """Word marks of one clause, made from espeak's word starts.

    What counts are the words between spaces: espeak starts a number many times and miscounts characters inside it. Some
    words it speaks as one ("in the"), some not at all ("—"); such a word ends together with the one before it.
    """

    def __init__(self, text: str) -> None:
        self._ends = [word.end() for word in re.finditer(r"\S+", text)]
        self._starts: list[tuple[int, int]] = []
        """(number of the word, sample of its start before trimming), in order; the words that have not ended."""
        self._latest = 0

    def add(self, words: Iterable[WordStart]) -> None:
        """espeak has begun to speak these words."""
        for word in words:
            number = min(bisect_right(self._ends, word.char), len(self._ends) - 1)
            if not self._starts or number > self._starts[-1][0]:
                self._starts.append((number, to_samples(word.at_ms)))

    def before(self, sample: int, cut: int) -> tuple[WordMark, ...]:
        """Marks of the words that ended before `sample`; `cut` samples were dropped at the beginning."""
        ended = []
        while len(self._starts) > 1 and self._starts[1][1] - cut < sample:
            del self._starts[0]
            number, start = self._starts[0]
            # espeak rounds down to milliseconds: without the bound, a mark could lie 1 ms before its piece.
            self._latest = max(self._latest, start - cut)
            ended.append(WordMark(self._latest, self._ends[number - 1]))
        self._latest = sample
        return tuple(ended)

    def rest(self, total: int, cut: int) -> tuple[WordMark, ...]:
        """The marks left; the last word ends with the audio."""
        if not self._starts:
            return ()
        ended = self.before(total, cut)
        late = (WordMark(total, self._ends[number - 1]) for number, _ in self._starts[1:])
        return (*ended, *late, WordMark(total, self._ends[-1]))


def _resample(resampler: av.AudioResampler, pcm: bytes | None, rate_hz: int) -> np.ndarray:
    """To 16 kHz; None flushes. (samples,) int16."""
    frame = None
    if pcm == b"":
        return np.empty(0, np.int16)
    if pcm is not None:
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, np.int16)[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = rate_hz
    return np.concatenate([np.empty(0, np.int16), *(out.to_ndarray()[0] for out in resampler.resample(frame))])


def _voice(request: SynthesisRequest) -> str:
    voice = _VOICES.get(request.language, {}).get(request.voice)
    if voice is None:
        known = ", ".join(_VOICES.get(request.language, {})) or "none, the languages are " + ", ".join(_VOICES)
        raise BadInput(
            "voice_unknown", f"no voice {request.voice!r} for language {request.language!r}; there are: {known}", "tts"
        )
    return voice


def _can_be_said(text: str) -> bool:
    """Whether there is more than punctuation: espeak would read a lone "?" aloud by its name."""
    return any(unicodedata.category(char) in ("Sc", "So") or char.isalnum() or char in "%&@+" for char in text)
