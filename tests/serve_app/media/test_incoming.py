"""One caller's stream: whatever the line does, the audio is as long as the sender's clock says, and no word is lost."""

from __future__ import annotations

import random
from functools import cache
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.audio import FRAME_SAMPLES, SAMPLE_RATE_HZ, samples_in
from deployments.contracts.errors import BadAudio
from serve_app.media.g711 import G711Decoder, G711Encoder
from serve_app.media.incoming import LONGEST_CONCEALMENT, Incoming
from serve_app.media.jitter import Packet
from serve_app.media.libopus import OpusDecoder, OpusEncoder
from tests.fakes.lossy_link import LossyLink, listen, packets, segmental_snr_db, spoken

TICKS = 960
CONCEALED, QUIET = -9_000, -5
"""What the plain codec says in place of a lost packet, and for a pause."""


class PlainCodec:
    """Payload "say 7" is 20 ms of samples 1007, "say 7+" has a copy of "say 6"; "quiet" is a pause, "q" one in DTX."""

    clock_hz = 48_000

    def decode(self, payload: bytes) -> bytes:
        if payload == b"?":
            raise BadAudio("plain_undecodable", "?", "media")
        if payload in (b"quiet", b"q"):
            return np.full(FRAME_SAMPLES, QUIET, "<i2").tobytes()
        return np.full(FRAME_SAMPLES, 1000 + _number(payload), "<i2").tobytes()

    def conceal(self, samples: int) -> bytes:
        return np.full(samples, CONCEALED, "<i2").tobytes()

    def recover(self, next_payload: bytes, samples: int) -> bytes | None:
        if not next_payload.endswith(b"+"):
            return None
        return np.full(samples, 999 + _number(next_payload), "<i2").tobytes()


def _number(payload: bytes) -> int:
    return int(payload.removeprefix(b"say ").rstrip(b"+"))


class Call:
    """A sender's packets into one `Incoming`, by number and milliseconds."""

    def __init__(self, first: int = 0, first_tick: int = 0) -> None:
        self.incoming = Incoming(PlainCodec())
        self.first, self.first_tick = first, first_tick
        self.pcm = b""
        self._ticked_ms = 0

    def push(self, number: int, at_ms: float, payload: bytes | None = None, later_ms: float = 0) -> bytes:
        timestamp = (self.first_tick + number * TICKS + round(later_ms * 48)) % 2**32
        payload = b"say %d" % number if payload is None else payload
        pcm = self.incoming.push(Packet((self.first + number) % 2**16, timestamp, payload), at_ms / 1000)
        self.pcm += pcm
        return pcm

    def clean(self, first: int, last: int, payload: bytes | None = None) -> None:
        """Packets first to last on time, ticks between."""
        for number in range(first, last + 1):
            self.push(number, number * 20, payload)
            self.tick_until(number * 20 + 10)

    def tick_until(self, until_ms: int) -> bytes:
        pcm = b""
        while self._ticked_ms + 20 <= until_ms:
            self._ticked_ms += 20
            pcm += self.incoming.tick(self._ticked_ms / 1000)
        self.pcm += pcm
        return pcm

    @property
    def said(self) -> list[tuple[str, float]]:
        """What was heard, as (what, milliseconds): numbers of packets, "lost" (concealed, fading too), "still"."""
        return heard(self.pcm)


def heard(pcm: bytes) -> list[tuple[str, float]]:
    def name(sample: int) -> str:
        if sample in (0, QUIET):
            return "still"
        return str(sample - 1000) if sample > 0 else "lost"

    return [(what, sum(1 for _ in run) / 16) for what, run in groupby(map(name, np.frombuffer(pcm, "<i2").tolist()))]


def ms(pcm: bytes) -> float:
    return samples_in(pcm) / 16


@pytest.mark.parametrize(("first", "first_tick"), [(0, 0), (65_530, 2**32 - 3 * TICKS), (40_000, 2**31 - 2000)])
def test_a_clean_line_is_heard_whole_and_at_once_across_the_wrap_of_its_clocks(first: int, first_tick: int) -> None:
    call = Call(first, first_tick)
    call.clean(0, 49)

    assert call.said == [(str(number), 20) for number in range(50)]
    assert call.incoming.buffer.delay_ms == 0
    assert (call.incoming.concealed_samples, call.incoming.silence_samples, call.incoming.inserted_samples) == (0, 0, 0)


