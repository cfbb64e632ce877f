"""The WebRTC door against a real aiortc peer on loopback: media and messages both ways, and both ends of the end."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import aioice.ice
import av
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import RtpPacket

from configs.settings import Media
from deployments.contracts.audio import FRAME_BYTES, SAMPLE_RATE_HZ, samples_in
from deployments.contracts.errors import BadOffer, CallOver, StageBusy
from serve_app.call.ear import level_dbfs
from serve_app.caller.peer import new_peer
from serve_app.doors import webrtc_leg
from serve_app.doors.host_clock import HostClock
from serve_app.doors.ice_addresses import use_addresses
from serve_app.doors.leg_audio import WAITING_FRAMES
from serve_app.doors.messages import MOST_MESSAGE_CHARS
from serve_app.doors.webrtc import WebRtcLine
from serve_app.media.jitter import Packet
from serve_app.media.libopus import OpusDecoder, OpusEncoder
from tests.fakes.answering_machine import LOOPBACK, until
from tests.fakes.fake_call import tone
from tests.fakes.tones import Mouth

MEDIA = Media(host_addresses=(LOOPBACK,))
LOUD_DBFS = -30


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", aioice.ice.get_host_addresses)
    use_addresses(MEDIA)
    yield


class Phone:
    """A caller: a peer with a voice, a data channel, and ears that keep packets."""

    def __init__(self, mouth: Mouth | None = None) -> None:
        self.mouth = mouth or Mouth()
        self.packets: list[RtpPacket] = []
        self.events: list[dict[str, Any]] = []
        self.peer: RTCPeerConnection = new_peer(
            self.mouth,  # type: ignore[arg-type]
            (LOOPBACK,),
            lambda packet, arrival_s: self.packets.append(packet),
        )
        self.channel = self.peer.createDataChannel("events")
        self.channel.on("message", lambda raw: self.events.append(json.loads(raw)))

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def call(self, line: WebRtcLine) -> str:
        answer = await line.answer(await self.offer())
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        async with asyncio.timeout(20):
            await line.connect()
        await until(lambda: self.channel.readyState == "open")
        return answer

    def heard(self) -> bytes:
        decoder = OpusDecoder()
        return b"".join(decoder.decode(packet.payload) for packet in self.packets)


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    calling = Phone()
    yield calling
    await calling.peer.close()


@pytest.fixture
async def line() -> AsyncIterator[WebRtcLine]:
    answering = WebRtcLine(MEDIA, HostClock())
    yield answering
    await answering.close()


async def take_audio(line: WebRtcLine, heard: bytearray) -> None:
    async for audio in line.frames():
        heard += audio.pcm


async def test_the_answer_names_loopback_and_opus_alone(line: WebRtcLine, phone: Phone) -> None:
    answer = await line.answer(await phone.offer())
    candidates = [found.split() for found in answer.splitlines() if found.startswith("a=candidate:")]

    assert candidates and {words[4] for words in candidates} == {LOOPBACK}
    assert "0" not in [words[5] for words in candidates]
    assert [found for found in answer.splitlines() if found.startswith("a=rtpmap")] == ["a=rtpmap:96 opus/48000/2"]
    assert "a=sendrecv" in answer


async def test_audio_goes_both_ways(line: WebRtcLine, phone: Phone) -> None:
    heard = bytearray()
    speech = tone(2000)
    at = iter(range(0, len(speech), FRAME_BYTES))
    line.play_from(lambda: speech[(start := next(at, 0)) : start + FRAME_BYTES])
    hearing = asyncio.create_task(take_audio(line, heard))
    await phone.call(line)
    phone.mouth.sound(0.5, lambda: None)

    # 20 ms and over: as many samples as were sent, one clock for silence and for speech.
    await until(lambda: level_dbfs(bytes(heard[-FRAME_BYTES:])) > LOUD_DBFS)
    await until(lambda: level_dbfs(bytes(heard[-FRAME_BYTES:])) < LOUD_DBFS - 20)
    await until(lambda: len(phone.packets) > 30)
    await line.close()
    await hearing
    loud = sum(
        level_dbfs(bytes(heard[start : start + FRAME_BYTES])) > LOUD_DBFS for start in range(0, len(heard), FRAME_BYTES)
    )
    assert loud * 20 == pytest.approx(500, abs=60)
    assert level_dbfs(phone.heard()[-SAMPLE_RATE_HZ:]) > LOUD_DBFS
    stamps = [packet.timestamp for packet in phone.packets]
    assert {(after - before) % 2**32 for before, after in pairwise(stamps)} == {960}
    assert line.audio.incoming.undecodable == line.heard.overrun == 0


async def test_the_caller_learns_how_its_packets_arrive(line: WebRtcLine, phone: Phone) -> None:
    """Taking the packets ourselves must not cost the receiver reports."""
    await phone.call(line)

    async with asyncio.timeout(20):
        while True:
            report = await phone.peer.getStats()
            remote = [stats for stats in report.values() if stats.type == "remote-inbound-rtp"]
            if remote:
                break
            await asyncio.sleep(0.05)

    assert remote[0].packetsLost == 0


async def test_events_wait_for_the_channel_and_the_newest_are_kept(line: WebRtcLine, phone: Phone) -> None:
    for number in range(300):
        line.send_event({"type": "quality", "number": number})
    await phone.call(line)
    line.send_event({"type": "quality", "number": "نعم"})

    await until(lambda: bool(phone.events) and phone.events[-1]["number"] == "نعم")

    assert [event["number"] for event in phone.events[:-1]] == list(range(300 - 256, 300))


async def test_messages_reach_the_handler_and_garbage_is_answered(line: WebRtcLine, phone: Phone) -> None:
    messages: list[dict[str, object]] = []
    line.on_message(messages.append)
    await phone.call(line)
    garbage: list[str | bytes] = [
        "nonsense",
        "",
        "[1]",
        "3",
        b"\x00\xff",
        b'{"type": "caller.text"}',
        '{"type": "caller.text", "text": "\\ud800"}',
        "[" * 10_000,
        json.dumps({"text": "x" * MOST_MESSAGE_CHARS}),
    ]
    for raw in garbage:
        phone.channel.send(raw)
    phone.channel.send('{"type": "caller.text", "text": "مرحبا"}')

    await until(lambda: bool(messages) and len(phone.events) >= len(garbage))

    assert messages == [{"type": "caller.text", "text": "مرحبا"}]
    assert [event["code"] for event in phone.events] == ["message_unreadable"] * len(garbage)


async def test_a_channel_of_another_name_is_left_alone(line: WebRtcLine, phone: Phone) -> None:
    messages: list[dict[str, object]] = []
    line.on_message(messages.append)
    other = phone.peer.createDataChannel("chat")
    await phone.call(line)
    await until(lambda: other.readyState == "open")

    other.send('{"from": "chat"}')
    phone.channel.send('{"from": "events"}')
    await until(lambda: bool(messages))

    assert messages == [{"from": "events"}]


class Babble(Mouth):
    """Packets that are no Opus."""

    async def recv(self) -> av.Packet:
        packet = await super().recv()
        babble = av.Packet(b"\x03" + b"\xff" * 40)
        babble.pts, babble.time_base = packet.pts, packet.time_base
        return babble


async def test_packets_that_are_no_opus_are_counted_and_the_line_stays(line: WebRtcLine) -> None:
    phone = Phone(Babble())
    await phone.call(line)

    await until(lambda: line.audio.incoming.undecodable >= 3)

    assert not line.gone.is_set()
    await phone.peer.close()


async def test_a_call_has_no_thread_of_its_own(line: WebRtcLine) -> None:
    phone = Phone()
    await phone.call(line)
    line.play_from(lambda: tone(20))
    await until(lambda: line.audio.incoming.buffer.received > 5 and len(phone.packets) > 5)

    # One decoder: that of the phone, which is stock aiortc.
    assert [thread.name for thread in threading.enumerate()].count("audio-decoder") == 1
    await phone.peer.close()


async def test_hanging_up_here_ends_the_frames_and_the_caller_sees_it(line: WebRtcLine, phone: Phone) -> None:
    hearing = asyncio.create_task(take_audio(line, bytearray()))
    await phone.call(line)

    await line.close()
    await line.close()
    await hearing

    await until(lambda: phone.peer.connectionState == "closed")


async def test_the_caller_hanging_up_ends_the_frames(line: WebRtcLine, phone: Phone) -> None:
    hearing = asyncio.create_task(take_audio(line, bytearray()))
    await phone.call(line)

    await phone.peer.close()
    async with asyncio.timeout(20):
        await hearing

    assert line.gone.is_set()


async def test_a_line_closed_before_media_flows_was_never_connected(line: WebRtcLine, phone: Phone) -> None:
    await line.answer(await phone.offer())
    connecting = asyncio.create_task(line.connect())
    await asyncio.sleep(0)

    await line.close()

    with pytest.raises(CallOver, match="not_connected"):
        await connecting


async def test_a_caller_whose_network_changed_goes_on_over_a_new_connection(line: WebRtcLine, phone: Phone) -> None:
    heard = bytearray()
    hearing = asyncio.create_task(take_audio(line, heard))
    await phone.call(line)
    moved = Phone()
    answer = await line.renew(await moved.offer())
    await moved.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: line.renewed == 1)
    moved.mouth.sound(0.5, lambda: None)

    await until(lambda: level_dbfs(bytes(heard[-FRAME_BYTES:])) > LOUD_DBFS)
    await until(lambda: moved.channel.readyState == "open")
    line.play_from(lambda: tone(20))
    line.send_event({"type": "call.state"})
    await until(lambda: {"type": "call.state"} in moved.events and len(moved.packets) > 10)
    await until(lambda: phone.peer.connectionState == "closed")

    assert not line.gone.is_set() and {"type": "call.state"} not in phone.events
    await moved.peer.close()
    async with asyncio.timeout(20):
        await hearing
    assert line.gone.is_set()


async def test_a_new_connection_that_never_comes_up_leaves_the_old_one(phone: Phone) -> None:
    line = WebRtcLine(MEDIA.model_copy(update={"connect_timeout_s": 0.5}), HostClock())
    await phone.call(line)
    moved = Phone()
    offer = await moved.offer()

    await line.renew(offer)
    with pytest.raises(StageBusy, match="renewal_under_way"):
        await line.renew(offer)
    await until(lambda: line._next_leg is None)
    with pytest.raises(BadOffer):
        await line.renew("v=0")
    await line.renew(offer)

    assert not line.gone.is_set() and line.renewed == 0
    line.send_event({"type": "still here"})
    await until(lambda: {"type": "still here"} in phone.events)
    await moved.peer.close()
    await line.close()
    with pytest.raises(CallOver):
        await line.renew(offer)


async def test_it_is_noticed_when_nothing_comes_any_more(line: WebRtcLine, phone: Phone) -> None:
    await phone.call(line)
    await until(lambda: line.unheard_s() < 0.1)
    ice = phone.peer.getTransceivers()[0].sender.transport.transport._connection
    send, ice.sendto = ice.sendto, lambda *_: asyncio.sleep(0)  # the network swallows what the caller sends

    await until(lambda: line.unheard_s() > 1.0)
    assert not line.gone.is_set()
    ice.sendto = send
    await until(lambda: line.unheard_s() < 0.1)


async def test_quality_is_told_of_the_time_since_it_was_asked_last(line: WebRtcLine, phone: Phone) -> None:
    assert await line.quality() is None
    await phone.call(line)
    phone.channel.send('{"type": "caller.stats", "loss_percent": 10.0, "rtt_ms": 80, "jitter_ms": "x"}')
    await until(lambda: line.audio.browser is not None and line.audio.incoming.buffer.received > 10)

    report, again = await line.quality() or {}, await line.quality() or {}

    assert report["codec"] == "opus" and report["loss_percent"] == 0.0
    assert report["browser"] == {
        "rtt_ms": 80.0,
        "jitter_ms": None,
        "loss_percent": 10.0,
        "concealed_samples": None,
        "jitter_buffer_ms": None,
    }
    assert isinstance(report["mos"], float) and report["mos"] < 3.8 and report["alarm"] is False
    assert again["browser"] is None and again["interval_ms"] < report["interval_ms"]  # type: ignore[operator]


@pytest.mark.parametrize("fault", ["hangs", "raises"])
async def test_a_connection_that_cannot_be_closed_keeps_nobody_waiting(
    line: WebRtcLine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    close = line._leg._peer.close

    async def broken() -> None:
        await close()
        if fault == "raises":
            raise AttributeError("transport")
        await asyncio.Event().wait()

    monkeypatch.setattr(webrtc_leg, "CLOSE_S", 0.05)
    monkeypatch.setattr(line._leg._peer, "close", broken)
    await line.close()

    assert line.gone.is_set()
    assert "close_failed" in caplog.text


async def test_nothing_of_a_call_outlives_it(line: WebRtcLine, phone: Phone) -> None:
    before, threads = asyncio.all_tasks(), threading.active_count()
    await phone.call(line)
    assert asyncio.all_tasks() > before

    await phone.peer.close()
    await line.close()

    await until(lambda: asyncio.all_tasks() <= before)
    await until(lambda: threading.active_count() <= threads)


async def test_a_session_that_falls_behind_loses_audio_and_the_end_still_arrives(line: WebRtcLine) -> None:
    encoder = OpusEncoder()
    for number in range(WAITING_FRAMES + 30):
        line.audio.push(Packet(number, number * 960, encoder.encode(tone(20))))
    await line.close()

    pieces = [audio async for audio in line.frames()]

    assert line.heard.overrun == pytest.approx(30, abs=5)
    assert len(pieces) == WAITING_FRAMES - 1
    assert samples_in(pieces[-1].pcm) == 320


def test_addresses_are_those_of_the_newest_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several hosts in one process: what one of them asked for must not stay with the next."""
    monkeypatch.setattr("serve_app.doors.ice_addresses._interface_addresses", lambda ipv4, ipv6: ["192.0.2.7"])
    offered = []
    for media in (MEDIA, Media(loopback=True), Media(loopback=False), Media(host_addresses=("192.0.2.9",))):
        use_addresses(media)
        offered.append(aioice.ice.get_host_addresses(True, False))

    assert offered == [[LOOPBACK], ["192.0.2.7", LOOPBACK], ["192.0.2.7"], ["192.0.2.9", LOOPBACK]]


async def test_the_private_parts_of_aiortc_are_those_of_the_pinned_version(line: WebRtcLine) -> None:
    """Before raising the pin: read `rtcrtpreceiver.py` of the new version, then name it here."""
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8")
    receiver: Any = line._leg._peer.addTransceiver("audio").receiver

    assert version("aiortc") == "1.16.0"
    assert '"aiortc==1.16.0"' in project
    assert receiver._RTCRtpReceiver__remote_streams == {}
    assert list(inspect.signature(RTCRtpReceiver._handle_rtp_packet).parameters) == [
        "self",
        "packet",
        "arrival_time_ms",
    ]
    assert inspect.iscoroutinefunction(RTCRtpReceiver._handle_rtp_packet)
    assert receiver.transport.transport._connection.get_component_candidates
    assert receiver.transport._RTCDtlsTransport__rx_packets == 0
    assert receiver._RTCRtpReceiver__decoder_thread is None
    assert callable(receiver._RTCRtpReceiver__stop_decoder)
