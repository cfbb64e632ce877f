"""The mouth: 20 ms frames out, silence within one frame of a stop, and an honest account of what was heard."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.audio import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, SILENT_FRAME
from deployments.contracts.speech import SpeechAudio, WordMark
from serve_app.call.playout import DUCKED_GAIN, Heard, Playout
from tests.fakes.fake_call import WORD_MS, FakeCall, FakeTts, a_profile
from tests.fakes.virtual_time import run_virtual

LEVEL = 10_000
WORD = 2 * FRAME_SAMPLES
"""Each word of a clause lasts two frames."""


def voice(samples: int, level: int = LEVEL) -> bytes:
    """A constant: each change of gain can be read off it."""
    return np.full(samples, level, "<i2").tobytes()


def marks_of(text: str) -> tuple[WordMark, ...]:
    ends = list(itertools.accumulate((len(word) + 1 for word in text.split()), initial=-1))[1:]
    return tuple(WordMark((place + 1) * WORD, end) for place, end in enumerate(ends))


def samples_of(frame: bytes) -> list[int]:
    return [int(sample) for sample in np.frombuffer(frame, "<i2")]


class Mouth:
    """A playout, a clock that counts its frames, and the changes it told of."""

    def __init__(self) -> None:
        self.frames = 0
        self.changes: list[int] = []
        self.playout = Playout(lambda: float(self.frames), lambda: self.changes.append(self.frames))

    def say(self, reply: int, text: str, *, marked: bool = True, aside: bool = False) -> None:
        self.playout.open_clause(reply, text, aside=aside)
        self.playout.add(reply, voice(WORD * len(text.split())), marks_of(text) if marked else ())
        self.playout.close_clause(reply)

    def play(self, frames: int = 1) -> list[bytes]:
        played = []
        for _ in range(frames):
            self.frames += 1
            played.append(self.playout.next_frame())
        return played

    @property
    def heard(self) -> Heard:
        return self.playout.heard()


def a_mouth_that_says(text: str, **more: Any) -> Mouth:
    mouth = Mouth()
    mouth.playout.begin(0)
    mouth.say(0, text, **more)
    return mouth


def test_before_the_first_reply_there_is_silence() -> None:
    mouth = Mouth()

    assert mouth.play(3) == [SILENT_FRAME] * 3
    assert mouth.heard.text == "" and not mouth.playout.audible and mouth.playout.underrun_frames == 0


@pytest.mark.parametrize("piece", [1, 100, 319, 321, 1600])
def test_whatever_the_pieces_frames_are_20_ms_and_the_audio_is_unchanged(piece: int) -> None:
    mouth, pcm = Mouth(), np.arange(1, 3001).astype("<i2").tobytes()
    mouth.playout.begin(0)
    mouth.playout.open_clause(0, "numbers")
    for at in range(0, len(pcm), piece * 2):
        mouth.playout.add(0, pcm[at : at + piece * 2])
    frames = mouth.play(12)

    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    assert b"".join(frames).rstrip(b"\0") == pcm.rstrip(b"\0")


def test_with_marks_the_words_whose_end_was_played_are_heard() -> None:
    mouth = a_mouth_that_says("one two three")

    texts = [mouth.heard.text]
    for _ in range(6):
        mouth.play()
        texts.append(mouth.heard.text)
    assert texts == ["", "", "one", "one", "one two", "one two", "one two three"]


def test_without_marks_the_share_of_the_audio_tells_how_many_whole_words_were_heard() -> None:
    mouth = a_mouth_that_says("one two three", marked=False)

    texts = []
    for _ in range(6):
        mouth.play()
        texts.append(mouth.heard.text)
    assert texts == ["", "one", "one", "one two", "one two", "one two three"]


def test_without_marks_nothing_counts_as_heard_while_the_length_is_unknown() -> None:
    mouth = Mouth()
    mouth.playout.begin(0)
    mouth.playout.open_clause(0, "one two")
    mouth.playout.add(0, voice(2 * WORD))
    mouth.play(4)

    assert mouth.heard.text == ""
    mouth.playout.close_clause(0)
    assert mouth.heard.text == "one two"


def test_a_reply_is_complete_only_when_all_of_it_was_played() -> None:
    mouth = a_mouth_that_says("one two")
    mouth.play(4)
    assert mouth.heard == Heard(0, "one two", complete=False)
    mouth.say(0, "three")
    mouth.playout.finish(0)

    assert not mouth.heard.complete and mouth.playout.audible and mouth.playout.ended_s is None
    mouth.play(2)
    assert mouth.heard == Heard(0, "one two three", complete=True)
    assert mouth.playout.ended_s == 6.0 and not mouth.playout.audible
    assert mouth.changes == [1, 6]


def test_a_reply_without_a_word_ends_at_once() -> None:
    mouth = Mouth()
    mouth.playout.begin(0)
    mouth.playout.finish(0)
    mouth.playout.finish(0)

    assert mouth.heard == Heard(0, "", complete=True)
    assert mouth.playout.ended_s == 0.0 and mouth.playout.first_frame_s is None
    assert mouth.changes == [0]


def test_an_aside_is_heard_but_is_no_part_of_the_reply() -> None:
    mouth = a_mouth_that_says("one moment please", aside=True)
    assert mouth.play()[0] == voice(FRAME_SAMPLES)
    mouth.play(5)
    mouth.say(0, "one two")

    assert mouth.heard.text == "" and mouth.playout.first_frame_s is None
    mouth.play(2)
    assert mouth.heard.text == "one" and mouth.playout.first_frame_s == 7.0


def test_an_aside_in_an_open_clause_leaves_that_clause_open() -> None:
    mouth = Mouth()
    mouth.playout.begin(0)
    mouth.playout.open_clause(0, "one two")
    mouth.say(0, "one moment", aside=True)
    mouth.play(4)
    mouth.playout.add(0, voice(2 * WORD), marks_of("one two"))
    mouth.playout.close_clause(0)
    mouth.playout.finish(0)
    mouth.play(4)

    assert mouth.heard == Heard(0, "one two", complete=True)
    assert mouth.playout.first_frame_s == 5.0


def test_a_stopped_reply_fades_within_one_frame_and_then_is_silent() -> None:
    mouth = a_mouth_that_says("one two three")
    mouth.play(3)
    heard = mouth.playout.stop(0)
    fade, *after = mouth.play(4)

    assert heard == Heard(0, "one", complete=False)
    assert samples_of(fade)[0] == LEVEL and samples_of(fade)[-1] == 0
    assert samples_of(fade) == sorted(samples_of(fade), reverse=True)
    assert after == [SILENT_FRAME] * 3
    assert mouth.heard.text == "one"
    assert mouth.playout.ended_s == 3.0 and not mouth.playout.audible


def test_stopping_twice_changes_nothing() -> None:
    mouth = a_mouth_that_says("one")
    mouth.play(2)
    first = mouth.playout.stop(0)
    changes = list(mouth.changes)

    assert first == Heard(0, "one", complete=False)
    assert mouth.playout.stop(0) == first
    assert mouth.changes == changes
    assert mouth.play(2) == [SILENT_FRAME] * 2


def test_a_reply_that_was_played_to_its_end_stays_complete_when_it_is_stopped() -> None:
    mouth = a_mouth_that_says("one")
    mouth.playout.finish(0)
    mouth.play(2)

    assert mouth.playout.stop(0) == Heard(0, "one", complete=True)
    assert mouth.playout.ended_s == 2.0


def test_what_comes_late_for_an_older_or_a_stopped_reply_is_dropped() -> None:
    mouth = a_mouth_that_says("one")
    mouth.playout.begin(1)
    mouth.play()  # the fade of reply 0
    mouth.playout.open_clause(1, "two")
    mouth.playout.open_clause(0, "late")

    assert not mouth.playout.add(0, voice(WORD))
    mouth.playout.close_clause(0)
    mouth.playout.finish(0)
    assert mouth.playout.stop(0) is None
    assert mouth.play() == [SILENT_FRAME] and mouth.playout.ended_s is None
    assert mouth.playout.add(1, voice(WORD), marks_of("two"))
    mouth.play(2)
    assert mouth.playout.stop(1) == Heard(1, "two", complete=False)
    assert not mouth.playout.add(1, voice(WORD))
    mouth.playout.open_clause(1, "later")
    assert not mouth.playout.add(1, voice(WORD))


def test_audio_without_an_open_clause_is_dropped() -> None:
    mouth = a_mouth_that_says("one")

    assert not mouth.playout.add(0, voice(WORD))
    mouth.play(2)
    assert mouth.heard.text == "one"
    assert mouth.play() == [SILENT_FRAME]


def test_reply_numbers_only_grow() -> None:
    mouth = a_mouth_that_says("one")

    with pytest.raises(ValueError, match="only grow"):
        mouth.playout.begin(0)


def test_a_new_reply_fades_out_what_was_left_of_the_one_before() -> None:
    mouth = a_mouth_that_says("one two")
    mouth.play()
    mouth.playout.begin(1)
    mouth.say(1, "three")
    fade, following = mouth.play(2)

    assert samples_of(fade)[0] == LEVEL and samples_of(fade)[-1] == 0
    assert following == voice(FRAME_SAMPLES)
    assert mouth.heard.reply == 1 and mouth.playout.first_frame_s == 3.0


def test_late_audio_inside_a_reply_is_counted_as_underrun() -> None:
    mouth = Mouth()
    mouth.playout.begin(0)
    mouth.play(5)  # before the first word nothing is late
    mouth.say(0, "one")
    mouth.play(2 + 3)
    mouth.say(0, "two")
    mouth.playout.finish(0)
    mouth.play(2 + 5)

    assert mouth.playout.underrun_frames == 3


def test_ducking_and_unducking_move_the_gain_over_a_frame_without_a_jump() -> None:
    mouth = a_mouth_that_says("a b c d e")
    played = mouth.play(2)
    mouth.playout.duck()
    played += mouth.play(3)
    mouth.playout.unduck()
    played += mouth.play(3)
    gains = np.array([sample / LEVEL for frame in played for sample in samples_of(frame)])

    steepest = (1 - DUCKED_GAIN) / (FRAME_SAMPLES - 1)
    assert np.abs(np.diff(gains)).max() <= steepest + 2 / LEVEL
    assert gains[: 2 * FRAME_SAMPLES].min() == 1.0
    assert gains[3 * FRAME_SAMPLES : 5 * FRAME_SAMPLES] == pytest.approx(DUCKED_GAIN, abs=1 / LEVEL)
    assert gains[6 * FRAME_SAMPLES :].min() == 1.0


def test_a_voice_ducked_in_a_silence_comes_back_ducked_from_its_first_sample() -> None:
    mouth = a_mouth_that_says("one")
    mouth.play(2)
    mouth.playout.duck()
    mouth.play(2)
    mouth.say(0, "two")

    assert samples_of(mouth.play()[0]) == pytest.approx([LEVEL * DUCKED_GAIN] * FRAME_SAMPLES, abs=1)


def test_a_ducked_voice_fades_from_where_it_is_and_the_next_reply_is_at_full_voice() -> None:
    mouth = a_mouth_that_says("one two")
    mouth.playout.duck()
    mouth.play(2)
    mouth.playout.stop(0)
    mouth.playout.begin(1)
    mouth.say(1, "three")
    fade, following = mouth.play(2)

    assert samples_of(fade)[0] == pytest.approx(LEVEL * DUCKED_GAIN, abs=1)
    assert following == voice(FRAME_SAMPLES)


WORDS = st.lists(st.sampled_from(["a", "hour", "Friday,", "ساعة", "12.5"]), min_size=1, max_size=6).map(" ".join)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), WORDS, st.booleans()),
        st.tuples(st.just("aside"), WORDS, st.booleans()),
        st.tuples(st.just("play"), st.integers(1, 9), st.none()),
        st.tuples(st.sampled_from(["duck", "unduck", "finish", "stop", "begin"]), st.none(), st.none()),
    ),
    max_size=40,
)


@given(STEPS)
@settings(deadline=None, max_examples=200)
def test_what_was_heard_is_always_a_beginning_of_what_was_said_and_only_grows(steps: list[Any]) -> None:
    mouth, reply, said = Mouth(), 0, ""
    mouth.playout.begin(0)
    before = mouth.heard
    for step, value, marked in steps:
        ended_before = mouth.playout.ended_s is not None
        if step == "begin":
            reply, said = reply + 1, ""
            mouth.playout.begin(reply)
            ended_before, before = False, mouth.heard
        elif step in ("say", "aside"):
            mouth.say(reply, value, marked=marked, aside=step == "aside")
            if step == "say":
                said = f"{said} {value}".strip()
        elif step == "play":
            assert {len(frame) for frame in mouth.play(value)} == {FRAME_BYTES}
        elif step in ("finish", "stop"):
            getattr(mouth.playout, step)(reply)
        else:
            getattr(mouth.playout, step)()
        heard = mouth.heard

        assert heard.text.split() == said.split()[: len(heard.text.split())]
        assert heard.text.startswith(before.text)
        assert not heard.complete or mouth.playout.ended_s is not None
        assert mouth.playout.ended_s is None or not mouth.playout.audible
        assert not ended_before or heard == before
        before = heard


class SlowTts(FakeTts):
    """Half a second to the first sound."""

    async def _pieces(self, text: str) -> AsyncIterator[SpeechAudio]:
        await asyncio.sleep(0.5)
        async for piece in super()._pieces(text):
            yield piece


@pytest.mark.parametrize("filler_after_ms", range(510, 535, 2))
def test_a_bridge_never_comes_between_the_words_of_an_answer(filler_after_ms: int) -> None:
    async def play() -> None:
        call = FakeCall(profile=a_profile(budgets={"filler_after_ms": filler_after_ms}))
        call.tts = SlowTts()
        async with call:
            await call.greeted()
            before = len(call.line.played)
            call.session.say_typed("what are your opening hours")
            ledger = await call.until("turn.ledger", turn=1)
            bridge_ms = call.line.loud_ms(before) - 13 * WORD_MS

            began_ms = ledger["stages"]["playout"]["first_ms"]
            assert bridge_ms == 0 or began_ms > filler_after_ms + bridge_ms - 2 * FRAME_MS

    run_virtual(play())


def test_an_answer_whose_voice_was_slow_is_remembered_though_a_bridge_was_said_meanwhile() -> None:
    async def play() -> None:
        call = FakeCall(profile=a_profile(budgets={"filler_after_ms": 250}))
        call.tts = SlowTts()  # the standard lines have been prepared with the quick one
        async with call:
            await call.greeted()
            call.session.say_typed("what are your opening hours")
            heard = await call.until("agent.heard", turn=1)
            ledger = await call.until("turn.ledger", turn=1)

            assert heard["text"].startswith("We are open from eight to eight.") and heard["complete"]
            assert ledger["stages"]["playout"]["first_ms"] > 500

    run_virtual(play())
