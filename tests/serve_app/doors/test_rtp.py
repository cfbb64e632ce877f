"""The door for plain RTP against a scripted telephone on loopback: sound, keys, reports, hold, strangers, the end."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.settings import Media
from deployments.contracts.audio import FRAME_BYTES, SAMPLE_RATE_HZ, SILENT_FRAME
from deployments.contracts.errors import BadInput, BadOffer, CallOver, StageBusy
from serve_app.call.ear import level_dbfs
from serve_app.doors import rtp as rtp_door
from serve_app.doors.host_clock import HostClock
from serve_app.doors.rtp import RtpLine
from serve_app.doors.rtp_sockets import LONGEST_DATAGRAM_BYTES, RECEIVE_BUFFER_BYTES, announced_address, local_address
from tests.fakes.answering_machine import until
from tests.fakes.fake_host import SDP, FakeHost, client, open_host, refused
from tests.fakes.rtp_peer import EVENT_TYPE, LOOPBACK, VOICE_HZ, RtpPeer, a_peer, tone_snr_db
from tests.fakes.tones import tone

MEDIA = Media(host_addresses=(LOOPBACK,), rtcp_every_s=0.2, rtp_silent_s=1)
LOUD_DBFS = -30
ANOTHER_HOST = "127.0.0.2"


class Call:
    """A line, its telephone, and a session that notes what it hears and says a tone when told to."""

    def __init__(self, line: RtpLine, peer: RtpPeer) -> None:
        self.line, self.peer = line, peer
        self.heard = bytearray()
        self.keys: list[dict[str, object]] = []
        self._speech = tone(0.2, VOICE_HZ).tobytes()  # whole periods: it can be repeated
        self._at = 0
        self.to_say = 0
        """Frames."""
        self.asked = 0
        """Frames of speech that were asked for."""
        line.play_from(self._frame)
        line.on_key(self.keys.append)
        self.hearing = asyncio.create_task(self._hear())

    def _frame(self) -> bytes:
        if self.asked >= self.to_say:
            return SILENT_FRAME
        self.asked += 1
        self._at = (self._at + FRAME_BYTES) % len(self._speech)
        return self._speech[self._at - FRAME_BYTES :][:FRAME_BYTES] if self._at else self._speech[-FRAME_BYTES:]

    async def _hear(self) -> None:
        async for audio in self.line.frames():
            self.heard += audio.pcm

    @property
    def loud_ms(self) -> int:
        """How long the caller was heard speaking."""
        return self.loud_since(0)

    def loud_since(self, begin: int) -> int:
        steps = range(begin, len(self.heard) - FRAME_BYTES + 1, FRAME_BYTES)
        return 20 * sum(level_dbfs(bytes(self.heard[at : at + FRAME_BYTES])) > LOUD_DBFS for at in steps)

    def samples(self, begin: int = 0) -> np.ndarray:
        return np.frombuffer(bytes(self.heard[begin:]), "<i2")

    async def agree(self, offer: str) -> str:
        answer = await self.line.renew(offer)
        self.peer.accept(answer)
        return answer

    async def hears_speech(self, ms: int = 200) -> None:
        """The caller speaks, and is heard from now on."""
        begin = len(self.heard)
        self.peer.say(ms + 200)
        await until(lambda: self.loud_since(begin) >= ms)

    def until_got(self, packets: int) -> Any:
        wanted = len(self.peer.got) + packets
        return until(lambda: len(self.peer.got) >= wanted)


@asynccontextmanager
async def a_call(
    codec: str = "pcmu", *, mux: bool = False, media: Media = MEDIA, ssrc: int = 0x1234, clock: HostClock | None = None
) -> AsyncIterator[Call]:
    async with a_peer(codec, mux=mux, ssrc=ssrc) as peer:
        line = RtpLine(media, clock or HostClock())
        peer.accept(await line.answer(peer.offer()))
        call = Call(line, peer)
        try:
            yield call
        finally:
            await line.close()
            await call.hearing


def attribute(answer: str, name: str) -> str:
    return next(line for line in answer.split("\r\n") if line.startswith(name))


# ---------------------------------------------------------------- sound


@pytest.mark.parametrize(
    ("codec", "least_snr_db"), [("pcmu", 30), ("pcma", 30), ("l16", 50), ("l16-8k", 45), ("l16-24k", 45), ("opus", 20)]
)
@pytest.mark.parametrize("mux", [True, False])
async def test_sound_goes_both_ways_in_every_codec(codec: str, least_snr_db: float, mux: bool) -> None:
    async with a_call(codec, mux=mux) as call:
        await call.line.connect()
        call.peer.say(1000)
        call.to_say = 50
        await until(lambda: call.asked == 50 and call.loud_ms >= 900)
        await call.until_got(3)  # the last of them

        sent = [got for got in call.peer.got if got.payload_type == call.peer.payload_type]
        theirs, rate_hz = call.peer.audio(), call.peer.rate_hz
        loud = np.abs(theirs.reshape(-1, rate_hz // 50)[:, :].astype(int)).max(axis=1) > 4000

        assert call.loud_ms == pytest.approx(1000, abs=100)
        assert tone_snr_db(call.samples(), SAMPLE_RATE_HZ) > least_snr_db
        assert np.abs(call.samples().astype(int)).max() == pytest.approx(8000, rel=0.15)
        assert loud.sum() == pytest.approx(50, abs=2)
        assert tone_snr_db(theirs, rate_hz) > least_snr_db
        assert np.abs(theirs.astype(int)).max() == pytest.approx(8000, rel=0.15)
        assert len({got.ssrc for got in sent}) == 1 and {got.source for got in sent} == {call.peer.to}
        assert all((after.sequence - before.sequence) % 2**16 == 1 for before, after in pairwise(sent))
        assert call.line.audio.incoming.undecodable == call.line.refused == 0


async def test_the_clock_of_our_packets_goes_on_over_silence_and_speech_is_marked() -> None:
    async with a_call() as call:
        await call.line.connect()
        call.to_say = 10
        await call.until_got(15)
        await call.until_got(2)  # what keeps the line alive
        await asyncio.sleep(0.1)
        call.to_say = 20
        await until(lambda: call.asked == 20)
        await call.until_got(5)

        sent = call.peer.got
        steps = [(after.timestamp - early.timestamp) % 2**32 for early, after in pairwise(sent)]
        assert min(steps) == 160 and steps.count(160) >= 30  # two talks with their hangover
        elapsed_s = sent[-1].at_s - sent[0].at_s
        assert sum(steps) / 8000 == pytest.approx(elapsed_s, abs=0.15)
        assert sent[0].marker and [got.marker for got in sent].count(True) == 2


async def test_lost_packets_are_concealed_and_late_ones_put_in_order() -> None:
    async with a_call() as call:
        call.peer.fate = lambda number: None if number % 20 == 10 else 0.03 if number % 20 == 15 else 0.0
        call.peer.say(2000)
        await until(lambda: not call.peer.speaking and call.loud_ms >= 1900)

        incoming = call.line.audio.incoming
        assert incoming.buffer.lost >= 4 and incoming.buffer.reordered >= 4
        assert incoming.concealed_samples >= 4 * 320
        assert call.loud_ms == pytest.approx(2000, abs=120)
        assert tone_snr_db(call.samples(), SAMPLE_RATE_HZ) > 20
        report = await call.line.quality() or {}
        assert report["codec"] == "pcmu" and 2 < float(str(report["loss_percent"])) < 9
        assert isinstance(report["mos"], float) and report["alarm"] is False


async def test_a_session_is_told_how_long_nothing_came() -> None:
    async with a_call() as call:
        await until(lambda: call.peer.sent > 5)
        assert call.line.unheard_s() < 0.5
        call.peer.sending = False
        await until(lambda: call.line.unheard_s() > 1)

        call.peer.report()  # RTCP shows that it is there, too

        await until(lambda: call.line.unheard_s() < 0.5)


# ---------------------------------------------------------------- keys


async def test_each_key_is_told_once_whatever_of_it_is_lost() -> None:
    async with a_call() as call:
        await call.peer.press("5")
        await call.peer.press("*", ends=1)
        await call.peer.press("0", updates=0)
        await call.peer.press("D", ends=0)
        await until(lambda: len(call.keys) == 4)
        await call.peer.press("5")
        await until(lambda: len(call.keys) == 5)
        await asyncio.sleep(0.3)  # longer than a lost end is waited for

        assert call.keys == [{"type": "dtmf", "key": key} for key in "5*0D5"]
        assert call.line.audio.incoming.buffer.lost == 0  # their numbers are no losses
        assert call.loud_ms == 0


async def test_keys_can_be_pressed() -> None:
    async with a_call() as call:
        call.to_say = 10_000
        await call.until_got(3)
        await call.line.press("1#")
        await call.until_got(3)

        events = [got for got in call.peer.got if got.payload_type == EVENT_TYPE]
        ends = [(got.payload[0], got.timestamp) for got in events if got.payload[1] & 0x80]
        numbers = [got.sequence for got in call.peer.got]
        assert [event for event, _ in ends] == [1, 1, 1, 11, 11, 11]
        assert len(set(ends)) == 2
        assert [got.marker for got in events].count(True) == 2
        assert numbers == [(numbers[0] + step) % 2**16 for step in range(len(numbers))]
        with pytest.raises(BadInput, match="dtmf_key"):
            await call.line.press("1x")
        call.peer.got.clear()
        await call.agree(call.peer.offer().replace(f" {EVENT_TYPE}\r\n", "\r\n"))
        with pytest.raises(BadInput, match="dtmf_unsupported"):
            await call.line.press("1")


# ---------------------------------------------------------------- whom it believes


async def test_the_caller_is_followed_behind_nat() -> None:
    """The SDP names an address that nothing comes from: the telephone's own, behind NAT."""
    async with a_peer() as peer:
        line = RtpLine(MEDIA, HostClock())
        offer = peer.offer(address="10.255.255.1").replace(f"m=audio {peer.address[1]}", "m=audio 40000")
        peer.accept(await line.answer(offer))
        call = Call(line, peer)

        await call.hears_speech()
        call.to_say = 10
        await until(lambda: len(peer.got) >= 10)
        await line.close()
        await call.hearing


