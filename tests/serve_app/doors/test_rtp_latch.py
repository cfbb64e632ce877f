"""Whom a plain RTP line believes, without sockets: time and packets are arguments."""

from __future__ import annotations

from serve_app.doors.rtp_latch import Address, Latch

PRIVATE: Address = ("10.0.0.9", 4_000)
PUBLIC: Address = ("8.8.8.9", 4_000)
PHONE: Address = ("198.51.100.1", 5_000)
STRANGER: Address = ("198.51.100.2", 5_000)
SILENT_S = 1.5


def stream(latch: Latch, source: Address, begin_s: float, packets: int = 3, ssrc: int = 1) -> list[bool]:
    """What becomes of packets 20 ms apart."""
    return [latch.believes(source, ssrc, 65_534 + n & 0xFFFF, begin_s + n * 0.02) for n in range(packets)]


def test_the_address_of_the_sdp_is_believed_at_once() -> None:
    latch = Latch(PUBLIC, 0.0, SILENT_S)

    assert stream(latch, PUBLIC, 0.1) == [True, True, True]


def test_behind_nat_the_second_packet_in_a_row_is_believed() -> None:
    latch = Latch(PRIVATE, 0.0, SILENT_S)

    assert latch.to == PRIVATE
    assert stream(latch, PHONE, 0.1) == [False, True, True]
    assert latch.to == PHONE


def test_who_is_believed_keeps_strangers_out_until_he_is_silent() -> None:
    latch = Latch(PRIVATE, 0.0, SILENT_S)
    stream(latch, PHONE, 0.1)

    assert stream(latch, STRANGER, 0.2, packets=60) == [False] * 60
    assert latch.refuses(STRANGER, 0.2) and latch.to == PHONE
    assert stream(latch, STRANGER, 0.14 + SILENT_S) == [False, True, True]


def test_a_public_address_of_the_sdp_has_the_first_word() -> None:
    """Another port of that host may be its NAT; another host must wait."""
    latch = Latch(PUBLIC, 0.0, SILENT_S)

    assert stream(latch, STRANGER, 0.1) == [False] * 3
    assert stream(latch, (PUBLIC[0], 9_999), 0.2) == [False, True, True]
    assert stream(latch, PUBLIC, 0.3) == [True] * 3
    assert stream(Latch(PUBLIC, 0.0, SILENT_S), STRANGER, SILENT_S) == [False, True, True]


def test_packets_of_two_streams_are_not_in_a_row() -> None:
    latch = Latch(None, 0.0, SILENT_S)
    doubtful = [(PHONE, 1, 10), (PHONE, 2, 11), (STRANGER, 2, 12), (STRANGER, 2, 12), (STRANGER, 2, 40)]

    assert [latch.believes(source, ssrc, sequence, 0.1) for source, ssrc, sequence in doubtful] == [False] * 5
    assert latch.to is None
