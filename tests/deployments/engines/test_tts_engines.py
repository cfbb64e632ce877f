"""The voices: one suite over every engine, then what each promises by itself."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.engines import EmulatedTts, EspeakTts
from deployments.contracts.audio import to_samples
from deployments.contracts.errors import BadInput, MissingPart
from deployments.contracts.ports import TtsEngine
from deployments.contracts.speech import SpeechAudio, SynthesisRequest, WordMark
from deployments.engines.espeak import shape
from deployments.engines.espeak_library import RawBlock, WordStart
from deployments.loading import load

SENTENCE = "Our branch in the Dubai Marina is open every day until ten."
ARABIC = "مرحبا، نحن مفتوحون من الساعة ٨:٣٠ كل يوم."
NUMBERS = "It costs 1,250.75 at 8:30, well-known e.g. in town!"
LONG = "word number " * 160
RAW_HZ = 22_050


@pytest.fixture(scope="module")
def espeak() -> TtsEngine:
    pytest.importorskip("espeakng_loader", reason="extra embedded-voice is not installed")
    engine: TtsEngine = load(EspeakTts())
    return engine


@pytest.fixture(params=["espeak", "emulated"])
def engine(request: pytest.FixtureRequest) -> TtsEngine:
    if request.param == "espeak":
        found: TtsEngine = request.getfixturevalue("espeak")
        return found
    emulated: TtsEngine = load(EmulatedTts(first_audio_ms=1, speed=1000))
    return emulated


def request_for(
    engine: TtsEngine, text: str, language: str = "en", voice: str = "", speed: float = 1
) -> SynthesisRequest:
    return SynthesisRequest("test", text, language, voice or engine.voices()[language][0], speed)


def speak(engine: TtsEngine, text: str, language: str = "en", voice: str = "", speed: float = 1) -> list[SpeechAudio]:
    return list(engine.synthesise(request_for(engine, text, language, voice, speed)))


def sound(pieces: list[SpeechAudio]) -> np.ndarray:
    """(samples,) int32, so that squares do not overflow."""
    return np.frombuffer(b"".join(piece.pcm for piece in pieces), np.int16).astype(np.int32)


def marks_of(pieces: list[SpeechAudio]) -> list[WordMark]:
    return [mark for piece in pieces for mark in piece.marks]


def check_stream(pieces: list[SpeechAudio], text: str) -> None:
    """What holds for every stream of pieces."""
    assert [piece.last for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    begin = 0
    for piece in pieces:
        end = begin + len(piece.pcm) // 2
        assert all(begin <= mark.end_sample <= end for mark in piece.marks)
        begin = end
    ends = [(mark.end_sample, mark.end_char) for mark in marks_of(pieces)]
    assert ends == sorted(ends)
    assert len({char for _, char in ends}) == len(ends)
    assert all(char <= len(text) for _, char in ends)


# ---------------------------------------------------------------- every engine


@pytest.mark.parametrize(("language", "text"), [("en", SENTENCE), ("ar", ARABIC)])
def test_a_clause_is_loud_audio_in_pieces_of_100_ms(engine: TtsEngine, language: str, text: str) -> None:
    pieces = speak(engine, text, language)

    check_stream(pieces, text)
    assert all(len(piece.pcm) // 2 >= to_samples(100) for piece in pieces[1:-1])
    assert np.sqrt(np.mean(sound(pieces) ** 2)) > 1000
    assert all(piece.engine_ms > 0 for piece in pieces[:-1])


@pytest.mark.parametrize(("language", "text"), [("en", "We open — every day"), ("ar", ARABIC), ("en", NUMBERS)])
def test_every_word_has_its_mark_and_the_last_one_ends_with_the_audio(
    engine: TtsEngine, language: str, text: str
) -> None:
    pieces = speak(engine, text, language)

    marks = marks_of(pieces)
    marked = [text[: mark.end_char].split()[-1] for mark in marks]
    # A dash is no sound: a voice may end it together with the word before it.
    assert marked in (text.split(), text.replace("open —", "—").split())
    assert marks[-1] == WordMark(len(sound(pieces)), len(text))


@pytest.mark.parametrize("text", ["", "   \n"])
def test_nothing_to_say_is_one_empty_last_piece(engine: TtsEngine, text: str) -> None:
    pieces = speak(engine, text)

    assert [(piece.pcm, piece.last, piece.marks) for piece in pieces] == [(b"", True, ())]


@pytest.mark.parametrize("speed", [0.4, 2.1, float("nan")])
def test_an_impossible_speed_is_refused(engine: TtsEngine, speed: float) -> None:
    with pytest.raises(BadInput) as caught:
        speak(engine, "hello", speed=speed)

    assert caught.value.code == "speed_out_of_range"


def test_twice_the_speed_is_about_half_as_long(engine: TtsEngine) -> None:
    normal, fast = (len(sound(speak(engine, SENTENCE, speed=speed))) for speed in (1.0, 2.0))

    assert 0.4 < fast / normal < 0.65


# ---------------------------------------------------------------- espeak


def timbre(pieces: list[SpeechAudio]) -> np.ndarray:
    """(513,) log of the average power spectrum."""
    audio = sound(pieces)
    frames = audio[: len(audio) // 1024 * 1024].reshape(-1, 1024) * np.hanning(1024)
    return np.log(np.mean(np.abs(np.fft.rfft(frames, axis=1)) ** 2, axis=0) + 1)


def test_every_voice_speaks_and_none_like_another(espeak: TtsEngine) -> None:
    timbres = np.array(
        [
            timbre(speak(espeak, SENTENCE, language, voice))
            for language, voices in espeak.voices().items()
            for voice in voices
        ]
    )

    distances = np.abs(timbres[:, None] - timbres[None]).mean(axis=-1)
    # Measured: two renderings by one voice differ by at most 0.23, two voices by at least 0.36.
    assert distances[~np.eye(len(timbres), dtype=bool)].min() > 0.3


def test_silence_around_a_clause_is_short_and_nothing_clips(espeak: TtsEngine) -> None:
    for text, language in [(SENTENCE, "en"), (ARABIC, "ar"), (NUMBERS, "en"), ("fish... hush", "en")]:
        audio = np.abs(sound(speak(espeak, text, language)))
        loud = np.flatnonzero(audio > 64)

        assert loud[0] <= to_samples(20)
        assert len(audio) - loud[-1] <= to_samples(60) + 1
        assert audio.max() < 32_767


def test_words_spoken_as_one_end_together(espeak: TtsEngine) -> None:
    text = "Our branch in the Marina"

    marks = marks_of(speak(espeak, text))

    assert [text[: mark.end_char] for mark in marks] == ["Our", "Our branch", "Our branch in the", text]


@pytest.mark.parametrize("text", ["...", "?!", "—", "« »", "- - -"])
def test_punctuation_alone_is_silent(espeak: TtsEngine, text: str) -> None:
    assert speak(espeak, text) == [SpeechAudio(b"", last=True)]


@pytest.mark.parametrize(
    ("text", "language", "voice", "code"),
    [
        ("hello", "en", "nobody", "voice_unknown"),
        ("hello", "en", "../en-us", "voice_unknown"),
        ("hello", "ar", "en-us", "voice_unknown"),
        ("bonjour", "fr", "fr", "voice_unknown"),
        ("a" * 2_001, "en", "en-us", "text_too_long"),
    ],
)
def test_what_cannot_be_spoken_is_refused(espeak: TtsEngine, text: str, language: str, voice: str, code: str) -> None:
    with pytest.raises(BadInput) as caught:
        speak(espeak, text, language, voice)

    assert caught.value.code == code


def test_the_longest_text_is_spoken_whole(espeak: TtsEngine) -> None:
    pieces = speak(espeak, LONG)

    check_stream(pieces, LONG)
    assert len(marks_of(pieces)) == 320


@pytest.mark.parametrize(
    "text", ["hello 😀 there", "\u200fمرحبا\u200e hi", "a\x00b", "\ud800 lone", "日本語", "e\u0301te\u0301"]
)
def test_unusual_characters_survive(espeak: TtsEngine, text: str) -> None:
    pieces = speak(espeak, text)

    check_stream(pieces, text)
    assert len(sound(pieces)) > 0


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60), language=st.sampled_from(["en", "ar"]))
def test_any_text_gives_a_sound_stream(espeak: TtsEngine, text: str, language: str) -> None:
    check_stream(speak(espeak, text, language), text)


def test_neither_control_characters_nor_markup_command_the_voice(espeak: TtsEngine) -> None:
    plain = len(sound(speak(espeak, "hi")))

    assert len(sound(speak(espeak, "\x0150P hi"))) > 2 * plain
    assert len(sound(speak(espeak, '<mark name="x"/>'))) > plain
    assert len(sound(speak(espeak, "[[haI]]"))) > 1.2 * plain


def loudness(pieces: list[SpeechAudio]) -> np.ndarray:
    """(100 ms frames,) root mean square."""
    audio = sound(pieces)
    return np.sqrt(np.mean(audio[: len(audio) // 1600 * 1600].reshape(-1, 1600) ** 2, axis=1))


def alike(one: list[SpeechAudio], other: list[SpeechAudio]) -> bool:
    """Whether both are renderings of one text: espeak's chance moves words by some 10 ms."""
    ends = [(mark.end_char, mark.end_sample) for mark in marks_of(one)]
    others = [(mark.end_char, mark.end_sample) for mark in marks_of(other)]
    if len(ends) != len(others):
        return False
    if any(a[0] != b[0] or abs(a[1] - b[1]) > to_samples(80) for a, b in zip(ends, others, strict=True)):
        return False
    shorter = min(len(loudness(one)), len(loudness(other)))
    return bool(np.corrcoef(loudness(one)[:shorter], loudness(other)[:shorter])[0, 1] > 0.8)