async def test_a_caller_that_moves_is_found_again() -> None:
    async with a_call() as call:
        await call.hears_speech()
        await call.peer.move()

        call.peer.say(3000)
        await until(lambda: call.loud_ms >= 1000)
        call.peer.got.clear()
        call.to_say = call.asked + 10
        await until(lambda: len(call.peer.got) >= 10)

        assert call.line.refused > 0  # until the old address had been silent for long enough


async def test_a_stranger_is_not_heard_and_gets_nothing() -> None:
    async with a_call() as call, a_peer(host=ANOTHER_HOST) as far, a_peer(ssrc=0x1234) as near:
        await until(lambda: call.line.unheard_s() < 0.5 and call.peer.sent > 5)
        call.to_say = 10_000
        for stranger in (far, near):
            stranger.to = call.peer.to
            stranger.say(1000, peak=20_000)
        await until(lambda: far.sent > 100 and near.sent > 100)

        assert call.loud_ms == 0
        assert call.line.refused >= 80
        assert far.got == near.got == []
        await call.hears_speech()


async def test_the_address_of_the_sdp_takes_over_from_a_stranger_who_was_first() -> None:
    async with a_peer() as peer, a_peer() as stranger:
        line = RtpLine(MEDIA, HostClock())
        peer.sending = False
        answer = await line.answer(peer.offer())
        call = Call(line, peer)
        call.to_say = 100_000
        stranger.accept(answer)
        await until(lambda: len(stranger.got) > 5)  # nobody else there: believed
        peer.accept(answer)
        peer.sending = True

        await call.hears_speech()
        taken = len(stranger.got)
        await call.until_got(20)

        assert len(stranger.got) == taken
        await line.close()
        await call.hearing


