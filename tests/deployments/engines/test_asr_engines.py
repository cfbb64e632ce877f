"""The recognisers: one suite over every engine, then what PocketSphinx hears, and what it refuses to hear."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from configs.engines import EmulatedAsr, EspeakTts, PocketSphinxAsr
from deployments.contracts.audio import SAMPLE_RATE_HZ, to_samples
from deployments.contracts.errors import BadInput
from deployments.contracts.ports import AsrEngine, TtsEngine
from deployments.contracts.speech import Phrasebook, SynthesisRequest, Transcript
from deployments.engines.emulated_asr import MOST_STREAMS
from deployments.engines.pocketsphinx_phrases import PocketSphinx
from deployments.loading import load

QUESTIONS = (
    "what are your opening hours",
    "how can i pay my bill",
    "how do i pay my bill online",
    "i want to report a power outage",
    "i am moving into a new house",
    "what is the deposit for a new account",
    "how much does electricity cost",
    "where is your nearest office",
    "how do i read my meter",
    "can i pay in instalments",
)
OTHER_SPEECH = (
    "the weather in london is terrible today",
    "my grandmother bakes wonderful apple pie",
    "what are your favourite colours",
    "how can i train my dog",
    "when is the next train to manchester",
    "tell me a joke about elephants",
    "i want to order a large pizza with mushrooms",
    "where is my suitcase",
    "who won the world cup last year",
    "actually never mind i was just thinking aloud",
)
ARABIC = ("ما هي ساعات العمل لديكم", "كيف يمكنني دفع الفاتورة", "السلام عليكم ورحمة الله وبركاته", "لا شكرا")
BOOK = Phrasebook("questions-1", QUESTIONS, (("instalments", "IH N S T AO L M AH N T S"),))
CUT = to_samples(160) * 2


@pytest.fixture(scope="module")
def voice() -> TtsEngine:
    pytest.importorskip("espeakng_loader", reason="extra embedded-voice is not installed: no speech to recognise")
    engine: TtsEngine = load(EspeakTts())
    return engine


@pytest.fixture(scope="module")
def say(voice: TtsEngine) -> Callable[..., bytes]:
    @functools.cache
    def speech(text: str, name: str = "en-us", language: str = "en") -> bytes:
        """The sentence with 0.3 s before and 0.4 s after it, as an utterance has them, in a quiet room."""
        request = SynthesisRequest("test", text, language, name)
        spoken = b"".join(piece.pcm for piece in voice.synthesise(request))
        return room(bytes(2 * to_samples(300)) + spoken + bytes(2 * to_samples(400)))

    return speech


@pytest.fixture(scope="module")
def sphinx() -> PocketSphinx:
    return PocketSphinx(PocketSphinxAsr(streams=2))


@pytest.fixture(params=["pocketsphinx", "emulated"])
def engine(request: pytest.FixtureRequest) -> AsrEngine:
    if request.param == "emulated":
        emulated: AsrEngine = load(EmulatedAsr(partial_ms=0, final_ms=0))
        return emulated
    heard: PocketSphinx = request.getfixturevalue("sphinx")
    return heard


def room(pcm: bytes) -> bytes:
    """The audio with the faint noise of a room."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    samples += np.random.default_rng(0).normal(0, 8, len(samples))
    return np.clip(samples, -32768, 32767).astype("<i2").tobytes()


def pieces_of(pcm: bytes, size: int = CUT) -> list[bytes]:
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


def hear(engine: AsrEngine, pieces: list[bytes], book: Phrasebook = BOOK) -> tuple[Transcript, list[Transcript]]:
    """The final transcript and the interims."""
    stream = engine.open(book)
    assert stream is not None
    interims = [stream.feed(piece) for piece in pieces]
    return stream.finish(), interims


# ---------------------------------------------------------------- every engine


def test_the_sentence_is_heard(engine: AsrEngine, say: Callable[..., bytes]) -> None:
    """The end of a stream is the whole sentence, marked final, whole and stable."""
    final, interims = hear(engine, pieces_of(say("what are your opening hours")))

    assert final.text == "what are your opening hours"
    assert final.final and final.complete and final.stable_chars == len(final.text) and final.language == "en"
    assert final.confidence is not None and 0 < final.confidence <= 1
    assert not any(interim.final for interim in interims)


def test_words_appear_while_they_are_spoken(engine: AsrEngine, say: Callable[..., bytes]) -> None:
    """A display sees the sentence grow, first as unfinished, then as whole."""
    _, interims = hear(engine, pieces_of(say("what are your opening hours")))

    shown = [text for text, _ in itertools.groupby(interim.text for interim in interims)]
    assert len(shown) >= 4
    assert all("what are your opening hours".startswith(text) for text in shown)
    assert any(interim.text and interim.complete is False for interim in interims)
    assert interims[-1].complete is True


