"""RTCP: reports there and back, the round trip out of them, and nothing whatever raises."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from serve_app.media.rtcp import (
    Compound,
    Report,
    ReportBlock,
    SenderInfo,
    build_report,
    middle,
    ntp_time,
    parse_rtcp,
    round_trip_s,
)

WORD = st.integers(0, 2**32 - 1)
BLOCKS = st.builds(ReportBlock, WORD, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), WORD, WORD, WORD, WORD)
SENDERS = st.none() | st.builds(SenderInfo, st.integers(0, 2**64 - 1), WORD, WORD, WORD)
RR = bytes.fromhex("81c90007 00000001 00000002 40fffffe 00010003 00000050 11223344 00010000")


def test_a_receiver_report_byte_by_byte() -> None:
    block = ReportBlock(2, 0x40, -2, 0x10003, 0x50, 0x11223344, 0x10000)

    assert parse_rtcp(RR) == Compound((Report(1, (block,)),))
    assert build_report(1, b"", [block])[: len(RR)] == RR


def test_a_sender_report_with_name_and_farewell() -> None:
    sender = SenderInfo(0x0102030405060708, 9, 10, 11)
    datagram = build_report(7, b"dukat", sender=sender, bye=True)

    assert datagram[:8] == bytes.fromhex("80c80006 00000007")
    assert datagram[28:44] == bytes.fromhex("81ca0003 00000007 0105") + b"dukat\0"
    assert build_report(7, b"ab")[8:] == bytes.fromhex("81ca0003 00000007 0102 6162 00000000")
    assert parse_rtcp(datagram) == Compound((Report(7, (), sender),), ((7, b"dukat"),), (7,))


@given(WORD, st.binary(max_size=60), st.lists(BLOCKS, max_size=31), SENDERS, st.booleans())
@settings(deadline=None, max_examples=300)
def test_what_is_built_is_read_back(
    ssrc: int, name: bytes, blocks: list[ReportBlock], sender: SenderInfo | None, bye: bool
) -> None:
    datagram = build_report(ssrc, name, blocks, sender, bye)

    assert len(datagram) % 4 == 0
    assert parse_rtcp(datagram) == Compound(
        (Report(ssrc, tuple(blocks), sender),), ((ssrc, name),), (ssrc,) if bye else ()
    )


def test_figures_too_large_for_their_field_are_cut_not_wrapped() -> None:
    block = ReportBlock(1, 0, 2**30, 0, 0)
    compound = parse_rtcp(build_report(1, bytes(300), [block] * 40))

    assert compound is not None
    assert len(compound.reports[0].blocks) == 31
    assert compound.reports[0].blocks[0].cumulative_lost == 2**23 - 1
    assert compound.names == ((1, bytes(255)),)


def test_packets_of_other_kinds_are_stepped_over() -> None:
    feedback = bytes.fromhex("81cd0003 00000001 00000002 00010000")
    padded = bytes.fromhex("a0cc0002 64756b61 00000004")

    assert parse_rtcp(feedback + RR + padded) == parse_rtcp(RR)


def test_several_chunks_and_items_of_a_description() -> None:
    one = bytes.fromhex("00000001 0101 61 0203 626263 00 000000")  # a name, an item of another kind, the end
    two = bytes.fromhex("00000002 0102 6364 00000000")
    body = one + two

    assert parse_rtcp(struct.pack("!BBH", 0x82, 202, len(body) // 4) + body) == Compound(names=((1, b"a"), (2, b"cd")))


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        RR[:-1],
        RR[:3],
        b"\x01" + RR[1:],
        b"\x82" + RR[1:],  # two blocks are said, one is there
        RR[:1] + b"\x80" + RR[2:],  # no RTCP type
        b"\xa1" + RR[1:-1] + b"\x00",  # padding of no bytes
        b"\xa1" + RR[1:-1] + b"\xff",  # padding longer than the packet
        b"\xa1" + RR[1:-1] + b"\x04",  # padding over what is needed
        RR + b"\x81",
        bytes.fromhex("81ca0001 00000001") + RR[:2],
        bytes.fromhex("82ca0002 00000001 00000000"),  # the second chunk is missing
        bytes.fromhex("81ca0002 00000001 01ff6162"),  # a name longer than the packet
        bytes.fromhex("82cb0001 00000001"),  # two farewells are said
        bytes.fromhex("80c80001 00000001"),  # a sender report without its sender
        RR[:4].replace(b"\x81", b"\x80").replace(b"\x07", b"\x01") * 33,
    ],
)
def test_what_does_not_fit_is_none(datagram: bytes) -> None:
    assert parse_rtcp(datagram) is None


def test_a_datagram_of_tiny_packets_is_not_read_to_the_end() -> None:
    tiny = bytes.fromhex("80cb0000")

    assert parse_rtcp(tiny * 32) == Compound()
    assert parse_rtcp(tiny * 33) is None


@given(st.binary(max_size=160))
@settings(deadline=None, max_examples=2000)
@example(bytes.fromhex("9fca0000"))
@example(bytes.fromhex("9fcb0000"))
def test_any_bytes_are_a_compound_or_none(datagram: bytes) -> None:
    compound = parse_rtcp(datagram)

    assert compound is None or isinstance(compound, Compound)


def test_twenty_thousand_mutated_compounds_raise_nothing() -> None:
    dice = random.Random(20261121)
    block = ReportBlock(2, 3, 4, 5, 6, 7, 8)
    good = [build_report(1, b"dukat", [block] * 2, SenderInfo(1, 2, 3, 4), True), build_report(1, b"x", [block]), RR]
    read = refused = 0
    for _ in range(20_000):
        mutant = bytearray(dice.choice(good))
        for _ in range(dice.randrange(1, 5)):
            mutant[dice.randrange(len(mutant))] = dice.choice((0, 1, 4, 0x80, 0xFF, dice.randrange(256)))
        cut = len(mutant) if dice.random() < 0.7 else dice.randrange(len(mutant))
        compound = parse_rtcp(bytes(mutant[:cut]))
        read, refused = read + (compound is not None), refused + (compound is None)

    assert read > 1000 and refused > 1000


def test_the_round_trip_of_the_example_in_the_standard() -> None:
    """RFC 3550, figure 2: A = 0xb710:8000, DLSR = 5.250 s, LSR = 0xb705:2000 → 6.125 s."""
    block = ReportBlock(1, 0, 0, 0, 0, 0xB7052000, 0x00054000)

    assert round_trip_s(block, 0xB7108000 << 16) == 6.125


def test_the_round_trip_over_the_wrap_of_the_clock_and_of_nothing() -> None:
    sent = ntp_time(1_700_000_000.0) // 2**48 * 2**48 + (0xFFFF << 32)

    block = ReportBlock(1, 0, 0, 0, 0, middle(sent), 65536 // 4)
    assert round_trip_s(block, sent + 2**33) == pytest.approx(1.75)
    assert round_trip_s(block, sent + 2**30) == 0.0
    assert round_trip_s(block, sent + 2**30 - (60 << 16)) == 0.0


@pytest.mark.parametrize(
    ("last", "since"), [(0, 0), (0xB7100000, 0x00100000), (0xB7108001, 0x10000), (0xB6000000, 0), (0x37108000, 0)]
)
def test_a_round_trip_that_cannot_be_is_none(last: int, since: int) -> None:
    assert round_trip_s(ReportBlock(1, 0, 0, 0, 0, last, since), 0xB7108000 << 16) is None


def test_ntp_time_counts_from_1900() -> None:
    assert ntp_time(0.0) == 2_208_988_800 << 32
    assert ntp_time(0.5) - ntp_time(0.0) == 2**31
    assert middle(0x0102030405060708) == 0x03040506