async def test_one_packet_that_looks_right_is_not_enough() -> None:
    async with a_peer() as peer, a_peer() as stranger:
        line = RtpLine(MEDIA, HostClock())
        peer.sending = stranger.sending = False
        stranger.accept(await line.answer(peer.offer()))
        call = Call(line, peer)
        call.to_say = 100_000
        for sequence in (1, 20_000, 40_000, 60_000):
            stranger.sequence = sequence
            stranger.packet(stranger.payload_type, 160, b"\xff" * 160)
        stranger.packet(3, 160, b"\xff" * 160)  # in the row, but of a payload type that was not agreed on
        stranger.packet(3, 320, b"\xff" * 160)

        await until(lambda: line.refused == 6)
        await call.until_got(5)

        assert stranger.got == []
        assert line.unheard_s() > 0
        await line.close()
        await call.hearing


async def test_reports_of_another_host_are_not_believed() -> None:
    async with a_call() as call, a_peer(host=ANOTHER_HOST) as stranger:
        await until(lambda: call.peer.sent > 5)
        call.peer.sending = stranger.sending = False
        stranger.accept(f"c=IN IP4 {LOOPBACK}\r\nm=audio {call.peer.to[1]}\r\na=rtcp:{call.peer.rtcp_to[1]}")
        await until(lambda: call.line.unheard_s() > 0.3)
        stranger.ssrc = call.peer.ssrc
        before = call.line.refused
        stranger.report(bye=True)

        await until(lambda: call.line.refused > before)

        assert call.line.unheard_s() > 0.3