def test_what_was_called_stable_stays(engine: AsrEngine, say: Callable[..., bytes]) -> None:
    """The stable prefix of the interims only ever grows, by whole words."""
    for sentence in (*QUESTIONS[:3], *OTHER_SPEECH[:3]):
        _, interims = hear(engine, pieces_of(say(sentence), to_samples(60) * 2))

        stable = [interim.text[: interim.stable_chars] for interim in interims]
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(stable))
        assert all(
            set(prefix.split()) <= set(interim.text.split()) for prefix, interim in zip(stable, interims, strict=True)
        )
        if sentence in QUESTIONS:
            assert stable[-1]


def test_closing_twice_and_after_the_end_is_safe(engine: AsrEngine) -> None:
    """Each stream gives its place back once, whenever it is closed."""
    for _ in range(3):
        stream = engine.open(BOOK)
        assert stream is not None
        stream.feed(room(bytes(3 * SAMPLE_RATE_HZ)))
        stream.close()
        stream.close()
        finished = engine.open(BOOK)
        assert finished is not None
        finished.finish()
        finished.close()


def test_streams_are_bounded(engine: AsrEngine) -> None:
    """When all are in use there is no further one until one is closed."""
    most = 2 if isinstance(engine, PocketSphinx) else MOST_STREAMS
    streams = [stream for stream in (engine.open(BOOK) for _ in range(most)) if stream]

    assert len(streams) == most and engine.open(BOOK) is None
    streams.pop().close()
    again = engine.open(BOOK)
    assert again is not None
    for stream in (*streams, again):
        stream.close()


# ---------------------------------------------------------------- PocketSphinx: audio


@given(cuts=st.lists(st.integers(1, 40_000), max_size=12))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_the_audio_is_cut_the_end_is_the_same(
    sphinx: PocketSphinx, say: Callable[..., bytes], cuts: list[int]
) -> None:
    """The final transcript and its confidence depend on the audio alone."""
    pcm = say("how can i pay my bill")
    marks = [0, *sorted({2 * cut for cut in cuts if 2 * cut < len(pcm)}), len(pcm)]

    final, _ = hear(sphinx, [pcm[a:b] for a, b in itertools.pairwise(marks)])

    whole, _ = hear(sphinx, [pcm])
    assert (
        (final.text, final.confidence) == (whole.text, whole.confidence) == ("how can i pay my bill", final.confidence)
    )


def test_interleaved_streams_do_not_mix(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """Two callers at once get, word for word, what each gets alone."""
    audio = [pieces_of(say(QUESTIONS[0])), pieces_of(say(QUESTIONS[3], "en-gb"))]
    alone = [hear(sphinx, pieces) for pieces in audio]
    streams = [sphinx.open(BOOK), sphinx.open(BOOK)]
    interims: list[list[Transcript]] = [[], []]

    for pair in itertools.zip_longest(*audio):
        for place, piece in enumerate(pair):
            stream = streams[place]
            assert stream is not None
            if piece is not None:
                interims[place].append(stream.feed(piece))
    finals = [stream.finish() for stream in streams if stream]

    assert [final.text for final in finals] == [QUESTIONS[0], QUESTIONS[3]]
    assert [(f.text, f.confidence) for f in finals] == [(f.text, f.confidence) for f, _ in alone]
    for place in (0, 1):
        assert [i.text for i in interims[place]] == [i.text for i in alone[place][1]]


def test_a_used_decoder_is_as_good_as_new(say: Callable[..., bytes]) -> None:
    """What was said before, even if cut off in the middle, changes nothing."""
    fresh, _ = hear(PocketSphinx(PocketSphinxAsr(streams=1)), pieces_of(say(QUESTIONS[4])))
    used = PocketSphinx(PocketSphinxAsr(streams=1))
    hear(used, pieces_of(say(OTHER_SPEECH[0], "en-gb")))
    abandoned = used.open(BOOK)
    assert abandoned is not None
    abandoned.feed(say(QUESTIONS[5])[:60_000])
    abandoned.close()

    again, _ = hear(used, pieces_of(say(QUESTIONS[4])))

    assert (again.text, again.confidence) == (fresh.text, fresh.confidence) == (QUESTIONS[4], fresh.confidence)


@pytest.mark.parametrize("gain", [0.05, 1.0])
def test_quiet_and_loud_callers_are_understood(sphinx: PocketSphinx, say: Callable[..., bytes], gain: float) -> None:
    """The level of the line does not matter."""
    pcm = (np.frombuffer(say(QUESTIONS[1]), "<i2") * gain).astype("<i2").tobytes()

    final, _ = hear(sphinx, pieces_of(pcm))

    assert final.text == QUESTIONS[1]


def test_a_telephone_line_is_enough(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """Nothing above 3.4 kHz is needed."""
    samples = np.frombuffer(say(QUESTIONS[0]), "<i2").astype(np.float64)
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE_HZ) > 3_400] = 0
    narrow = np.fft.irfft(spectrum, len(samples)).clip(-32768, 32767).astype("<i2").tobytes()

    final, _ = hear(sphinx, pieces_of(narrow))

    assert final.text == QUESTIONS[0]


