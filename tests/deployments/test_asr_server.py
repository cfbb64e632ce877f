"""The asr deployment without Ray: utterances in pieces, lost and doubled pieces, a bounded engine, failures."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar, Literal

import pytest

from configs.engines import EmulatedAsr, EngineSettings, PocketSphinxAsr
from deployments import asr as asr_server
from deployments.asr import LONGEST_S, Asr
from deployments.contracts.audio import SAMPLE_RATE_HZ
from deployments.contracts.errors import BadInput, StageBusy, StageFailed
from deployments.contracts.speech import NeedAudio, Phrasebook, SpeechPiece, Transcript

BOOK = Phrasebook("book-1", ("how can i pay my bill",))
PIECE = b"ab" * 100


class NotingSettings(EngineSettings):
    """Of the engine below."""

    engine: ClassVar[str] = f"{__name__}:Noting"
    nature: ClassVar[Literal["embedded", "emulated", "model"]] = "emulated"
    kind: Literal["noting"] = "noting"
    streams: int = 2


class Noting:
    """Its transcript is the number of samples it was fed; `go_on` holds every feed up, `fails` is raised by feed."""

    def __init__(self, settings: NotingSettings) -> None:
        self.most = settings.streams
        self.open_streams: list[NotingStream] = []
        self.opened = 0
        self.threads: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.feeding = threading.Event()
        self.fails: Exception | None = None

    def open(self, phrasebook: Phrasebook | None) -> NotingStream | None:
        if phrasebook is None:
            raise BadInput("phrasebook_missing", "no phrasebook", "asr")
        if len(self.open_streams) == self.most:
            return None
        self.opened += 1
        stream = NotingStream(self)
        self.open_streams.append(stream)
        return stream


class NotingStream:
    def __init__(self, engine: Noting) -> None:
        self.engine = engine
        self.samples = 0
        self.inside = False

    def feed(self, pcm: bytes) -> Transcript:
        assert not self.inside, "two threads in one stream"
        self.inside = True
        self.engine.threads.add(threading.current_thread().name)
        self.engine.feeding.set()
        assert self.engine.go_on.wait(10)
        self.inside = False
        if self.engine.fails is not None:
            raise self.engine.fails
        self.samples += len(pcm) // 2
        return Transcript(str(self.samples), False, engine_ms=1.0)

    def finish(self) -> Transcript:
        return Transcript(str(self.samples), True, engine_ms=2.0)

    def close(self) -> None:
        assert not self.inside, "closed while it was fed"
        if self in self.engine.open_streams:
            self.engine.open_streams.remove(self)


def a_noting_server(streams: int = 2) -> tuple[Asr, Noting]:
    server = Asr(NotingSettings(streams=streams))  # type: ignore[arg-type]
    engine = server._engine
    assert isinstance(engine, Noting)
    return server, engine


def piece(offset: int, pcm: bytes = PIECE, *, last: bool = False, utterance: str = "u1") -> SpeechPiece:
    return SpeechPiece(utterance, offset, pcm, last, "en")


async def started(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def test_pieces_become_one_transcript() -> None:
    """Interims on the way, one final; then the stream is free and the utterance unknown."""
    server, engine = a_noting_server()

    answers = [await server.hear(piece(0), BOOK), await server.hear(piece(100), None)]
    final = await server.hear(piece(200, last=True), None)

    assert [answer.text for answer in answers if isinstance(answer, Transcript)] == ["100", "200"]
    assert final == Transcript("300", True, engine_ms=3.0)
    assert not engine.open_streams
    assert await server.hear(piece(300), None) == NeedAudio("u1")


async def test_an_empty_last_piece_ends_the_utterance() -> None:
    """The turn may end without new audio."""
    server, engine = a_noting_server()
    await server.hear(piece(0), BOOK)

    final = await server.hear(piece(100, b"", last=True), None)

    assert isinstance(final, Transcript) and final.final and final.text == "100"
    assert not engine.open_streams


async def test_a_whole_utterance_in_one_piece() -> None:
    """What a session sends after `NeedAudio` at the end of a turn."""
    server, _ = a_noting_server()

    final = await server.hear(piece(0, PIECE * 5, last=True), BOOK)

    assert isinstance(final, Transcript) and final.final and final.text == "500"


@pytest.mark.parametrize("offset", [50, 100, 300])
async def test_a_replica_without_the_beginning_asks_for_it(offset: int) -> None:
    """New replica, or a state that was evicted: it says from where it needs the audio, and takes it then."""
    server, _ = a_noting_server()

    answer = await server.hear(piece(offset), None)
    again = await server.hear(piece(0, PIECE * 4), BOOK)

    assert answer == NeedAudio("u1", 0)
    assert isinstance(again, Transcript) and again.text == "400"


@pytest.mark.parametrize("offset", [0, 100, 300])
async def test_a_lost_or_doubled_piece_never_ends_up_in_a_transcript(offset: int) -> None:
    """After 200 samples anything but the piece at 200 makes the server start again from the beginning."""
    server, engine = a_noting_server()
    await server.hear(piece(0, PIECE * 2), BOOK)

    answer = await server.hear(piece(offset), BOOK)

    if offset:
        assert answer == NeedAudio("u1")
        assert not engine.open_streams
    else:
        assert isinstance(answer, Transcript) and answer.text == "100"
        assert len(engine.open_streams) == 1


@pytest.mark.parametrize(
    "wrong",
    [piece(-1), piece(0, b"abc"), piece(0, bytes(2 * SAMPLE_RATE_HZ * LONGEST_S + 2))],
    ids=["-1", "odd", "long"],
)
async def test_a_wrong_piece_is_refused(wrong: SpeechPiece) -> None:
    """And the utterance it claims to belong to is as it was."""
    server, _ = a_noting_server()
    await server.hear(piece(0), BOOK)

    with pytest.raises(BadInput) as caught:
        await server.hear(wrong, BOOK)

    assert caught.value.code == "speech_piece_wrong"
    answer = await server.hear(piece(100), None)
    assert isinstance(answer, Transcript) and answer.text == "200"


async def test_an_endless_utterance_is_ended() -> None:
    """After sixty seconds the transcript is final, asked for or not."""
    server, engine = a_noting_server()
    half = bytes(SAMPLE_RATE_HZ * LONGEST_S)
    first = await server.hear(piece(0, half), BOOK)

    second = await server.hear(piece(len(half) // 2, half), None)

    assert isinstance(first, Transcript) and not first.final
    assert isinstance(second, Transcript) and second.final
    assert not engine.open_streams


async def test_forgetting_frees_the_stream_and_may_be_said_twice() -> None:
    """An utterance nobody wants holds nothing."""
    server, engine = a_noting_server()
    await server.hear(piece(0), BOOK)

    await server.forget("u1")
    await server.forget("u1")
    await server.forget("never heard of")

    assert not engine.open_streams
    assert (await server.ready())["utterances"] == 0


async def test_without_a_phrasebook_nothing_is_kept() -> None:
    """The engine's refusal reaches the caller with its code, and the next try starts clean."""
    server, _ = a_noting_server()

    with pytest.raises(BadInput) as caught:
        await server.hear(piece(0), None)

    assert caught.value.code == "phrasebook_missing"
    assert isinstance(await server.hear(piece(0), BOOK), Transcript)