async def test_hostile_datagrams_disturb_no_neighbour() -> None:
    clock, dice = HostClock(), random.Random(20261121)
    async with a_call(clock=clock) as target, a_call("opus", clock=clock) as neighbour, a_peer() as stranger:
        stranger.sending = False
        await until(lambda: target.peer.sent > 5 and neighbour.peer.sent > 5)
        neighbour.peer.say(60_000)
        begin = len(neighbour.heard)
        for number in range(20_000):
            if number % 2:
                datagram = dice.randbytes(dice.choice((0, 1, 2, 11, 12, 40, 172, 1500, LONGEST_DATAGRAM_BYTES + 1)))
            else:
                base = bytearray(b"\x80\x00" + dice.randbytes(10) + b"\xff" * 160)
                for _ in range(dice.randrange(4)):
                    base[dice.randrange(16)] = dice.randrange(256)
                datagram = bytes(base[: dice.randrange(len(base) + 1)])
            port = target.peer.to[1] + dice.randrange(2)
            source = target.peer if number % 3 == 0 else stranger  # also from the caller's own socket
            source.rtp.sendto(datagram, (LOOPBACK, port))
            if number % 20 == 0:
                await asyncio.sleep(0)
            if number % 400 == 0:
                await asyncio.sleep(0.005)
        await until(lambda: len(neighbour.heard) - begin > 2 * SAMPLE_RATE_HZ * 2)

        heard = neighbour.samples(begin)
        assert neighbour.line.audio.incoming.buffer.lost == neighbour.line.refused == 0
        assert tone_snr_db(heard, SAMPLE_RATE_HZ) > 20
        assert neighbour.loud_since(begin) * 32 > 0.9 * (len(neighbour.heard) - begin)
        assert target.line.refused > 5_000 and not target.line.gone.is_set()
        await target.hears_speech()


async def test_a_mistake_in_reading_a_packet_closes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with a_call() as call:
        await until(lambda: call.peer.sent > 3)
        leg: Any = call.line._leg
        packet, leg.packet = leg.packet, None
        sent = call.peer.sent
        await until(lambda: call.peer.sent > sent + 5)
        leg.packet = packet

        await call.hears_speech()

        assert caplog.text.count("packet_failed") == 1


# ---------------------------------------------------------------- reports