def test_one_lost_packet_is_concealed_and_nothing_more_is_lost_or_late() -> None:
    call = Call()
    arrived = {number: call.push(number, number * 20) for number in range(30) if number != 10}

    assert ms(arrived[9]) == 20 and arrived[11] == b""
    assert heard(arrived[12]) == [("lost", 20), ("11", 20), ("12", 20)]
    assert all(ms(arrived[number]) == 20 for number in range(13, 30))
    assert call.incoming.concealed_samples == FRAME_SAMPLES and call.incoming.buffer.lost == 1


def test_a_lost_packet_is_taken_from_the_copy_in_the_next() -> None:
    call = Call()
    for number in (0, 1, 4, 5):
        call.push(number, number * 20, b"say %d+" % number)

    assert call.said == [("0", 20), ("1", 20), ("lost", 20), ("3", 20), ("4", 20), ("5", 20)]
    assert (call.incoming.fec_samples, call.incoming.concealed_samples) == (FRAME_SAMPLES, FRAME_SAMPLES)


def test_long_losses_fade_to_silence() -> None:
    call = Call()
    for number in (0, 10, 11):
        call.push(number, number * 20)
    samples = np.frombuffer(call.pcm, "<i2")[320 : 10 * 320]

    assert (samples[:960] == CONCEALED).all()
    assert (np.diff(samples[960:LONGEST_CONCEALMENT].astype(int)) >= 0).all() and samples[1590] > -200
    assert not samples[LONGEST_CONCEALMENT:].any()
    assert call.incoming.concealed_samples == 9 * FRAME_SAMPLES


def test_each_loss_is_concealed_afresh() -> None:
    call = Call()
    for number in range(50):
        if number % 5 != 2:
            call.push(number, number * 20)
    samples = np.frombuffer(call.pcm, "<i2")

    assert len(samples) == 50 * FRAME_SAMPLES and (samples == CONCEALED).sum() == 10 * FRAME_SAMPLES


def test_a_loss_counts_for_its_own_gap_alone() -> None:
    call = Call()
    for number in range(10):
        if number != 2:
            call.push(number, number * 20 + (200 if number >= 7 else 0), later_ms=200 if number >= 7 else 0)

    assert [run for run in call.said if not run[0].isdigit()] == [("lost", 20), ("still", 200)]


def test_what_is_lost_in_a_pause_is_silence() -> None:
    call = Call()
    for number, payload in ((0, None), (1, b"q"), (4, None), (5, None), (6, None)):
        call.push(number, number * 20, payload)

    assert call.said == [("0", 20), ("still", 60), ("4", 20), ("5", 20), ("6", 20)]
    assert call.incoming.concealed_samples == 0 and call.incoming.buffer.lost == 2


def test_while_packets_wait_for_one_before_them_no_silence_is_filled_in() -> None:
    call = Call()
    for number, at_ms in ((0, 0), (2, 40), (3, 60), (1, 140), (4, 145)):  # teaches a patience of 105 ms
        call.tick_until(at_ms)
        call.push(number, at_ms)
    before = call.incoming.inserted_samples
    for number, at_ms in (*((number, number * 20 + 45) for number in range(6, 12)), (5, 266)):
        call.tick_until(at_ms)
        call.push(number, at_ms)

    assert call.incoming.inserted_samples == before
    assert call.said[-7:] == [(str(number), 20) for number in range(5, 12)]


def test_a_packet_that_cannot_be_decoded_is_concealed_and_counted() -> None:
    call = Call()
    for number in range(6):
        call.push(number, number * 20, b"?" if number in (2, 3) else None)

    assert call.said == [("0", 20), ("1", 20), ("lost", 40), ("4", 20), ("5", 20)]
    assert call.incoming.undecodable == 2 and call.incoming.clock_restarts == 0


def test_a_pause_of_the_sender_is_silence_not_loss() -> None:
    call = Call()
    call.push(0, 0)
    call.push(1, 20, b"q")
    call.push(2, 440, later_ms=400)

    assert call.said == [("0", 20), ("still", 420), ("2", 20)]
    assert call.incoming.buffer.lost == 0 and call.incoming.concealed_samples == 0
    assert call.incoming.silence_samples == 400 * 16


def test_in_a_pause_silence_flows_in_real_time_and_is_not_doubled_afterwards() -> None:
    call = Call()
    call.clean(0, 9)
    call.push(10, 200, b"q")
    flowing = [ms(call.tick_until(at)) for at in range(220, 620, 20)]
    call.push(11, 620, later_ms=400)

    assert flowing == [0, 0] + [20] * 18  # 40 ms behind the clock
    assert ms(call.pcm) == 12 * 20 + 400
    assert call.incoming.inserted_samples == 0