async def test_a_full_engine_is_busy() -> None:
    """While all streams are in use and fed, a further utterance is refused, and the others go on."""
    server, engine = a_noting_server(streams=2)
    await server.hear(piece(0, utterance="u1"), BOOK)
    await server.hear(piece(0, utterance="u2"), BOOK)

    with pytest.raises(StageBusy) as caught:
        await server.hear(piece(0, utterance="u3"), BOOK)

    assert caught.value.code == "asr_busy" and caught.value.retryable
    assert len(engine.open_streams) == 2
    assert isinstance(await server.hear(piece(100, utterance="u1"), None), Transcript)


async def test_the_longest_idle_utterance_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that died does not keep others out; should it live, it is asked for its audio."""
    server, _ = a_noting_server(streams=2)
    await server.hear(piece(0, utterance="dead"), BOOK)
    await server.hear(piece(0, utterance="alive"), BOOK)
    monkeypatch.setattr(asr_server, "EVICTABLE_S", 0.0)

    answer = await server.hear(piece(0, utterance="new"), BOOK)

    assert isinstance(answer, Transcript)
    assert isinstance(await server.hear(piece(100, utterance="alive"), None), Transcript)
    assert await server.hear(piece(100, utterance="dead"), None) == NeedAudio("dead")


async def test_an_utterance_at_work_is_never_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long its piece takes."""
    server, engine = a_noting_server(streams=1)
    monkeypatch.setattr(asr_server, "EVICTABLE_S", 0.0)
    engine.go_on.clear()
    working = asyncio.create_task(server.hear(piece(0, utterance="slow"), BOOK))
    await started(engine.feeding)

    with pytest.raises(StageBusy):
        await server.hear(piece(0, utterance="new"), BOOK)

    engine.go_on.set()
    assert isinstance(await working, Transcript)