@pytest.mark.parametrize("mux", [True, False])
async def test_reports_are_exchanged_and_the_round_trip_is_known(mux: bool) -> None:
    async with a_call("opus", mux=mux) as call:
        call.peer.travel_s, call.peer.lost_fraction = 0.08, 64
        call.peer.fate = lambda number: None if number % 10 == 5 else 0.0
        call.to_say = 10_000
        await until(lambda: call.line.audio.incoming.buffer.received > 5)
        call.peer.report(sender=True)
        await until(lambda: call.line.audio.rtt_ms is not None and len(call.peer.reports) >= 4)

        reports = [report for compound in call.peer.reports for report in compound.reports]
        blocks = [block for report in reports for block in report.blocks]
        sender = [report.sender for report in reports if report.sender is not None]
        first, last = sender[0], sender[-1]
        assert 75 < (call.line.audio.rtt_ms or 0) < 1_000
        assert ((await call.line.quality()) or {})["rtt_ms"] == pytest.approx(call.line.audio.rtt_ms, abs=0.01)
        assert {block.ssrc for block in blocks} == {call.peer.ssrc}
        assert blocks[-1].cumulative_lost >= 1 and any(block.fraction_lost for block in blocks)
        assert any(block.last_sender_report for block in blocks)
        assert {report.ssrc for report in reports} == {call.peer.got[-1].ssrc}
        assert last.packets > first.packets
        # Both clocks of a sender report tell the same moment.
        passed_s = (last.ntp - first.ntp) / 2**32
        assert (last.timestamp - first.timestamp) % 2**32 / 48_000 == pytest.approx(passed_s, abs=0.1)
        assert call.line._leg is not None and call.line._leg.reports.lost_percent == 25


async def test_the_time_between_reports_is_as_it_should_be() -> None:
    async with a_call(media=MEDIA.model_copy(update={"rtcp_every_s": 0.1})) as call:
        begun_s = asyncio.get_running_loop().time()
        await until(lambda: len(call.peer.reports) >= 30)

        assert 2.0 < asyncio.get_running_loop().time() - begun_s < 6.0
        intervals_s = [call.line._report_in_s() for _ in range(200)]
        assert 0.05 <= min(intervals_s) < 0.07 and 0.13 < max(intervals_s) <= 0.15


async def test_a_bye_ends_the_call_when_the_sound_has_ended_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rtp_door, "BYE_SILENCE_S", 0.3)
    async with a_call() as call:
        await until(lambda: call.peer.sent > 5)
        caplog.set_level("INFO")
        call.peer.report(bye=True)
        sent = call.peer.sent
        await until(lambda: call.peer.sent > sent + 40)
        assert not call.line.gone.is_set() and "rtcp_bye" in caplog.text

        call.peer.sending = False

        await until(call.line.gone.is_set)
        await call.hearing


async def test_a_bye_of_a_stream_that_another_replaces_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtp_door, "BYE_SILENCE_S", 0.2)
    async with a_call() as call:
        await until(lambda: call.peer.sent > 5)
        call.peer.report(bye=True)
        call.peer.ssrc += 1
        await call.hears_speech()
        call.peer.sending = False

        await until(lambda: call.line.unheard_s() > 0.6)

        assert not call.line.gone.is_set()


# ---------------------------------------------------------------- other agreements


@pytest.mark.parametrize(("direction", "ours"), [("sendonly", "a=recvonly"), ("inactive", "a=inactive")])
async def test_on_hold_nothing_is_said_or_heard_and_afterwards_all_goes_on(direction: str, ours: str) -> None:
    async with a_call() as call:
        call.to_say = 10_000
        await call.hears_speech()
        await until(lambda: not call.peer.speaking)
        await call.until_got(5)
        answer = await call.agree(call.peer.offer(direction, version=2))
        call.peer.got.clear()
        begin, asked, reports = len(call.heard), call.asked, len(call.peer.reports)
        call.peer.say(600)  # music on hold
        await until(lambda: not call.peer.speaking)
        call.peer.sending = False
        await asyncio.sleep(1.0)

        assert ours in answer.split("\r\n")
        assert call.peer.got == [] and call.asked == asked
        assert call.loud_since(begin) == 0
        assert call.line.unheard_s() == 0.0 and call.line.held
        assert len(call.peer.reports) > reports
        call.peer.sending = True
        resumed = await call.agree(call.peer.offer(version=3))
        await call.until_got(10)
        await call.hears_speech()
        assert "a=sendrecv" in resumed.split("\r\n") and call.asked > asked and not call.line.held


async def test_hold_as_old_telephones_do_it() -> None:
    async with a_call() as call:
        call.to_say = 10_000
        await call.until_got(5)

        await call.agree(call.peer.offer(address="0.0.0.0", version=2))
        call.peer.got.clear()
        await asyncio.sleep(0.3)
        held = len(call.peer.got)
        await call.agree(call.peer.offer(version=3))
        await call.until_got(5)

        assert held == 0


