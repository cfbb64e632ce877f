"""The caller's microphone without a connection: order, times and what happens after a stall."""

import time

import pytest
from aiortc.mediastreams import MediaStreamError

from deployments.contracts.errors import CallOver
from serve_app.caller.ear import Tape
from serve_app.caller.microphone import FRAME_TICKS, Microphone
from serve_app.caller.speech import TAIL_FRAMES, prepare, silent_packet
from tests.fakes.tones import tone

SPEECH = prepare(bytes(640) + tone(0.04).tobytes() + bytes(640))


def microphone() -> Microphone:
    return Microphone(time.monotonic(), Tape(10.0), lambda now_s: None)


async def test_silence_then_the_speech_in_order_then_silence() -> None:
    mouth = microphone()
    before = await mouth.recv()
    said = mouth.say(SPEECH)
    packets = [await mouth.recv() for _ in range(4 + TAIL_FRAMES + 1)]

    assert bytes(before) == silent_packet() == bytes(packets[-1])
    assert tuple(bytes(packet) for packet in packets[:-1]) == SPEECH.packets
    assert [packet.pts for packet in packets] == [FRAME_TICKS * n for n in range(1, len(packets) + 1)]
    assert said.result().last_voiced_s - said.result().first_voiced_s > 0


async def test_it_is_said_when_the_last_voiced_packet_has_left() -> None:
    mouth = microphone()
    said = mouth.say(SPEECH)
    done = []
    for _ in range(4):
        await mouth.recv()
        done.append(said.done())

    assert done == [False, False, True, True]


async def test_one_thing_is_said_at_a_time() -> None:
    mouth = microphone()
    mouth.say(SPEECH)

    with pytest.raises(AssertionError):
        mouth.say(SPEECH)


async def test_after_a_long_stall_the_missed_packets_are_skipped_and_their_time_is_not() -> None:
    mouth = microphone()
    await mouth.recv()
    assert mouth._due_s is not None
    mouth._due_s -= 5.0
    packet = await mouth.recv()

    assert packet.pts == pytest.approx(5.0 * 48_000, abs=2 * FRAME_TICKS)
    assert mouth.worst_delay_s > 4.0


async def test_a_line_that_goes_down_fails_what_is_being_said() -> None:
    mouth = microphone()
    said = mouth.say(SPEECH)
    mouth.silence("server_lost")
    mouth.stop()

    with pytest.raises(CallOver, match="server_lost"):
        await said
    with pytest.raises(MediaStreamError):
        await mouth.recv()
