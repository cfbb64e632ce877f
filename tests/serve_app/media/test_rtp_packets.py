"""RTP: what is written is read back, what is not RTP is None, and nothing whatever raises."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serve_app.media.rtp import Kind, RtpPacket, RtpStream, build_rtp, kind_of, parse_rtp

WORD = st.integers(0, 2**32 - 1)
PACKETS = st.builds(
    RtpPacket,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 0xFFFF),
    timestamp=WORD,
    ssrc=WORD,
    payload=st.binary(max_size=200),
    marker=st.booleans(),
    csrcs=st.lists(WORD, max_size=15).map(tuple),
    extension=st.none() | st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=5).map(lambda data: data * 4)),
)
PLAIN = bytes.fromhex("8000 0102 03040506 0708090a") + b"sound"


def test_a_packet_byte_by_byte() -> None:
    assert parse_rtp(PLAIN) == RtpPacket(0, 0x0102, 0x03040506, 0x0708090A, b"sound")
    assert parse_rtp(b"\x80\xe5" + PLAIN[2:]) == RtpPacket(101, 0x0102, 0x03040506, 0x0708090A, b"sound", marker=True)


def test_contributors_extension_and_padding_are_taken_off_the_payload() -> None:
    datagram = bytes.fromhex("b2 08 0001 00000002 00000003 0000000a 0000000b bede 0001 51ff0000") + b"ab\x00\x02"

    assert parse_rtp(datagram) == RtpPacket(8, 1, 2, 3, b"ab", csrcs=(10, 11), extension=(0xBEDE, b"\x51\xff\x00\x00"))


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        PLAIN[:11],
        b"\x40" + PLAIN[1:],
        b"\xc0" + PLAIN[1:],
        b"\x8f" + PLAIN[1:],  # fifteen contributors that are not there
        b"\x90" + PLAIN[1:12],  # no room for an extension's header
        b"\x90" + PLAIN[1:12] + b"\xbe\xde\x00\x02\x00\x00\x00\x00",  # an extension longer than the packet
        b"\xa0" + PLAIN[1:12] + b"a\x00",  # padding of no bytes
        b"\xa0" + PLAIN[1:12] + b"a\x03",  # padding that reaches into the header
        b"\xa0" + PLAIN[1:12],  # padding is said and nothing is there
    ],
)
def test_what_does_not_fit_is_none(datagram: bytes) -> None:
    assert parse_rtp(datagram) is None


def test_a_packet_of_nothing_but_padding_has_an_empty_payload() -> None:
    packet = parse_rtp(b"\xa0" + PLAIN[1:12] + b"\x00\x02")

    assert packet is not None and packet.payload == b""


@given(PACKETS)
@settings(deadline=None, max_examples=300)
def test_what_is_built_is_read_back(packet: RtpPacket) -> None:
    assert parse_rtp(build_rtp(packet)) == packet


@given(st.binary(max_size=120))
@settings(deadline=None, max_examples=2000)
@example(b"\xbf" + bytes(11) + b"\xff" * 60)
def test_any_bytes_are_a_packet_inside_them_or_none(datagram: bytes) -> None:
    packet = parse_rtp(datagram)

    assert isinstance(kind_of(datagram), Kind)
    if packet is not None:
        assert packet.payload in datagram
        assert len(packet.payload) + 12 + 4 * len(packet.csrcs) <= len(datagram)


def test_twenty_thousand_mutated_packets_raise_nothing() -> None:
    dice = random.Random(20261121)
    good = [PLAIN, build_rtp(RtpPacket(8, 1, 2, 3, bytes(160), True, (1, 2, 3), (0xBEDE, bytes(8))))]
    read = refused = 0
    for _ in range(20_000):
        mutant = bytearray(dice.choice(good))
        for _ in range(dice.randrange(1, 5)):
            mutant[dice.randrange(min(24, len(mutant)))] = dice.randrange(256)
        packet = parse_rtp(bytes(mutant[: dice.randrange(len(mutant) + 1)]))
        read, refused = read + (packet is not None), refused + (packet is None)

    assert read > 1000 and refused > 1000


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ("", Kind.OTHER), ("00 01", Kind.STUN), ("03 00", Kind.STUN), ("04 00", Kind.OTHER), ("13 00", Kind.OTHER),
        ("14 fe", Kind.DTLS), ("3f fe", Kind.DTLS), ("40 00", Kind.TURN_CHANNEL), ("4f 00", Kind.TURN_CHANNEL),
        ("50 00", Kind.OTHER), ("7f 00", Kind.OTHER), ("80 00", Kind.RTP), ("80 bf", Kind.RTP), ("80 c0", Kind.RTCP),
        ("81 c8", Kind.RTCP), ("bf df", Kind.RTCP), ("80 e0", Kind.RTP), ("80", Kind.OTHER), ("c0 c8", Kind.OTHER),
    ],
)  # fmt: skip
def test_what_shares_the_socket_is_told_apart(head: str, kind: Kind) -> None:
    assert kind_of(bytes.fromhex(head)) is kind


def sent(stream: RtpStream, payload: bytes = b"x") -> RtpPacket:
    packet = parse_rtp(stream.packet(payload))
    assert packet is not None
    return packet


def test_a_stream_counts_frames_and_marks_the_first_after_silence() -> None:
    stream = RtpStream(0, 160)
    first, second = sent(stream), sent(stream)
    stream.silence()
    stream.silence()
    third, fourth = sent(stream), sent(stream)

    assert [packet.marker for packet in (first, second, third, fourth)] == [True, False, True, False]
    assert [(p.sequence - first.sequence) % 0x10000 for p in (second, third, fourth)] == [1, 2, 3]
    assert [(p.timestamp - first.timestamp) % 2**32 for p in (second, third, fourth)] == [160, 640, 800]
    assert {packet.ssrc for packet in (first, second, third, fourth)} == {stream.ssrc}
    assert (stream.packets, stream.octets) == (4, 4)


def test_an_event_is_numbered_with_the_audio_and_leaves_its_clock() -> None:
    stream = RtpStream(0, 160)
    before = sent(stream)
    event = parse_rtp(stream.event(101, before.timestamp, b"\x05\x0a\x00\xa0", marker=True))
    after = sent(stream)

    assert event is not None
    assert (event.payload_type, event.timestamp, event.marker) == (101, before.timestamp, True)
    assert (after.sequence - before.sequence) % 0x10000 == 2
    assert (after.timestamp - before.timestamp) % 2**32 == 160
    assert after.payload_type == 0


def test_streams_begin_anywhere_and_their_counters_wrap() -> None:
    streams = [RtpStream(0, 960) for _ in range(20)]
    starts = [sent(stream) for stream in streams]

    assert len({packet.ssrc for packet in starts}) == 20
    assert len({packet.sequence for packet in starts}) > 15
    assert len({packet.timestamp for packet in starts}) > 15
    stream = streams[0]
    stream.timestamp = 2**32 - 960
    packets = [sent(stream) for _ in range(0x10001)]
    assert packets[0].sequence == packets[0x10000].sequence
    assert packets[1].timestamp == 0