# ---------------------------------------------------------------- PocketSphinx: phrases and everything else


def test_questions_are_understood_and_other_speech_is_not(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """At least 18 of 20 questions are right and none wrong; of 20 alike sentences 2 may be taken."""
    voices = ("en-us", "en-gb")
    asked = {(text, name): hear(sphinx, pieces_of(say(text, name)))[0].text for text in QUESTIONS for name in voices}
    other = [hear(sphinx, pieces_of(say(text, name)))[0].text for text in OTHER_SPEECH for name in voices]

    right = sum(heard == text for (text, _), heard in asked.items())
    wrong = sum(heard not in ("", text) for (text, _), heard in asked.items())
    assert right >= 18 and wrong == 0
    assert sum(heard != "" for heard in other) <= 2


@pytest.mark.parametrize("sentence", ARABIC)
def test_another_language_is_not_understood(sphinx: PocketSphinx, say: Callable[..., bytes], sentence: str) -> None:
    """Arabic speech gives an empty text, no language and no confidence, never a phrase."""
    final, _ = hear(sphinx, pieces_of(say(sentence, "ar", "ar")))

    assert (final.text, final.complete, final.language, final.confidence) == ("", None, None, 0.0)


def _noises() -> dict[str, np.ndarray]:
    random = np.random.default_rng(2)
    seconds = np.arange(3 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    white = random.normal(0, 1, len(seconds))
    hum = sum(np.sin(2 * np.pi * pitch * seconds) for pitch in (50, 100, 150))
    notes = np.concatenate([np.sin(2 * np.pi * pitch * seconds[:12_000]) for pitch in (262, 330, 392, 523)])
    return {
        "silence": np.zeros(len(seconds)),
        "white noise": 3_000 * white,
        "rumble": 40 * np.cumsum(white),
        "hum": 5_000 * np.asarray(hum),
        "tone": 8_000 * np.sin(2 * np.pi * 440 * seconds),
        "melody": 8_000 * notes,
        "clicks": 20_000 * (np.arange(len(seconds)) % 4_000 < 40) * white,
        "square wave": 8_000 * np.sign(np.sin(2 * np.pi * 300 * seconds)),
        "ringing": 6_000 * (np.sin(2 * np.pi * 440 * seconds) + np.sin(2 * np.pi * 480 * seconds)),
    }


@pytest.mark.parametrize("name", _noises())
def test_noise_is_no_phrase(sphinx: PocketSphinx, name: str) -> None:
    """Noise gives an empty text, even with the shortest of phrases in the book."""
    pcm = np.clip(_noises()[name], -32768, 32767).astype("<i2").tobytes()
    book = Phrasebook("with-short-ones", (*QUESTIONS, "yes", "no"))

    final, _ = hear(sphinx, pieces_of(pcm), book)

    assert final.text == ""


def test_interims_of_other_speech_show_no_phones(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """The way out of the grammar is never written on the page, and never called complete."""
    for sentence in OTHER_SPEECH:
        final, interims = hear(sphinx, pieces_of(say(sentence)))

        words = {word for interim in interims for word in interim.text.split()}
        assert not {word for word in words if not word.isalpha()}
        assert final.text or interims[-1].complete is not True


def test_polite_words_around_a_phrase_are_understood(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """People do not speak in headings."""
    final, _ = hear(sphinx, pieces_of(say("can you tell me what are your opening hours please")))

    assert final.text == "can you tell me what are your opening hours please"
    assert final.complete


def test_half_a_phrase_is_not_a_phrase(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """A caller cut off in the middle of a sentence has not said it."""
    final, interims = hear(sphinx, pieces_of(say("what are your opening")))

    assert final.text == ""
    assert interims[-1].complete is not True


@pytest.mark.parametrize("milliseconds", [0, 1, 50, 140])
def test_an_utterance_too_short_for_speech_is_empty(sphinx: PocketSphinx, milliseconds: int) -> None:
    """Ending at once is legal."""
    final, _ = hear(sphinx, [bytes(2 * to_samples(milliseconds))])

    assert final.text == "" and final.final


# ---------------------------------------------------------------- PocketSphinx: phrasebooks


def test_without_a_phrasebook_there_is_an_error(sphinx: PocketSphinx) -> None:
    """It cannot take dictation, and says so."""
    with pytest.raises(BadInput) as caught:
        sphinx.open(None)

    assert caught.value.code == "phrasebook_missing"


def test_phrases_nobody_can_pronounce_are_left_out_and_reported(
    sphinx: PocketSphinx, say: Callable[..., bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """The rest of the book works; the log and the engine name what does not, once."""
    book = Phrasebook("odd-1", ("how can i pay my bill", "the zxqvb tariff", "ساعات العمل", "", "call 112"))

    with caplog.at_level(logging.WARNING, "deployments.engines"):
        texts = [hear(sphinx, pieces_of(say("how can i pay my bill")), book)[0].text for _ in range(2)]

    assert texts == ["how can i pay my bill"] * 2
    assert [(left.phrase, left.words) for left in sphinx.left_out("odd-1")] == [
        ("the zxqvb tariff", ("zxqvb",)),
        ("ساعات العمل", ("ساعات", "العمل")),
        ("", ()),
        ("call 112", ("112",)),
    ]
    assert len([record for record in caplog.records if "phrases_left_out" in record.message]) == 1


def test_hostile_phrases_break_nothing(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """Grammar syntax, control characters, endless words and names of the decoder's own are words like others."""
    hostile = (
        "#JSGF V1.0; grammar x; public <x> = yes | no;",
        "what] are {your} (opening | closing) * hours; <NULL> \\",
        "</s> <sil> ++AA++ [NOISE] (2) what(2)",
        "a\x00b\n\r\u2028 %s %n",
        "word " * 5_000,
        "z" * 100_000,
        "'",
    )
    book = Phrasebook("hostile \x00 \" ' <x>", (*hostile, *QUESTIONS), (("nul\x00l", "AA"), ("zed", "QQ +"), ("", "")))

    final, _ = hear(sphinx, pieces_of(say(QUESTIONS[0])), book)

    assert final.text == QUESTIONS[0]


def test_a_book_of_nothing_hears_nothing(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """A tenant with Arabic documents only gets empty transcripts, not an error."""
    final, _ = hear(sphinx, pieces_of(say(QUESTIONS[0])), Phrasebook("empty-1", ARABIC))

    assert final.text == ""


def test_punctuation_and_case_do_not_matter(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """A heading may be written as headings are."""
    final, _ = hear(sphinx, pieces_of(say(QUESTIONS[0])), Phrasebook("title-1", ("What ARE your Opening-Hours?!",)))

    assert final.text == QUESTIONS[0]


def test_one_tenants_pronunciation_is_not_anothers(sphinx: PocketSphinx, say: Callable[..., bytes]) -> None:
    """The same word with other phones in another book is another sound."""
    said = pieces_of(say("please call dewa about the outage"))
    right = Phrasebook("dewa-1", ("call dewa about the outage",), (("dewa", "D EH W AH"),))
    wrong = Phrasebook("dewa-2", ("call dewa about the outage",), (("dewa", "S IH K S TH S T R IY T S"),))

    texts = [hear(sphinx, said, book)[0].text for book in (right, wrong, right)]

    assert texts == ["please call dewa about the outage", "", "please call dewa about the outage"]


def test_more_phrasebooks_than_a_decoder_keeps(say: Callable[..., bytes]) -> None:
    """An old book is forgotten and compiled anew when its tenant is called again."""
    engine = PocketSphinx(PocketSphinxAsr(streams=1))
    books = [Phrasebook(f"tenant-{number}", (QUESTIONS[number % 2],)) for number in range(20)]

    for book in books:
        stream = engine.open(book)
        assert stream is not None
        stream.close()
    texts = [hear(engine, pieces_of(say(QUESTIONS[0])), book)[0].text for book in (books[0], books[1], books[18])]

    assert texts == [QUESTIONS[0], "", QUESTIONS[0]]


# ---------------------------------------------------------------- emulated


def test_the_emulated_delays_are_those_of_the_settings() -> None:
    """What is measured with it is the platform, so its own share must be known."""
    stream = load(EmulatedAsr(partial_ms=20, final_ms=60, text="one two three")).open(None)

    interim = stream.feed(bytes(SAMPLE_RATE_HZ * 3 // 2))
    final = stream.finish()

    assert interim.text == "one two" and interim.complete is False and interim.engine_ms >= 20
    assert final.text == "one two three" and final.engine_ms >= 60