def test_who_stops_without_a_word_is_silent_60_ms_later_after_a_short_fade() -> None:
    call = Call()
    call.clean(0, 9)
    pcm = call.tick_until(1180)

    assert ms(pcm) == 1180 - 180 - 60
    assert heard(pcm)[0][0] == "lost" and heard(pcm)[0][1] <= 100 and heard(pcm)[1][0] == "still"
    assert call.incoming.silence_samples == samples_in(pcm) - LONGEST_CONCEALMENT


def test_a_line_on_which_nothing_ever_comes_is_silent_in_real_time() -> None:
    call = Call()

    assert ms(call.tick_until(2000)) == pytest.approx(1980, abs=60)
    assert not any(call.pcm)
    assert ms(call.push(0, 2010)) == 20 and call.incoming.inserted_samples == 0


def test_a_stall_and_then_a_burst_loses_no_word() -> None:
    """300 ms of nothing, then fifteen packets at once."""
    call = Call()
    call.clean(0, 9)
    call.tick_until(480)
    for number in range(10, 25):
        call.push(number, 485)

    assert [what for what, _ in call.said if what.isdigit()] == [str(number) for number in range(25)]
    assert call.incoming.inserted_samples == ms(call.pcm) * 16 - 25 * FRAME_SAMPLES == 240 * 16
    assert call.incoming.buffer.lost == 0


def test_what_a_stall_put_in_is_taken_out_of_a_long_pause_but_not_of_its_first_second() -> None:
    call = Call()
    call.clean(0, 9)
    call.tick_until(480)
    for number in range(10, 25):
        call.push(number, 485)
    for number in range(25, 125):
        call.push(number, number * 20, b"quiet")
    before = call.pcm
    pause_ms = heard(before)[-1][1]
    call.clean(125, 130)

    assert 1000 <= pause_ms <= 2000 - 200
    assert 0 <= call.incoming.inserted_samples <= 40 * 16
    assert call.said[-6:] == [(str(number), 20) for number in range(125, 131)]


def test_what_a_stall_put_in_is_taken_out_of_a_pause_in_which_nothing_is_sent() -> None:
    call = Call()
    call.clean(0, 9)
    call.tick_until(480)
    for number in range(10, 25):
        call.push(number, 485)
    call.push(25, 500, b"q")
    flowing = [ms(call.tick_until(at)) for at in range(500, 2500, 20)]
    call.push(26, 2520, later_ms=2000)

    assert 0 in flowing[52:72] and 0 not in flowing[3:50] and 0 not in flowing[72:]
    assert 0 <= call.incoming.inserted_samples <= 40 * 16


def test_an_earlier_pause_does_not_count_when_another_is_shortened() -> None:
    """Two seconds of DTX, words, then a pause that begins in a stall: its first second stays whole."""
    call = Call()
    call.clean(0, 9)
    call.push(10, 200, b"q")
    call.tick_until(2200)
    for number in range(11, 21):
        call.push(number, 2000 + number * 20, later_ms=2000)
        call.tick_until(2010 + number * 20)
    before = samples_in(call.pcm)
    call.tick_until(2700)
    for number in range(21, 59):
        call.push(number, max(2705, 2000 + number * 20), b"quiet", later_ms=2000)

    assert call.incoming.inserted_samples > 0
    assert np.count_nonzero(np.frombuffer(call.pcm, "<i2")[before:] == QUIET) == 38 * FRAME_SAMPLES


@pytest.mark.parametrize(("frame_ms", "lost_of_ten"), [(20.1, 0), (19.9, 0), (20, 2)])
def test_stalls_are_paid_for_whatever_the_clocks_and_the_losses(frame_ms: float, lost_of_ten: int) -> None:
    """The sender's clock is half a percent slower or faster than ours; or a fifth of the packets is lost."""
    call = Call()
    for number in range(3000):
        if number % 10 < 10 - lost_of_ten:
            call.push(number, number * frame_ms)
            call.tick_until(int(number * frame_ms) + 10)
    call.tick_until(int(3015 * frame_ms))
    for number in range(3000, 3016):
        call.push(number, 3015 * frame_ms + 1)
    for number in range(3016, 3150):
        call.push(number, number * frame_ms, b"quiet")

    assert 0 <= call.incoming.inserted_samples <= 60 * 16
    assert call.incoming.buffer.lost == 300 * lost_of_ten