def test_requests_at_once_never_mix(espeak: TtsEngine) -> None:
    lines = [
        ("en", SENTENCE),
        ("ar", ARABIC),
        ("en", NUMBERS),
        ("ar", ARABIC[::-1]),
        ("en", "Yes."),
        ("en", LONG[:300]),
    ]
    alone = [speak(espeak, text, language) for language, text in lines]

    with ThreadPoolExecutor(len(lines)) as threads:
        together = list(threads.map(lambda line: speak(espeak, line[1], line[0]), lines))

    assert [alike(a, b) for a, b in zip(alone, together, strict=True)] == [True] * len(lines)
    assert not alike(alone[0], alone[2])


def test_two_streams_read_in_turn_stay_apart(espeak: TtsEngine) -> None:
    one, other = (espeak.synthesise(request_for(espeak, text)) for text in (SENTENCE, NUMBERS))

    heard: tuple[list[SpeechAudio], list[SpeechAudio]] = ([next(one)], [next(other)])
    for mine, stream in ((heard[1], other), (heard[0], one)):
        mine.extend(stream)

    assert alike(heard[0], speak(espeak, SENTENCE))
    assert alike(heard[1], speak(espeak, NUMBERS))


def test_two_engines_in_a_process_keep_their_own_settings(espeak: TtsEngine) -> None:
    slow: TtsEngine = load(EspeakTts(words_per_minute=80))

    lengths = [len(sound(speak(engine, SENTENCE))) for engine in (espeak, slow, espeak)]

    assert lengths[1] > 1.5 * lengths[0]
    assert lengths[2] < 1.1 * lengths[0]


