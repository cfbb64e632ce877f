"""One utterance through the recogniser: nothing lost, nothing twice, whatever fails, forgets or hangs in between."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from deployments.contracts.audio import FRAME_SAMPLES, HeardAudio, samples_in
from deployments.contracts.errors import StageBusy, StageFailed
from deployments.contracts.speech import NeedAudio, Phrasebook, SpeechPiece, Transcript
from serve_app.call.ear import Ear
from serve_app.call.recognition import MOST_RESENDS, Recognition
from tests.fakes.virtual_time import run_virtual

STEP = 8 * FRAME_SAMPLES
FROM = 1000
"""Sample at which the utterance begins."""
BOOK = Phrasebook("b1", ("yes", "no"))
BUSY = StageBusy("asr_busy", "the queue is full", "asr")


class Recogniser:
    """Answers what was put into `answers`, then a transcript of the samples it has; each answer takes `takes_s`."""

    def __init__(self) -> None:
        self.answers: list[Transcript | NeedAudio | Exception] = []
        self.takes_s = 0.005
        self.pieces: list[SpeechPiece] = []
        self.books: list[Phrasebook | None] = []
        self.log: list[str] = []
        self.under_way = 0
        self.forget_fails: Exception | None = None

    async def hear(self, piece: SpeechPiece, phrasebook: Phrasebook | None) -> Transcript | NeedAudio:
        assert self.under_way == 0, "two pieces of an utterance at once"
        self.pieces.append(piece)
        self.books.append(phrasebook)
        self.under_way += 1
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.under_way -= 1
        self.log.append("heard")
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer or Transcript(f"{piece.offset + samples_in(piece.pcm)}", piece.last, complete=piece.last)

    async def forget(self, utterance: str) -> None:
        self.log.append(f"forgot {utterance}")
        if self.forget_fails is not None:
            raise self.forget_fails


class Utterance:
    """A caller who speaks, and the recognition of it. Inside `async with` the pieces are followed."""

    def __init__(self, asr: Recogniser) -> None:
        self.asr = asr
        self.ear = Ear()
        self.came = asyncio.Event()
        self.interims: list[Transcript] = []
        self.recognition = Recognition(asr, self.ear, BOOK, "c1-1", FROM, STEP, "en", self.interims.append)
        self.ear.add(HeardAudio(self._audio(FROM), 0.0))

    async def __aenter__(self) -> Utterance:
        self.following = asyncio.create_task(self.recognition.follow(self.came))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.came.set()
        self.following.cancel()
        await asyncio.wait([self.following])

    def _audio(self, samples: int) -> bytes:
        return np.arange(self.ear.heard, self.ear.heard + samples).astype("<u2").tobytes()

    async def speak(self, frames: int) -> None:
        for _ in range(frames):
            self.ear.add(HeardAudio(self._audio(FRAME_SAMPLES), 0.0))
            self.came.set()
            await asyncio.sleep(0.02)

    def utterance(self, until: int) -> bytes:
        return self.ear.between(FROM, until)


def played(talk: Any) -> None:
    """Run `talk(recogniser)` in virtual time."""
    work: Coroutine[Any, Any, None] = talk(Recogniser())
    run_virtual(work)


def assert_contiguous(pieces: list[SpeechPiece], from_sample: int = 0) -> None:
    expected = from_sample
    for piece in pieces:
        assert piece.offset == expected
        expected += samples_in(piece.pcm)


def test_the_pieces_joined_are_the_utterance() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            await said.speak(45)
            end = said.ear.heard - 100
            final = await said.recognition.finish(end)

            assert final.final and final.text == str(end - FROM)
            assert_contiguous(asr.pieces)
            assert b"".join(piece.pcm for piece in asr.pieces) == said.utterance(end)
            assert [piece.last for piece in asr.pieces] == [False] * (len(asr.pieces) - 1) + [True]
            assert all(samples_in(piece.pcm) >= STEP for piece in asr.pieces[:-1]) and len(asr.pieces) == 6
            assert {(piece.utterance, piece.language) for piece in asr.pieces} == {("c1-1", "en")}
            assert asr.books == [BOOK, None, None, None, None, None]

    played(talk)


def test_audio_heard_after_the_end_of_the_turn_is_not_sent_again() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            await said.speak(8)
            await said.recognition.finish(said.ear.heard - 3 * FRAME_SAMPLES)

            assert (asr.pieces[-1].offset, asr.pieces[-1].pcm) == (STEP, b"")
            assert asr.pieces[-1].last

    played(talk)


def test_a_short_utterance_is_one_piece() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            await said.speak(3)
            await said.recognition.finish(said.ear.heard)

            assert [(piece.offset, piece.last) for piece in asr.pieces] == [(0, True)]
            assert asr.books == [BOOK]

    played(talk)


def test_a_recogniser_that_lost_the_utterance_gets_the_whole_with_its_phrasebook() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            await said.speak(16)
            asr.answers = [NeedAudio("c1-1")]
            await said.recognition.finish(said.ear.heard)

            assert asr.pieces[-2].offset == STEP * 2 and asr.books[-2] is None
            assert asr.pieces[-1] == SpeechPiece("c1-1", 0, said.utterance(said.ear.heard), True, "en")
            assert asr.books[-1] == BOOK

    played(talk)


def test_a_recogniser_that_has_a_part_gets_the_rest_without_the_phrasebook() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            await said.speak(8)
            asr.answers = [NeedAudio("c1-1", from_sample=640)]
            await said.recognition.finish(said.ear.heard)

            assert asr.pieces[-1].offset == 640
            assert asr.pieces[-1].pcm == said.utterance(said.ear.heard)[640 * 2 :]
            assert asr.books[-1] is None

    played(talk)


def test_a_recogniser_that_always_forgets_is_given_up() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            asr.answers = [NeedAudio("c1-1")] * 10
            await said.speak(3)

            with pytest.raises(StageFailed) as raised:
                await said.recognition.finish(said.ear.heard)
            assert raised.value.code == "asr_forgetful"
            assert len(asr.pieces) == MOST_RESENDS

    played(talk)


def test_a_piece_that_failed_is_part_of_the_next() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            asr.answers = [Transcript("x", False), BUSY]
            await said.speak(30)
            await said.recognition.finish(said.ear.heard)

            lost, again = asr.pieces[1], asr.pieces[2]
            assert lost.offset == again.offset == STEP
            assert again.pcm.startswith(lost.pcm) and len(again.pcm) > len(lost.pcm)
            assert_contiguous([asr.pieces[0], *asr.pieces[2:]])

    played(talk)


def test_a_final_that_fails_is_an_error_of_the_stage() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            await said.speak(3)
            asr.answers = [BUSY]

            with pytest.raises(StageBusy):
                await said.recognition.finish(said.ear.heard)

    played(talk)


def test_the_final_waits_for_the_piece_under_way_and_that_piece_shows_no_interim_any_more() -> None:
    async def talk(asr: Recogniser) -> None:
        asr.takes_s = 0.5
        async with Utterance(asr) as said:
            await said.speak(10)
            assert asr.under_way == 1
            final = await said.recognition.finish(said.ear.heard)

            assert final.final
            assert_contiguous(asr.pieces)
            assert said.interims == []
            await said.speak(20)
            assert len(asr.pieces) == 2 and said.following.done()

    played(talk)


def test_an_interim_is_shown_when_it_differs_and_its_belief_is_always_the_newest() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            assert said.recognition.complete is None
            asr.answers = [Transcript("one", False), Transcript("one", False, complete=True), Transcript("two", False)]
            await said.speak(17)
            assert said.recognition.complete is True
            await said.speak(9)

            assert [interim.text for interim in said.interims] == ["one", "two"]

    played(talk)


def test_cancelling_while_a_piece_is_under_way_leaves_the_utterance_whole() -> None:
    async def talk(asr: Recogniser) -> None:
        async with Utterance(asr) as said:
            await said.speak(9)
            asr.takes_s = 60
            await said.speak(9)
            assert asr.under_way == 1
            said.following.cancel()
            await asyncio.wait([said.following])
            asr.takes_s = 0.005
            final = await said.recognition.finish(said.ear.heard)

            assert final.final and final.text == str(said.ear.heard - FROM)
            assert_contiguous([asr.pieces[0], asr.pieces[2]])

    played(talk)


def test_a_dropped_utterance_is_forgotten_after_the_piece_under_way_and_sent_no_more() -> None:
    async def talk(asr: Recogniser) -> None:
        asr.takes_s = 0.3
        async with Utterance(asr) as said:
            await said.speak(9)
            assert asr.under_way == 1
            await said.recognition.drop()
            await said.speak(20)

            assert asr.log == ["heard", "forgot c1-1"]
            assert said.interims == [] and said.following.done()

    played(talk)


def test_a_recogniser_that_cannot_forget_is_no_trouble() -> None:
    async def talk(asr: Recogniser) -> None:
        asr.forget_fails = BUSY
        async with Utterance(asr) as said:
            await said.recognition.drop()

            assert asr.log == ["forgot c1-1"]

    played(talk)
