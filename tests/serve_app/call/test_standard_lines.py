"""Sentences synthesised before they are needed: each once, whole or not at all."""

from __future__ import annotations

from deployments.contracts.audio import samples_in, to_samples
from deployments.contracts.errors import StageFailed
from serve_app.call.standard_lines import StandardLines
from tests.fakes.fake_call import WORD_MS, FakeTts
from tests.fakes.virtual_time import run_virtual

GONE = StageFailed("tts_gone", "not there", "tts")


def prepare(lines: StandardLines, *texts: str, language: str = "en", voice: str = "v") -> None:
    run_virtual(lines.prepare(list(texts), language, voice))


def test_a_prepared_line_has_all_of_its_audio_and_marks() -> None:
    lines = StandardLines(FakeTts())
    prepare(lines, "one moment please")

    line = lines.get("one moment please", "en", "v")
    assert line is not None and line.text == "one moment please"
    assert samples_in(line.pcm) == 3 * to_samples(WORD_MS)
    assert [mark.end_char for mark in line.marks] == [3, 10, 17]
    assert line.marks[-1].end_sample == samples_in(line.pcm)


def test_another_text_language_or_voice_is_another_line() -> None:
    lines = StandardLines(FakeTts())
    prepare(lines, "hello")

    assert lines.get("hello.", "en", "v") is None
    assert lines.get("hello", "ar", "v") is None
    assert lines.get("hello", "en", "w") is None


def test_a_line_is_synthesised_once() -> None:
    tts = FakeTts()
    lines = StandardLines(tts)
    prepare(lines, "hello", "goodbye")
    prepare(lines, "goodbye", "hello", "hello")

    assert tts.spoken == ["hello", "goodbye"]


def test_what_failed_stays_missing_and_is_tried_again() -> None:
    tts = FakeTts()
    lines = StandardLines(tts)
    tts.fails = GONE
    prepare(lines, "hello", "goodbye")
    assert lines.get("hello", "en", "v") is None and tts.open_streams == 0

    tts.fails = None
    prepare(lines, "hello", "goodbye")
    assert lines.get("hello", "en", "v") is not None and lines.get("goodbye", "en", "v") is not None


def test_half_a_line_is_no_line() -> None:
    class Breaks(FakeTts):
        async def _pieces(self, text: str):  # type: ignore[no-untyped-def]
            async for piece in super()._pieces(text):
                yield piece
                raise GONE

    lines = StandardLines(Breaks())
    prepare(lines, "hello there")

    assert lines.get("hello there", "en", "v") is None


def test_the_oldest_lines_make_room() -> None:
    lines = StandardLines(FakeTts(), most=2)
    prepare(lines, "one", "two", "three")

    assert [lines.get(text, "en", "v") is not None for text in ("one", "two", "three")] == [False, True, True]