async def test_abandoned_utterances_are_closed_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody forgets them when a call host dies."""
    server, engine = a_noting_server()
    await server.hear(piece(0), BOOK)
    monkeypatch.setattr(asr_server, "IDLE_S", 0.0)

    await server.check_health()

    assert not engine.open_streams
    assert (await server.ready())["utterances"] == 0


async def test_pieces_of_one_utterance_never_overlap() -> None:
    """A piece sent before the last was answered waits for it."""
    server, engine = a_noting_server()
    engine.go_on.clear()
    both = [asyncio.create_task(server.hear(piece(0), BOOK)), asyncio.create_task(server.hear(piece(100), None))]
    await started(engine.feeding)
    engine.go_on.set()

    answers = await asyncio.gather(*both)

    assert [answer.text for answer in answers if isinstance(answer, Transcript)] == ["100", "200"]


async def test_utterances_do_not_wait_for_each_other() -> None:
    """Two callers are heard at the same time, off the loop."""
    server, engine = a_noting_server()
    engine.go_on.clear()
    slow = asyncio.create_task(server.hear(piece(0, utterance="u1"), BOOK))
    await started(engine.feeding)
    engine.feeding.clear()
    other = asyncio.create_task(server.hear(piece(0, utterance="u2"), BOOK))
    await started(engine.feeding)
    engine.go_on.set()

    await asyncio.gather(slow, other)

    assert len(engine.threads) == 2
    assert threading.main_thread().name not in engine.threads


async def test_a_cancelled_piece_leaves_nothing_half_done() -> None:
    """The caller gave up in the middle of a piece: the stream is closed when its thread is out, and not used again."""
    server, engine = a_noting_server(streams=1)
    engine.go_on.clear()
    given_up = asyncio.create_task(server.hear(piece(0), BOOK))
    await started(engine.feeding)
    given_up.cancel()
    await asyncio.sleep(0)
    engine.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await given_up

    assert not engine.open_streams
    assert await server.hear(piece(100), None) == NeedAudio("u1")
    assert isinstance(await server.hear(piece(0), BOOK), Transcript)


async def test_an_engine_that_fails_has_a_code_and_loses_the_utterance() -> None:
    """What the stream holds after a failure is anybody's guess."""
    server, engine = a_noting_server()
    await server.hear(piece(0), BOOK)
    engine.fails = ValueError("decoder burst")

    with pytest.raises(StageFailed) as caught:
        await server.hear(piece(100), None)

    assert caught.value.code == "asr_failed" and "ValueError" in caught.value.detail
    assert not engine.open_streams
    engine.fails = None
    assert await server.hear(piece(200), None) == NeedAudio("u1")


async def test_health_fails_when_the_engine_does() -> None:
    """Serve replaces such a replica."""
    server, engine = a_noting_server()
    await server.check_health()
    engine.fails = ValueError("decoder burst")

    with pytest.raises(ValueError, match="decoder burst"):
        await server.check_health()

    assert not engine.open_streams


async def test_health_takes_no_stream_from_callers() -> None:
    """While a caller is heard the engine needs no probing."""
    server, engine = a_noting_server(streams=1)
    await server.hear(piece(0), BOOK)

    await server.check_health()

    assert engine.opened == 1
    assert isinstance(await server.hear(piece(100), None), Transcript)


@pytest.mark.parametrize("settings", [EmulatedAsr(partial_ms=0, final_ms=0), PocketSphinxAsr(streams=1)])
async def test_every_engine_behind_the_server(settings: Any) -> None:
    """Healthy, and an utterance of silence comes to an end."""
    server = Asr(settings)
    await server.check_health()

    final = await server.hear(piece(0, bytes(2 * SAMPLE_RATE_HZ), last=True), BOOK)

    assert isinstance(final, Transcript) and final.final
    assert await server.ready() == {"engine": settings.kind, "nature": settings.nature, "utterances": 0}
