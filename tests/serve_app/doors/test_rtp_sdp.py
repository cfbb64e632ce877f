"""Offers of plain RTP: what is used of them, what is answered, and that nothing but `BadOffer` comes of bad ones."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contracts.errors import BadOffer
from serve_app.doors.offer import MOST_OFFER_BYTES, MOST_OFFER_LINES, Door, door_of, offer_text
from serve_app.doors.rtp_sdp import RtpCodec, RtpOffer, read_rtp_offer, rtp_answer
from tests.fakes.fake_host import OFFER as WEBRTC_OFFER

HEAD = "v=0\r\no=alice 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
CODECS = """a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:96 L16/16000
a=rtpmap:97 L16/8000/1
a=rtpmap:98 opus/48000/2
a=rtpmap:100 telephone-event/48000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
""".replace("\n", "\r\n")
OFFER = HEAD + "m=audio 49170 RTP/AVP 8 0 96 97 98 101 100\r\n" + CODECS + "a=ptime:20\r\na=sendrecv\r\n"
VIDEO = "m=video 51372 RTP/AVP 31 32\r\na=rtpmap:31 H261/90000\r\n"


def of(formats: str, *lines: str, head: str = HEAD) -> str:
    return head + f"m=audio 49170 RTP/AVP {formats}\r\n" + CODECS + "".join(f"{line}\r\n" for line in lines)


def answered(offer: RtpOffer) -> list[str]:
    text = rtp_answer(offer, session=5, version=2, address="198.51.100.7", port=30_000, rtcp_port=30_001)
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def code_of(text: str) -> str:
    try:
        answered(read_rtp_offer(offer_text(text.encode())))
    except BadOffer as error:
        assert 400 <= error.status < 500
        return error.code
    return "answered"


def test_an_offer_is_understood() -> None:
    assert read_rtp_offer(OFFER) == RtpOffer(
        address="192.0.2.1",
        port=49170,
        rtcp_address="192.0.2.1",
        rtcp_port=49171,
        rtcp_mux=False,
        codec=RtpCodec("opus", 98, 48_000),
        event=RtpCodec("telephone-event", 100, 48_000),
        they_send=True,
        they_receive=True,
        sections=(None,),
        time="0 0",
    )


def test_the_answer_mirrors_the_offer() -> None:
    assert answered(read_rtp_offer(OFFER)) == [
        "v=0",
        "o=- 5 2 IN IP4 198.51.100.7",
        "s=-",
        "c=IN IP4 198.51.100.7",
        "t=0 0",
        "m=audio 30000 RTP/AVP 98 100",
        "a=rtpmap:98 opus/48000/2",
        "a=rtpmap:100 telephone-event/48000",
        "a=fmtp:98 useinbandfec=1;sprop-maxcapturerate=16000",
        "a=fmtp:100 0-15",
        "a=ptime:20",
        "a=rtcp:30001",
        "a=sendrecv",
    ]


@pytest.mark.parametrize(
    ("formats", "chosen"),
    [
        ("8 0 96 97 98 101", ("opus", 98, 48_000)),
        ("8 0 96 97 101", ("l16", 96, 16_000)),
        ("8 0 97", ("pcma", 8, 8_000)),
        ("0 8 97", ("pcmu", 0, 8_000)),
        ("97 0 8", ("l16", 97, 8_000)),
        ("18 3 0", ("pcmu", 0, 8_000)),
    ],
)
def test_the_best_codec_that_both_know_is_chosen(formats: str, chosen: tuple[str, int, int]) -> None:
    assert read_rtp_offer(of(formats)).codec == RtpCodec(*chosen)


def test_payload_types_that_need_no_map_have_none_and_a_map_of_theirs_counts() -> None:
    plain = HEAD + "m=audio 4 RTP/AVP 0\r\n"

    assert read_rtp_offer(plain).codec.name == "pcmu"
    assert code_of(plain + "a=rtpmap:0 speex/16000\r\n") == "offer_without_codec"


@pytest.mark.parametrize(("formats", "event"), [("0 100 101", 101), ("98 101 100", 100), ("98 101", 101), ("0", None)])
def test_keys_are_told_on_the_clock_of_the_audio_where_that_is_offered(formats: str, event: int | None) -> None:
    offer = read_rtp_offer(of(formats))

    assert (offer.event.payload_type if offer.event else None) == event


@pytest.mark.parametrize(
    ("direction", "they_send", "they_receive", "ours"),
    [
        ("sendrecv", True, True, "sendrecv"),
        ("sendonly", True, False, "recvonly"),
        ("recvonly", False, True, "sendonly"),
        ("inactive", False, False, "inactive"),
    ],
)
def test_directions_are_mirrored(direction: str, they_send: bool, they_receive: bool, ours: str) -> None:
    own, inherited = read_rtp_offer(of("0", f"a={direction}")), of("0").replace("t=0 0", f"t=0 0\r\na={direction}")

    assert (own.they_send, own.they_receive) == (they_send, they_receive)
    assert answered(own)[-1] == f"a={ours}"
    assert read_rtp_offer(inherited) == own


def test_an_unspecified_address_is_hold() -> None:
    offer = read_rtp_offer(of("0", "c=IN IP4 0.0.0.0"))

    assert (offer.address, offer.they_send, offer.they_receive) == (None, True, False)
    assert answered(offer)[-1] == "a=recvonly"


def test_the_section_s_own_address_counts_and_ipv6_is_spoken() -> None:
    offer = read_rtp_offer(of("0", "c=IN IP6 2001:db8::1"))

    text = rtp_answer(offer, session=5, version=2, address="2001:db8::7", port=30_000, rtcp_port=30_001)
    assert (offer.address, offer.rtcp_address) == ("2001:db8::1", "2001:db8::1")
    assert "c=IN IP6 2001:db8::7\r\n" in text


@pytest.mark.parametrize(
    ("line", "rtcp"),
    [
        ("a=rtcp:53020", ("192.0.2.1", 53020, False)),
        ("a=rtcp:53020 IN IP4 192.0.2.9", ("192.0.2.9", 53020, False)),
        ("a=rtcp-mux", ("192.0.2.1", 49171, True)),
    ],
)
def test_reports_go_where_the_offer_wants_them(line: str, rtcp: tuple[str, int, bool]) -> None:
    offer = read_rtp_offer(of("0", line))

    assert (offer.rtcp_address, offer.rtcp_port, offer.rtcp_mux) == rtcp
    assert ("a=rtcp-mux" in answered(offer)) == offer.rtcp_mux


def test_other_sections_are_declined_in_their_places() -> None:
    second = "m=audio 5000 RTP/SAVP 0\r\n"
    offer = read_rtp_offer(HEAD + VIDEO + OFFER.removeprefix(HEAD) + second)

    media = [line for line in answered(offer) if line.startswith("m=")]
    assert media == ["m=video 0 RTP/AVP 31", "m=audio 30000 RTP/AVP 98 100", "m=audio 0 RTP/SAVP 0"]


def test_the_time_is_repeated_and_nothing_else_gets_into_the_answer() -> None:
    timed = read_rtp_offer(of("0").replace("t=0 0", "t=3034423619 3042462419"))
    odd = read_rtp_offer(of("0", "a=t=:9 9").replace("t=0 0", "t=now a=x"))

    assert (timed.time, odd.time) == ("3034423619 3042462419", "0 0")


@pytest.mark.parametrize(
    ("offer", "code"),
    [
        ("", "offer_unreadable"),
        ("hello", "offer_unreadable"),
        ("v=1\r\n", "offer_unreadable"),
        ("v=0\r\n", "offer_without_audio"),
        (OFFER + "nonsense\r\n", "offer_unreadable"),
        (HEAD + VIDEO, "offer_without_audio"),
        (OFFER.replace("49170", "0"), "offer_without_audio"),
        (OFFER.replace("49170", "70000"), "offer_unreadable"),
        (OFFER.replace("49170", "-1"), "offer_unreadable"),
        (OFFER.replace("49170", "٣٤"), "offer_unreadable"),
        (OFFER.replace("49170 RTP/AVP 8 0 96 97 98 101 100", "49170 RTP/AVP"), "offer_unreadable"),
        (OFFER.replace("opus/48000/2", "opus/" + "9" * 5000), "offer_unreadable"),
        (OFFER.replace("RTP/AVP", "RTP/SAVP"), "offer_srtp_unsupported"),
        (OFFER.replace("RTP/AVP", "RTP/SAVPF"), "offer_srtp_unsupported"),
        (OFFER.replace("RTP/AVP", "RTP/AVPF"), "offer_profile_unsupported"),
        (of("9 18"), "offer_without_codec"),
        (of("101"), "offer_without_codec"),
        (of("0", "a=maxptime:10"), "offer_packets_too_short"),
        (of("0", head=HEAD.replace("c=IN IP4 192.0.2.1\r\n", "")), "offer_incomplete"),
        (of("0", "c=IN IP4 phone.example.com"), "offer_address_unsupported"),
        (of("0", "c=IN IP4 224.2.1.1/127"), "offer_address_unsupported"),
        (of("0", "c=IN IP4 255.255.255.255"), "offer_address_unsupported"),
        (of("0", "c=IN IP6 192.0.2.1"), "offer_address_unsupported"),
        (of("0", "c=IN IP6 fe80::1%eth0"), "offer_address_unsupported"),
        (of("0", "c=IN IP6 ::ffff:192.0.2.1"), "offer_address_unsupported"),
        (of("0", "a=rtcp:0"), "offer_unreadable"),
        (of("0", "a=x:" + "y" * MOST_OFFER_BYTES), "offer_too_large"),
        (of("0", *["a=x:1"] * MOST_OFFER_LINES), "offer_too_large"),
    ],
)
def test_a_bad_offer_is_refused_by_its_code(offer: str, code: str) -> None:
    assert code_of(offer) == code


def test_packets_of_20_ms_and_more_may_be_asked_for() -> None:
    assert code_of(of("0", "a=maxptime:20")) == code_of(of("0", "a=ptime:30", "a=maxptime:150")) == "answered"


@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False))
def test_mutated_offers_are_answered_or_refused(chance: random.Random) -> None:
    lines = OFFER.splitlines(True) + VIDEO.splitlines(True)
    for _ in range(chance.randint(1, 6)):
        place, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        line = lines[place]
        match chance.randrange(6):
            case 0:
                lines[place] = ""
            case 1:
                lines.insert(other, line)
            case 2:
                lines[place], lines[other] = lines[other], line
            case 3:
                at = chance.randrange(len(line) + 1)
                lines[place] = line[:at] + chr(chance.choice((0, 10, 32, 61, 0x663, 0x2028, 0x1F600))) + line[at + 1 :]
            case 4:
                lines[place] = line[: chance.randrange(len(line) + 1)]
            case _:
                lines[place] = line.replace("0", str(chance.choice((-1, 2**31, 10**30, "", "²"))))

    assert code_of("".join(lines)).startswith(("answered", "offer_"))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_bytes_are_for_some_door_and_never_more_than_refused(body: bytes) -> None:
    assert door_of(body) in Door
    try:
        read_rtp_offer(offer_text(b"v=0\r\nm=audio 1 RTP/AVP 0\r\n" + body))
    except BadOffer as error:
        assert error.code.startswith("offer_")


@pytest.mark.parametrize(
    ("offer", "door"),
    [
        (OFFER, Door.RTP),
        (OFFER.replace("RTP/AVP", "RTP/SAVP"), Door.RTP),
        (VIDEO + OFFER, Door.RTP),
        (WEBRTC_OFFER, Door.WEBRTC),
        (WEBRTC_OFFER + OFFER, Door.WEBRTC),
        ("m=audio", Door.WEBRTC),
        ("", Door.WEBRTC),
    ],
)
def test_the_profile_says_which_door(offer: str, door: Door) -> None:
    assert door_of(offer.encode()) is door