def test_a_microphone_muted_with_its_clock_stopped_makes_no_debt() -> None:
    """The silence was real: later pauses are not shortened for it."""
    call = Call()
    call.clean(0, 9)
    call.tick_until(5190)
    for number in range(10, 160):
        call.push(number, 5000 + number * 20, b"quiet")
        call.tick_until(5010 + number * 20)

    assert ms(call.pcm) == pytest.approx(10 * 20 + 5000 + 150 * 20, abs=80)


def test_a_quick_burst_is_not_taken_for_lateness_that_silence_has_to_pay() -> None:
    """The first packet came late, those after it on time: nothing was ever filled in, nothing may be left out."""
    call = Call()
    call.push(0, 150)
    for number in range(1, 150):
        call.push(number, max(151, number * 20), b"quiet")

    assert ms(call.pcm) == 150 * 20


def test_on_a_line_that_stalls_often_silence_waits_longer() -> None:
    call = Call()
    at_ms = 0
    for number in range(0, 40):
        at_ms = number * 20 + (110 if number % 8 == 0 else 0)
        call.tick_until(at_ms)
        call.push(number, at_ms)
    inserted = call.incoming.inserted_samples
    for number in range(40, 400):
        late = 110 if number % 8 == 0 else 0
        call.tick_until(max(number * 20 + late, at_ms))
        at_ms = max(number * 20 + late, at_ms)
        call.push(number, at_ms)

    assert inserted > 0
    assert call.incoming.inserted_samples <= inserted


def test_a_host_that_stood_still_does_not_fill_before_it_has_read_its_sockets() -> None:
    call = Call()
    call.clean(0, 9)

    assert ms(call.incoming.tick(5.0)) == 60
    assert ms(call.incoming.tick(5.0)) == 60


@pytest.mark.parametrize("jump_ms", [2_500, 3_600_000, -20, -5_000])
def test_a_clock_set_anew_is_not_a_gap(jump_ms: float) -> None:
    call = Call(first_tick=2**20)
    for number in range(20):
        call.push(number, number * 20, later_ms=jump_ms if number >= 5 else 0)

    assert ms(call.pcm) == 400 and call.incoming.silence_samples == 0
    assert call.incoming.clock_restarts == 1


def test_a_long_pause_that_really_lasted_is_a_gap() -> None:
    call = Call()
    call.clean(0, 9)
    call.tick_until(60_190)
    call.push(10, 60_200, later_ms=60_000)

    assert ms(call.pcm) == 11 * 20 + 60_000 and call.incoming.inserted_samples == 0


def test_gaps_never_add_up_to_more_than_time_has_passed_and_two_seconds() -> None:
    call, silence_ms = Call(), 0.0
    for number in range(100):
        silence_ms += ms(call.push(number, number, later_ms=number * 1500)) - 20

    assert 1_000 <= silence_ms <= 2_100


def test_after_an_outage_the_clock_is_right() -> None:
    call = Call()
    call.clean(0, 9)
    call.tick_until(5_000)
    call.clean(250, 260)

    assert ms(call.pcm) == 261 * 20
    assert call.incoming.buffer.lost == 240


def test_keys_pressed_are_no_loss_and_their_time_is_silence() -> None:
    """RFC 4733 events share the numbers of the audio; the door pushes them without a payload."""
    call = Call()
    for number in range(20):
        call.push(number, number * 20, b"" if 5 <= number < 12 else None)

    assert call.said == [(str(n), 20) for n in range(5)] + [("still", 140)] + [(str(n), 20) for n in range(12, 20)]
    assert call.incoming.buffer.lost == 0 and call.incoming.undecodable == 0


def test_a_loss_before_a_packet_without_audio_is_not_forgotten() -> None:
    call = Call()
    for number, payload in ((0, None), (2, b""), (3, b"say 3+"), (4, None)):
        call.push(number, number * 20, payload)

    assert call.said == [("0", 20), ("still", 20), ("2", 20), ("3", 20), ("4", 20)]
    assert call.incoming.buffer.lost == 1 and call.incoming.fec_samples == FRAME_SAMPLES


FATES = st.lists(
    st.tuples(
        st.sampled_from(["heard", "heard", "heard", "lost", "twice", "?", "q"]), st.integers(0, 120), st.integers(0, 90)
    ),
    min_size=1,
    max_size=80,
)
"""Of each packet: its fate, milliseconds of delay, milliseconds the sender paused before it."""