def test_closing_a_stream_frees_the_voice_for_the_next(espeak: TtsEngine) -> None:
    begun_s = time.perf_counter()
    speak(espeak, LONG)
    whole_s = time.perf_counter() - begun_s

    begun_s = time.perf_counter()
    for _ in range(10):
        stream = espeak.synthesise(request_for(espeak, LONG))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert alike(speak(espeak, "Yes please."), speak(espeak, "Yes please."))
    cancelled_s = time.perf_counter() - begun_s

    assert cancelled_s < 5 * whole_s  # not stopped, the ten would take 10 × whole_s


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)

    with pytest.raises(MissingPart) as caught:
        load(EspeakTts())

    assert "pip install 'dukat[embedded-voice]'" in caught.value.detail


# ---------------------------------------------------------------- from espeak's blocks to pieces


def in_blocks(raw: np.ndarray, starts: list[WordStart], sizes: list[int]) -> Iterator[list[RawBlock]]:
    """`raw` in blocks of these sizes and a rest; each word start comes with the block it lies in."""
    begin = 0
    for size in [*sizes, len(raw)]:
        end = min(begin + size, len(raw))
        words = tuple(word for word in starts if begin <= word.at_ms * RAW_HZ / 1000 < end)
        yield [RawBlock(raw[begin:end].tobytes(), words, engine_ms=1.0)]
        begin = end


