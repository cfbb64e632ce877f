"""A caller's line over real WebRTC on loopback, against a small answering machine."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiortc.rtp import RtcpReceiverInfo

from deployments.contracts.errors import BadInput, CallOver, DukatError, StageBusy, StageFailed, StageTimeout
from serve_app.caller.line import CallerLine
from serve_app.caller.speech import prepare
from tests.fakes.answering_machine import LOOPBACK, AnsweringMachine, problem, until
from tests.fakes.tones import tone

SPEECH = prepare(tone(0.5).tobytes())


@pytest.fixture
async def machine() -> AsyncIterator[AnsweringMachine]:
    async with AnsweringMachine() as answering:
        yield answering


@pytest.fixture
async def line() -> AsyncIterator[CallerLine]:
    async with CallerLine(host_addresses=(LOOPBACK,)) as caller:
        yield caller


async def event_of(line: CallerLine, kind: str) -> dict:
    async with asyncio.timeout(10):
        async for event in line.events():
            if event["type"] == kind:
                return event
    raise AssertionError(f"the line ended without {kind}")


async def refused(line: CallerLine, url: str, timeout_s: float = 10.0) -> DukatError:
    with pytest.raises(DukatError) as error:
        await line.connect(url, "demo", timeout_s=timeout_s)
    assert line.end_reason is not None
    return error.value


async def test_a_call_is_connected_and_the_greeting_is_heard(machine: AnsweringMachine, line: CallerLine) -> None:
    await line.connect(machine.url, "demo", token="secret")
    heard = await event_of(line, "agent.heard")

    assert heard["complete"] is True
    assert line.location == f"{machine.url}/v1/calls/token-1"
    assert line.setup_ms is not None and line.setup_ms > 0
    assert line.ear.last_sound_s is not None
    request = machine.requests[0]
    assert (request.query["tenant"], request.headers["Authorization"]) == ("demo", "Bearer secret")


async def test_only_the_named_addresses_opus_and_one_transport_are_offered(
    machine: AnsweringMachine, line: CallerLine
) -> None:
    await line.connect(machine.url, "demo")
    lines = machine.offers[0].splitlines()

    assert {part.split()[4] for part in lines if part.startswith("a=candidate:")} == {LOOPBACK}
    assert [part.split()[1] for part in lines if part.startswith("a=rtpmap:")] == ["opus/48000/2"]
    assert sum(part.startswith("m=application") for part in lines) == 1


async def test_the_state_of_the_call_can_be_asked(machine: AnsweringMachine, line: CallerLine) -> None:
    await line.connect(machine.url, "demo")

    assert (await line.state())["state"] == "listening"


async def test_speech_arrives_and_its_times_are_known(machine: AnsweringMachine, line: CallerLine) -> None:
    await line.connect(machine.url, "demo")
    await event_of(line, "agent.heard")
    said = await line.play(SPEECH)
    final = await event_of(line, "transcript.final")

    assert final["turn"] == 1
    assert said.last_voiced_s - said.first_voiced_s == pytest.approx(0.48, abs=0.2)
    assert await line.wait_sound(said.last_voiced_s) > said.last_voiced_s


async def test_the_recording_has_the_caller_left_and_the_agent_right(
    machine: AnsweringMachine, line: CallerLine
) -> None:
    await line.connect(machine.url, "demo")
    await event_of(line, "agent.heard")
    await line.wait_quiet(0.2)
    await line.play(SPEECH)
    await event_of(line, "agent.heard")
    await line.wait_quiet(0.2)
    both = np.frombuffer(line.recording(), np.int16).reshape(-1, 2).astype(np.float64)
    caller, agent = (np.nonzero(np.abs(both[:, channel]) > 500)[0] for channel in (0, 1))

    assert np.ptp(caller) == pytest.approx(0.5 * 16_000, abs=400)
    assert caller.size > 0.4 * 16_000
    # Greeting before the question, answer 0.4 s and more after it.
    assert agent.min() < caller.min()
    assert agent.max() > caller.max() + 0.4 * 16_000
    assert not np.any((agent > caller.min()) & (agent < caller.max() + 0.35 * 16_000))


async def test_text_reaches_the_server(machine: AnsweringMachine, line: CallerLine) -> None:
    await line.connect(machine.url, "demo")
    await event_of(line, "agent.heard")
    line.send_text("ما هي الرسوم؟")
    final = await event_of(line, "transcript.final")

    assert final["text"] == "ما هي الرسوم؟"


async def test_the_server_gets_receiver_reports_although_its_packets_bypass_aiortc(
    machine: AnsweringMachine, line: CallerLine
) -> None:
    await line.connect(machine.url, "demo")
    sender = machine.calls[0].peer.getSenders()[0]
    reports: list[RtcpReceiverInfo] = []
    handle = sender._handle_rtcp_packet

    async def noted(packet: object) -> None:
        reports.extend(getattr(packet, "reports", ()))
        await handle(packet)

    sender._handle_rtcp_packet = noted
    await until(lambda: bool(reports))

    assert reports[0].packets_lost == 0
    assert "remote-inbound-rtp" in {stat.type for stat in (await sender.getStats()).values()}


async def test_messages_that_are_no_events_are_passed_over(machine: AnsweringMachine, line: CallerLine) -> None:
    machine.noise_on_channel = ["not json", "[1, 2]", b"\xff\xfe"]
    await line.connect(machine.url, "demo")

    assert (await event_of(line, "call.state"))["state"] == "greeting"


async def test_events_nobody_reads_are_bounded_and_counted(machine: AnsweringMachine) -> None:
    async with CallerLine(host_addresses=(LOOPBACK,), most_events=2) as line:
        await line.connect(machine.url, "demo")
        await until(lambda: line.events_dropped == 2)
        await line.close()
        left = [event["type"] async for event in line.events()]

    assert left == ["agent.heard", "turn.ledger"]


# ---------------------------------------------------------------- refusals


async def test_a_refusal_keeps_the_code_of_the_server(machine: AnsweringMachine, line: CallerLine) -> None:
    machine.refusal = problem(503, "no_free_host", "all lines are busy")
    error = await refused(line, machine.url)

    assert type(error) is StageBusy
    assert (error.code, error.detail) == ("no_free_host", "all lines are busy")


async def test_nobody_at_the_address_is_said_with_a_hint(line: CallerLine, unused_tcp_port: int) -> None:
    error = await refused(line, f"http://127.0.0.1:{unused_tcp_port}")

    assert type(error) is StageFailed
    assert error.code == "server_unreachable"
    assert "dukat up" in error.detail


async def test_an_unusable_address_is_bad_input(line: CallerLine) -> None:
    error = await refused(line, "nonsense")

    assert isinstance(error, BadInput)


async def test_a_server_that_does_not_answer_is_given_up(machine: AnsweringMachine, line: CallerLine) -> None:
    machine.never_answers = True
    error = await refused(line, machine.url, timeout_s=0.5)

    assert isinstance(error, StageTimeout)


async def test_an_answer_without_a_way_to_it_times_out_and_hangs_up(
    machine: AnsweringMachine, line: CallerLine
) -> None:
    async with AnsweringMachine() as other, CallerLine(host_addresses=(LOOPBACK,)) as first:
        await first.connect(other.url, "demo")
        # A usable answer of a connection that is not ours: its ICE password is another's.
        machine.answer_sdp = other.calls[0].peer.localDescription.sdp
        error = await refused(line, machine.url, timeout_s=2.0)

    assert (type(error), error.code) == (StageTimeout, "connect_timeout")
    assert "UDP" in error.detail
    assert machine.hung_up == ["token-1"]


@pytest.mark.parametrize("answer", ["", "v=0\r\nnonsense", "<html>"])
async def test_an_answer_that_is_no_sdp_is_named_and_the_call_hung_up(
    machine: AnsweringMachine, line: CallerLine, answer: str
) -> None:
    machine.answer_sdp = answer
    error = await refused(line, machine.url, timeout_s=5.0)

    assert error.code == "answer_unreadable"
    assert machine.hung_up == ["token-1"]


# ---------------------------------------------------------------- the end


async def test_hanging_up_tells_the_server_and_ends_the_events(machine: AnsweringMachine, line: CallerLine) -> None:
    await line.connect(machine.url, "demo")
    told = await line.hang_up()
    async with asyncio.timeout(5):
        rest = [event async for event in line.events()]

    assert told
    assert machine.hung_up == ["token-1"]
    assert line.end_reason == "hung_up"
    assert all(event["call"] == "c-1" for event in rest)


async def test_a_server_that_closes_the_call_ends_what_is_being_said(
    machine: AnsweringMachine, line: CallerLine
) -> None:
    await line.connect(machine.url, "demo")
    saying = line.play(SPEECH)
    await machine.drop_calls()
    with pytest.raises(CallOver):
        await saying

    assert line.end_reason == "server_closed"
    with pytest.raises(CallOver):
        line.send_text("hello?")


async def test_a_server_that_dies_without_a_word_is_noticed(machine: AnsweringMachine) -> None:
    async with CallerLine(host_addresses=(LOOPBACK,), media_timeout_s=1.0) as line:
        await line.connect(machine.url, "demo")
        await event_of(line, "agent.heard")
        await machine.vanish()
        async with asyncio.timeout(10):
            rest = [event async for event in line.events()]
        told = await line.hang_up()

    assert line.end_reason == "server_lost"
    assert {event["type"] for event in rest} <= {"turn.ledger"}
    assert told is False


async def test_closing_twice_before_during_and_after_is_fine(machine: AnsweringMachine) -> None:
    line = CallerLine(host_addresses=(LOOPBACK,))
    await line.close()
    other = CallerLine(host_addresses=(LOOPBACK,))
    connecting = asyncio.create_task(other.connect(machine.url, "demo"))
    await until(lambda: bool(machine.offers))
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await asyncio.gather(other.close(), other.close())
    await other.close()

    assert other.end_reason == "hung_up"
    with pytest.raises(CallOver):
        line.play(SPEECH)


async def test_nothing_is_left_behind(machine: AnsweringMachine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def one_call() -> None:
        async with CallerLine(host_addresses=(LOOPBACK,)) as line:
            await line.connect(machine.url, "demo")
            await event_of(line, "agent.heard")
            await line.play(SPEECH)
            await line.hang_up()

    await one_call()  # the default executor's threads and caches are made once
    await asyncio.sleep(0)
    tasks, threads = len(asyncio.all_tasks()), {t.name for t in threading.enumerate() if "decoder" in t.name}
    for _ in range(3):
        await one_call()
    for _ in range(10):
        await asyncio.sleep(0)

    assert len(asyncio.all_tasks()) <= tasks
    assert {t.name for t in threading.enumerate() if "decoder" in t.name} == threads == set()
    assert [record.message for record in caplog.records] == []