@given(FATES, st.sampled_from([0, 65_500]), st.sampled_from([0, 2**32 - 20_000]), st.booleans())
@settings(deadline=None, max_examples=200)
def test_samples_heard_are_the_rtp_clock_and_what_stalls_put_in(
    fates: list[tuple[str, int, int]], first: int, first_tick: int, ticked: bool
) -> None:
    call, paused_ms = Call(first, first_tick), 0
    arrivals: list[tuple[float, int, bytes | None, int]] = [(-1.0, 0, None, 0)]
    for number, (fate, late_ms, pause_ms) in enumerate(fates, start=1):
        paused_ms += pause_ms
        payload = {"?": b"?", "q": b"q"}.get(fate, b"say %d+" % number)
        at_ms = number * 20 + paused_ms + late_ms
        arrivals += [(at_ms, number, payload, paused_ms)] * {"lost": 0, "twice": 2}.get(fate, 1)
    end = len(fates) + 1
    arrivals.append((end * 20 + paused_ms + 1000, end, None, paused_ms))
    for came_ms, number, sent, later_ms in sorted(arrivals, key=lambda arrival: arrival[0]):
        if ticked:
            call.tick_until(int(came_ms))
        call.push(number, came_ms, sent, later_ms)
    call.pcm += call.incoming.tick(arrivals[-1][0] / 1000 + 0.2)

    inserted = call.incoming.inserted_samples
    assert samples_in(call.pcm) == (end + 1) * FRAME_SAMPLES + paused_ms * 16 + inserted
    assert inserted >= 0 and (ticked or inserted <= 60 * 16)  # the last tick may fill
    accounted = call.incoming.concealed_samples + call.incoming.fec_samples + call.incoming.silence_samples
    spoken_ms = 20 * (call.incoming.buffer.received - call.incoming.buffer.late - call.incoming.buffer.duplicate)
    assert accounted + (spoken_ms - 20 * call.incoming.undecodable) * 16 == samples_in(call.pcm)


@given(st.permutations(range(1, 9)))
@settings(deadline=None, max_examples=60)
def test_any_order_within_patience_sounds_the_same(order: list[int]) -> None:
    calls = [Call(), Call()]
    for call, numbers in zip(calls, (list(range(1, 9)), order), strict=True):
        call.push(0, 0)
        for place, number in enumerate(numbers):
            call.push(number, 20 + 2 * place)

    assert calls[0].pcm == calls[1].pcm and ms(calls[0].pcm) == 180


@given(st.lists(st.floats(0, 30), max_size=60))
@settings(deadline=None, max_examples=60)
def test_ticks_at_any_time_never_fill_more_than_real_time(times_s: list[float]) -> None:
    call = Call()
    call.clean(0, 4)
    latest, filled_ms = 0.09, 0.0
    for now_s in times_s:
        filled_ms += ms(call.incoming.tick(now_s))
        latest = max(latest, now_s)
        assert filled_ms <= (latest - 0.08) * 1000

    assert call.incoming.inserted_samples == filled_ms * 16


@given(st.lists(st.binary(max_size=40), max_size=30))
@settings(deadline=None, max_examples=150)
def test_no_payload_raises(payloads: list[bytes]) -> None:
    incoming = Incoming(OpusDecoder())
    for number, payload in enumerate(payloads):
        incoming.push(Packet(number, number * TICKS, payload), number * 0.02)
        incoming.tick(number * 0.02 + 0.01)