def raw_clause(lead_ms: int, pause_ms: int, tail_ms: int) -> tuple[np.ndarray, list[WordStart]]:
    """Silence, 300 ms of tone, a pause, 300 ms of tone, silence; text "one two"."""
    tone = (8_000 * np.sin(np.arange(RAW_HZ * 300 // 1000) * 2 * np.pi * 300 / RAW_HZ)).astype(np.int16)
    lead, pause, tail = (np.zeros(RAW_HZ * ms // 1000, np.int16) for ms in (lead_ms, pause_ms, tail_ms))
    return np.concatenate((lead, tone, pause, tone, tail)), [
        WordStart(0, lead_ms),
        WordStart(4, lead_ms + 300 + pause_ms),
    ]


@given(sizes=st.lists(st.integers(0, 3_000), max_size=30))
def test_the_sound_does_not_depend_on_how_blocks_are_cut(sizes: list[int]) -> None:
    raw, starts = raw_clause(lead_ms=80, pause_ms=200, tail_ms=150)
    whole = list(shape("one two", in_blocks(raw, starts, []), RAW_HZ))

    pieces = list(shape("one two", in_blocks(raw, starts, sizes), RAW_HZ))

    check_stream(pieces, "one two")
    assert np.array_equal(sound(pieces), sound(whole))
    for mark, expected in zip(marks_of(pieces), marks_of(whole), strict=True):
        assert mark.end_char == expected.end_char
        assert abs(mark.end_sample - expected.end_sample) <= to_samples(1)


@pytest.mark.parametrize(("lead_ms", "tail_ms"), [(0, 0), (10, 30), (400, 500)])
def test_silence_is_cut_around_the_clause_but_not_inside(lead_ms: int, tail_ms: int) -> None:
    raw, starts = raw_clause(lead_ms, pause_ms=500, tail_ms=tail_ms)

    pieces = list(shape("one two", in_blocks(raw, starts, [1_323] * 40), RAW_HZ))

    lead_kept, tail_kept = min(lead_ms, 20), min(tail_ms, 60)
    assert abs(len(sound(pieces)) - to_samples(lead_kept + 300 + 500 + 300 + tail_kept)) <= to_samples(2)
    first, last = marks_of(pieces)
    assert abs(first.end_sample - to_samples(lead_kept + 300 + 500)) <= to_samples(2)
    assert last == WordMark(len(sound(pieces)), 7)


def test_resampling_keeps_the_tone() -> None:
    raw, starts = raw_clause(lead_ms=0, pause_ms=0, tail_ms=0)

    audio = sound(list(shape("one two", in_blocks(raw, starts, [1_323] * 40), RAW_HZ)))

    spectrum = np.abs(np.fft.rfft(audio[:4_000]))
    assert np.argmax(spectrum) * 16_000 / 4_000 == 300
    assert abs(int(np.abs(audio).max()) - 8_000) < 400


# ---------------------------------------------------------------- the emulated voice


def test_the_tone_is_400_hz_and_as_long_as_its_words() -> None:
    engine: TtsEngine = load(EmulatedTts(first_audio_ms=0, speed=1000, ms_per_word=250))

    audio = sound(speak(engine, "one two three"))

    assert len(audio) == to_samples(750)
    assert np.argmax(np.abs(np.fft.rfft(audio))) * 16_000 / len(audio) == 400
    assert abs(int(audio.max()) - 0.3 * 32_767) < 1


def test_the_tone_keeps_its_schedule() -> None:
    engine: TtsEngine = load(EmulatedTts(first_audio_ms=60, speed=10, ms_per_word=100))
    begun_s = time.perf_counter()

    arrived_ms = []
    for piece in engine.synthesise(request_for(engine, "one two three four")):
        arrived_ms.append((time.perf_counter() - begun_s) * 1000)
        assert 0 < piece.engine_ms < arrived_ms[-1] + 1

    assert all(at_ms >= due_ms for at_ms, due_ms in zip(arrived_ms, [60, 70, 80, 90], strict=True))
