"""The audio of one leg: what it hands to the session, what it sends, how good it says the line was."""

from __future__ import annotations

import asyncio

from configs.engines import EspeakTts
from deployments.contracts.audio import FRAME_BYTES, SILENT_FRAME, samples_in
from deployments.contracts.speech import SynthesisRequest
from deployments.engines.espeak import Espeak
from serve_app.call.ear import level_dbfs
from serve_app.doors.host_clock import HostClock
from serve_app.doors.leg_audio import WAITING_FRAMES, HeardQueue, LegAudio
from serve_app.media.jitter import Packet
from serve_app.media.libopus import OpusDecoder, OpusEncoder
from serve_app.media.outgoing import Outgoing
from tests.fakes.fake_call import tone
from tests.fakes.lossy_link import packets, spoken

SPEECH = tone(20)
TALK = SynthesisRequest("test", "We are open from eight in the morning to six in the evening.", "en", "en-us")


def a_leg(sent: list[Outgoing] | None = None) -> tuple[LegAudio, HeardQueue]:
    heard = HeardQueue()
    out: list[Outgoing] = [] if sent is None else sent
    return LegAudio("opus", OpusDecoder(), OpusEncoder(), HostClock(), heard, out.append), heard


def packet(number: int, encoder: OpusEncoder) -> Packet:
    return Packet(number, number * 960, encoder.encode(SPEECH))


async def taken(heard: HeardQueue, pieces: int) -> bytes:
    pcm = bytearray()
    async with asyncio.timeout(10):
        async for audio in heard.pieces():
            pcm += audio.pcm
            pieces -= 1
            if not pieces:
                break
    return bytes(pcm)


async def test_a_packet_is_heard_at_once() -> None:
    leg, heard = a_leg()
    encoder = OpusEncoder()
    for number in range(3):
        leg.push(packet(number, encoder))

    pcm = await taken(heard, 3)

    assert samples_in(pcm) == 960
    assert level_dbfs(pcm[-FRAME_BYTES:]) > -20


async def test_silence_of_the_caller_s_side_is_heard_as_silence_in_real_time() -> None:
    leg, heard = a_leg()
    leg.start()
    encoder = OpusEncoder()
    for number in range(5):
        leg.push(packet(number, encoder))

    began_s = asyncio.get_running_loop().time()
    pcm = await taken(heard, 25)

    assert level_dbfs(pcm[-FRAME_BYTES:]) < -60
    filled_s = (samples_in(pcm) - 5 * 320) / 16_000
    assert filled_s <= asyncio.get_running_loop().time() - began_s + 0.1
    leg.stop()


async def test_what_the_session_says_is_sent_and_hurried_after_silence() -> None:
    sent: list[Outgoing] = []
    leg, _ = a_leg(sent)
    leg.hurry()  # before the start it does nothing
    leg.start()
    leg.outgoing.source = lambda: SPEECH
    leg.hurry()
    first = len(sent)
    leg.outgoing.source = lambda: SILENT_FRAME
    leg.hurry()  # in the middle of speech the grid is kept
    assert (first, len(sent)) == (1, 1)
    await asyncio.sleep(0.1)
    leg.stop()
    leg.stop()
    at_stop = len(sent)
    await asyncio.sleep(0.1)

    assert sent[0].talk_begins and len(sent) == at_stop > 1


async def test_quality_is_of_the_time_between_two_questions() -> None:
    leg, _ = a_leg()
    assert leg.quality() is None
    leg.start()
    speech = b"".join(piece.pcm for piece in Espeak(EspeakTts()).synthesise(TALK))
    sent = [packet for _, packet in packets(spoken(speech, expected_loss=0.2))][:110]
    for number, each in enumerate(sent):
        if number not in (30, 60, 61, 62):
            leg.push(each)
        if number in (32, 64):
            await asyncio.sleep(0.1)  # longer than a gap is waited for
    lossy = leg.quality()
    for each in [packet for _, packet in packets(spoken(speech), sequence=210, timestamp=5_000 + 110 * 960)][:60]:
        leg.push(each)
    clean = leg.quality()

    assert lossy is not None and clean is not None
    # Four packets of 110 were lost, two of them restored: the last before each packet that came.
    assert lossy.loss_percent is not None and 1.5 < lossy.loss_percent < 2.5
    assert lossy.fec_ms == 40 and lossy.concealed_ms >= 40
    assert clean.loss_percent == 0.0 and clean.fec_ms == 0
    assert lossy.mos is not None and clean.mos is not None and lossy.mos < clean.mos
    leg.stop()


async def test_a_session_that_does_not_listen_loses_the_newest_and_the_end_arrives() -> None:
    leg, heard = a_leg()
    encoder = OpusEncoder()
    for number in range(WAITING_FRAMES + 20):
        leg.push(packet(number, encoder))
    heard.end()
    heard.end()
    heard.put(SPEECH)

    pieces = [audio async for audio in heard.pieces()]

    assert heard.overrun == 20
    assert len(pieces) == WAITING_FRAMES - 1