def test_hostile_packets_never_raise_and_give_no_more_audio_than_they_may() -> None:
    dice, incoming = random.Random(20261122), Incoming(OpusDecoder())
    now_s, total, decodable = 0.0, 0, 0
    for number in range(8_000):
        now_s += dice.choice([0.0, 0.0, 0.001])
        sequence = dice.choice([number, number, number, dice.randrange(2**16)]) % 2**16
        timestamp = dice.choice([number * TICKS, number * TICKS * 70, dice.randrange(2**32)]) % 2**32
        payload = dice.choice([lively()[number % 50], dice.randbytes(dice.randrange(90))])
        decodable += OpusDecoder().samples_of(payload) or 1920
        total += samples_in(incoming.push(Packet(sequence, timestamp, payload, ssrc=number // 3_000), now_s))
        total += samples_in(incoming.tick(now_s))

    assert incoming.undecodable > 100 and incoming.buffer.resyncs >= 2
    assert incoming.buffer.waiting <= 100
    assert total <= decodable + (now_s + 4) * SAMPLE_RATE_HZ


@cache
def lively() -> list[bytes]:
    """A second of a wavering voice as Opus with copies."""
    return spoken(wavering(), 0.1)


@cache
def wavering(duration_s: float = 1.0) -> bytes:
    times = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * 150 * times + 5 * np.sin(2 * np.pi * 1.5 * times)
    sound = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 20)) * np.sin(4 * np.pi * times) ** 2
    return np.round(4000 * sound).astype("<i2").tobytes()


def test_copies_of_lost_packets_make_opus_sound_better() -> None:
    voice = wavering(8.0)
    ratios = {}
    for what, loss in (("with copies", 0.1), ("without", 0.0)):
        payloads = spoken(voice, loss)
        decoder = OpusDecoder()
        clean = b"".join(decoder.decode(payload) for payload in payloads)
        incoming = Incoming(OpusDecoder())
        line = LossyLink(0.1, in_order=True, seed=5)
        ratios[what] = segmental_snr_db(clean, listen(incoming, line.carry(packets(payloads)), 8.05).pcm)
        assert (incoming.fec_samples > 20 * FRAME_SAMPLES) == (what == "with copies")

    assert ratios["with copies"] > ratios["without"] + 1


@pytest.mark.parametrize("bursty", [False, True])
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1])
@pytest.mark.parametrize(("jitter_s", "in_order"), [(0.0, True), (0.03, True), (0.03, False), (0.06, True)])
def test_on_every_line_nothing_is_lost_but_what_the_line_lost_and_delays_are_short(
    loss: float, bursty: bool, jitter_s: float, in_order: bool
) -> None:
    payloads = [b"say %d" % number for number in range(1500)]
    arrivals = LossyLink(loss, bursty, jitter_s, in_order, delay_s=0.15).carry(packets(payloads))
    incoming = Incoming(PlainCodec())
    sounds = listen(incoming, arrivals, 30.6)
    said = [what for what, _ in heard(sounds.pcm) if what.isdigit()]

    assert len(said) + incoming.buffer.late + incoming.buffer.duplicate == len(arrivals)
    assert said == sorted(set(said), key=int)
    assert incoming.buffer.late <= 0.01 * len(arrivals)
    assert sounds.wait_ms(50) <= 20 and sounds.wait_ms(100) <= 222


def test_delay_is_back_to_nothing_after_a_burst_of_jitter() -> None:
    payloads = [b"say %d" % number for number in range(1000)]
    sent = packets(payloads)
    wild = LossyLink(jitter_s=0.06, delay_s=0.2).carry(sent[:300])
    calm = LossyLink(0.02, delay_s=0.2, seed=2).carry(sent[300:])
    incoming = Incoming(PlainCodec())
    sounds = listen(incoming, sorted(wild + calm, key=lambda arrival: arrival.at_s), 20.3)

    # The patience that the burst taught is forgotten 3 s after it.
    assert max(wait for when, wait in sounds.waits_s if when < 6) > 0.1
    assert max(wait for when, wait in sounds.waits_s if when > 10) <= 0.042


def test_a_codec_without_copies_of_another_clock_is_as_long_as_its_clock() -> None:
    encoder, incoming, pcm = G711Encoder("a"), Incoming(G711Decoder("a")), b""
    sent = [encoder.encode(wavering()[at : at + 640]) for at in range(0, 32_000, 640)]
    for number, payload in enumerate(sent):
        if number not in (7, 20, 21):
            pcm += incoming.push(Packet(number, number * 160, payload), number * 0.02)

    assert samples_in(pcm) == 50 * FRAME_SAMPLES
    assert incoming.concealed_samples == 3 * FRAME_SAMPLES


def test_opus_with_dtx_is_as_long_as_its_clock() -> None:
    encoder, incoming, pcm = OpusEncoder(dtx=True), Incoming(OpusDecoder()), b""
    frames = [wavering()[at : at + 640] for at in range(0, 32_000, 640)] + [bytes(640)] * 100
    sequence = 0
    for number, frame in enumerate(frames * 2):
        payload = encoder.encode(frame)
        if len(payload) > 2:
            pcm += incoming.push(Packet(sequence, number * TICKS, payload), number * 0.02)
            sequence += 1
        pcm += incoming.tick(number * 0.02)

    assert sequence < 220
    assert samples_in(pcm) / 16 == pytest.approx(300 * 20, abs=130)
    assert incoming.buffer.lost == 0