async def test_who_only_sends_from_the_beginning_is_heard() -> None:
    async with a_peer() as peer:
        line = RtpLine(MEDIA, HostClock())
        peer.accept(await line.answer(peer.offer("sendonly")))
        call = Call(line, peer)

        await call.hears_speech()

        await line.close()
        await call.hearing


async def test_another_codec_and_address_on_the_same_ports() -> None:
    async with a_call() as call, a_peer("opus") as other:
        call.to_say = 10_000
        await call.hears_speech()
        first = await call.line.renew(call.peer.offer(version=2))
        answer = await call.line.renew(other.offer())
        call.peer.sending = False
        before, call.peer = call.peer, other
        other.accept(answer)
        await call.hears_speech()
        await call.until_got(20)
        silent = len(before.got)
        await call.until_got(20)

        assert attribute(answer, "m=").split()[1] == attribute(first, "m=").split()[1]
        assert attribute(answer, "m=").split()[3] == "111"
        versions = [attribute(text, "o=").split() for text in (first, answer)]
        assert int(versions[1][2]) == int(versions[0][2]) + 1 and versions[0][1] == versions[1][1]
        assert len(before.got) == silent
        assert tone_snr_db(other.audio()[-other.rate_hz // 4 :], other.rate_hz) > 20
        assert call.line.audio.codec == "opus"


async def test_an_unchanged_offer_leaves_no_seam() -> None:
    async with a_call() as call:
        await until(lambda: call.peer.sent > 5)
        audio = call.line.audio
        call.peer.say(1000)
        for version in range(2, 7):
            await call.agree(call.peer.offer(version=version))
            await asyncio.sleep(0.1)
        await until(lambda: call.loud_ms >= 960)

        assert call.line.audio is audio
        assert tone_snr_db(call.samples(), SAMPLE_RATE_HZ) > 30


async def test_a_bad_offer_leaves_all_as_it_was() -> None:
    async with a_call() as call:
        for offer in ("v=0", call.peer.offer().replace("RTP/AVP", "RTP/SAVP"), call.peer.offer(address="224.0.0.1")):
            with pytest.raises(BadOffer):
                await call.line.renew(offer)

        await call.hears_speech()
        await call.line.close()
        with pytest.raises(CallOver):
            await call.line.renew(call.peer.offer())


async def test_a_caller_that_comes_over_another_network_gets_other_ports() -> None:
    media = MEDIA.model_copy(update={"host_addresses": ()})
    async with a_call(media=media) as call:
        first = call.peer.to
        answer = await call.line.renew(call.peer.offer().replace("IP4 127.0.0.1", "IP6 ::1"))

        assert "c=IN IP6 ::1" in answer
        answer = await call.agree(call.peer.offer())
        assert f"c=IN IP4 {LOOPBACK}" in answer
        await call.hears_speech()
        assert call.peer.to != first


async def test_candidates_are_refused() -> None:
    async with a_call() as call:
        with pytest.raises(BadOffer, match="candidates_unsupported"):
            await call.line.add_candidates("a=candidate:1 1 udp 1 127.0.0.1 9 typ host")


# ---------------------------------------------------------------- addresses and ports


async def test_ports_are_a_pair_of_the_range_and_run_out() -> None:
    media = MEDIA.model_copy(update={"ports": (41_001, 41_006)})
    async with a_peer() as peer:
        lines = [RtpLine(media, HostClock()) for _ in range(3)]
        answers = [await line.answer(peer.offer()) for line in lines[:2]]
        ports = sorted(int(attribute(answer, "m=").split()[1]) for answer in answers)
        rtcp = sorted(int(attribute(answer, "a=rtcp:")[7:]) for answer in answers)
        with pytest.raises(StageBusy, match="ports_exhausted"):
            await lines[2].answer(peer.offer())
        await lines[0].close()
        again = RtpLine(media, HostClock())
        await again.answer(peer.offer())

        assert (ports, rtcp) == ([41_002, 41_004], [41_003, 41_005])
        for line in (lines[1], again):
            await line.close()


async def test_the_announced_address_is_in_the_answer() -> None:
    media = MEDIA.model_copy(update={"announced_address": "203.0.113.5"})

    assert announced_address(media, "10.0.0.5") == "203.0.113.5"
    assert announced_address(media, LOOPBACK) == LOOPBACK
    assert announced_address(MEDIA, "10.0.0.5") == "10.0.0.5"


def test_our_address_is_the_one_that_leads_there() -> None:
    both = Media(host_addresses=("10.0.0.5", "2001:db8::5"))

    assert local_address(both, "192.0.2.1") == "10.0.0.5"
    assert local_address(both, "2001:db8::1") == "2001:db8::5"
    assert local_address(both, LOOPBACK) == LOOPBACK
    assert local_address(both.model_copy(update={"loopback": False}), LOOPBACK) == "10.0.0.5"
    assert local_address(Media(), "127.0.0.9") == LOOPBACK
    assert local_address(both, None) == "10.0.0.5"


async def test_the_sockets_hold_no_more_than_they_should() -> None:
    async with a_call() as call:
        sockets: Any = call.line._wire._sockets
        sock = sockets._rtp._transport.get_extra_info("socket")

        assert sock.getsockopt(1, 8) == 2 * RECEIVE_BUFFER_BYTES  # Linux doubles SO_RCVBUF
        call.peer.sending = False
        await asyncio.sleep(0.1)
        refused = call.line.refused
        call.peer.rtp.sendto(b"\x00" * (LONGEST_DATAGRAM_BYTES + 1), call.peer.to)
        call.peer.rtp.sendto(b"\x00" * LONGEST_DATAGRAM_BYTES, call.peer.to)
        await until(lambda: call.line.refused > refused)
        assert call.line.refused == refused + 1


# ---------------------------------------------------------------- the beginning and the end


async def test_the_line_waits_a_moment_for_the_first_packet() -> None:
    loop = asyncio.get_running_loop()
    async with a_call() as call:
        await call.line.connect()
        assert call.line.connected.is_set() and call.peer.sent > 0
    async with a_peer() as peer:
        peer.sending = False
        line = RtpLine(MEDIA, HostClock())
        begun = loop.time()
        await line.answer(peer.offer())
        assert line.connected.is_set()
        await line.connect()
        assert 0.4 < loop.time() - begun < 10
        await line.close()
        with pytest.raises(CallOver, match="not_connected"):
            await line.connect()


async def test_a_line_closed_while_it_waits_was_never_connected() -> None:
    line = RtpLine(MEDIA.model_copy(update={"rtp_first_packet_s": 60}), HostClock())
    async with a_peer() as peer:
        peer.sending = False
        await line.answer(peer.offer())
        connecting = asyncio.create_task(line.connect())
        await asyncio.sleep(0)

        await line.close()

        with pytest.raises(CallOver, match="not_connected"):
            await connecting


async def test_the_end_is_told_and_nothing_is_sent_after_it() -> None:
    async with a_call() as call:
        call.to_say = 10_000
        await call.until_got(5)
        await call.line.close()
        await call.line.close()
        await until(lambda: any(compound.byes for compound in call.peer.reports))
        got, reports = len(call.peer.got), len(call.peer.reports)
        await asyncio.sleep(0.4)

        assert call.peer.reports[-1].byes == (call.peer.got[-1].ssrc,)
        assert (len(call.peer.got), len(call.peer.reports)) == (got, reports)
        assert call.hearing.done() and call.line.gone.is_set()


async def test_an_offer_refused_or_left_behind_leaves_nothing() -> None:
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    async with a_peer() as peer:
        opened = len(os.listdir("/proc/self/fd"))
        line = RtpLine(MEDIA, HostClock())
        with pytest.raises(BadOffer):
            await line.answer(peer.offer().replace("RTP/AVP", "RTP/SAVP"))
        assert line.gone.is_set()
        for turns in range(3):
            line = RtpLine(MEDIA, HostClock())
            answering = asyncio.create_task(line.answer(peer.offer()))
            for _ in range(turns):
                await asyncio.sleep(0)
            answering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await answering
        await until(lambda: len(os.listdir("/proc/self/fd")) <= opened)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= files and len(asyncio.all_tasks()) <= tasks)


async def test_two_hundred_calls_leave_nothing_behind() -> None:
    clock = HostClock()
    async with a_peer() as peer:
        peer.sending = False
        tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
        for number in range(200):
            line = RtpLine(MEDIA, clock)
            peer.accept(await line.answer(peer.offer()))
            peer.packet(peer.payload_type, number * 160, b"\xff" * 160)
            peer.packet(EVENT_TYPE, number * 160, b"\x05\x0a\x00\xa0")
            await line.connect()
            if number % 10 == 0:
                await line.renew(peer.offer("inactive"))
            await line.close()
            assert clock.legs == 0
        del line
        gc.collect()

        await until(lambda: len(asyncio.all_tasks()) <= tasks and len(os.listdir("/proc/self/fd")) <= files)
        assert not [each for each in gc.get_objects() if isinstance(each, RtpLine)]


# ---------------------------------------------------------------- through a host


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[FakeHost]:
    media = {"host_addresses": [LOOPBACK]}
    async with open_host(tmp_path, "what are your opening hours", media=media) as opened:
        yield opened


def allowed(tmp_path: Path) -> dict[str, str]:
    return {**SDP, "authorization": f"Bearer {(tmp_path / 'keys' / 'api.token').read_text().strip()}"}


async def test_plain_rtp_needs_the_token_even_of_an_open_tenant(host: FakeHost, tmp_path: Path) -> None:
    async with client(host) as http, a_peer() as peer:
        without = await http.post("/v1/calls?tenant=fake", content=peer.offer(), headers=SDP)
        wrong = {**SDP, "authorization": "Bearer nonsense"}
        forged = await http.post("/v1/calls?tenant=fake", content=peer.offer(), headers=wrong)
        srtp = peer.offer().replace("RTP/AVP", "RTP/SAVP")
        encrypted = await http.post("/v1/calls?tenant=fake", content=srtp, headers=allowed(tmp_path))

        assert refused(without) == (401, "token_missing")
        assert refused(forged) == (401, "token_invalid")
        assert refused(encrypted) == (415, "offer_srtp_unsupported")
        assert host.calls == 0 and host.sink.events == []


def loud(peer: RtpPeer, since: int) -> bool:
    """Whether the agent was heard for 200 ms since that packet."""
    sound = np.abs(peer.audio(since).astype(int))
    return bool((sound > 4000).sum() > peer.rate_hz / 20)


async def spoken(host: FakeHost, reply_text: str, condition: Callable[[], bool]) -> None:
    await until(lambda: any(reply_text in str(told["text"]) for told in host.told("agent.heard")) and condition())


@pytest.mark.parametrize("codec", ["pcma", "opus"])
async def test_a_whole_call(host: FakeHost, tmp_path: Path, codec: str) -> None:
    async with client(host) as http, a_peer(codec) as peer:
        answer = await http.post("/v1/calls?tenant=fake", content=peer.offer(), headers=allowed(tmp_path))
        assert answer.status_code == 201, answer.text
        call = answer.headers["location"]
        peer.accept(answer.text)
        await spoken(host, "greeting of Fake Utility", lambda: loud(peer, 0))

        asked = len(peer.got)
        peer.say(600, peak=10_000)
        await spoken(host, "On Friday we close at noon.", lambda: loud(peer, asked))
        held = await http.patch(call, content=peer.offer("sendonly", version=2), headers=SDP)
        resumed = await http.patch(call, content=peer.offer(version=3), headers=SDP)
        webrtc = await http.patch(call, content=peer.offer().replace("RTP/AVP", "UDP/TLS/RTP/SAVPF"), headers=SDP)
        state = (await http.get(call)).json()
        ended = await http.delete(call)
        await until(lambda: host.calls == 0)
        await until(lambda: any(compound.byes for compound in peer.reports))

    assert [told["text"] for told in host.told("transcript.final")] == ["what are your opening hours"]
    assert (held.status_code, resumed.status_code, ended.status_code) == (200, 200, 204)
    assert "a=recvonly" in held.text and "a=sendrecv" in resumed.text
    assert refused(webrtc) == (415, "offer_profile_unsupported")
    assert state["messages"][-1]["text"].startswith("We are open from eight to eight.")
    assert host.told("call.started")[0]["channel"] == "rtp"
    assert host.told("call.ended")[0]["reason"] == "caller_hung_up"
    assert host._clock.legs == 0
