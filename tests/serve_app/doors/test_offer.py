"""Offers of every kind: an answer or `BadOffer` with a stable code, never anything else, and nothing left behind."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator

import aioice.ice
import pytest

from configs.settings import Media
from deployments.contracts.errors import BadOffer
from serve_app.doors.host_clock import HostClock
from serve_app.doors.ice_addresses import use_addresses
from serve_app.doors.offer import MOST_OFFER_BYTES, MOST_OFFER_LINES, read_offer
from serve_app.doors.webrtc import WebRtcLine
from serve_app.doors.webrtc_leg import MOST_TRICKLED
from tests.fakes.answering_machine import LOOPBACK, until
from tests.fakes.fake_host import OFFER

MEDIA = Media(host_addresses=(LOOPBACK,))
AUDIO = OFFER[OFFER.index("m=audio") : OFFER.index("m=application")]
DATA = OFFER[OFFER.index("m=application") :]
VIDEO = AUDIO.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "m=video 9 UDP/TLS/RTP/SAVPF 96")
VIDEO = VIDEO[: VIDEO.index("a=rtpmap")].replace("a=mid:0", "a=mid:2") + "a=rtpmap:96 VP8/90000\r\n"
CANDIDATE = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n"


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", aioice.ice.get_host_addresses)
    use_addresses(MEDIA)
    yield


@pytest.fixture
async def leaks_nothing() -> AsyncIterator[None]:
    """Sockets and tasks are as many after the test as before."""
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    yield
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= files)


async def answer(offer: bytes) -> str:
    """What the door says; the line is closed afterwards by whoever refused, or here."""
    text = read_offer(offer)
    line = WebRtcLine(MEDIA, HostClock())
    try:
        answered = await line.answer(text)
    except BadOffer:
        assert line._leg._peer.connectionState == "closed", "the refused line was left open"
        raise
    await line.close()
    return answered


async def outcome(offer: bytes) -> str:
    """The code of a refusal, or "answered"; any other exception fails the test."""
    try:
        await answer(offer)
    except BadOffer as error:
        assert 400 <= error.status < 500
        return error.code
    return "answered"


def without(*starts: str) -> bytes:
    """The offer without the lines that begin so."""
    return "".join(line for line in OFFER.splitlines(True) if not line.startswith(starts)).encode()


async def test_a_browser_s_offer_is_answered() -> None:
    assert await outcome(OFFER.encode()) == "answered"


async def test_an_offer_that_prefers_g711_is_answered_with_opus_all_the_same() -> None:
    """What is sent are ready Opus packets; under the payload type of PCMU they would be noise."""
    lines = OFFER.replace("111 63 9 0 8", "0 8 9 63 111").splitlines(True)
    first = next(place for place, line in enumerate(lines) if line.startswith("a=rtpmap"))
    lines.insert(first, lines.pop(lines.index("a=rtpmap:0 PCMU/8000\r\n")))

    answered = await answer("".join(lines).encode())

    assert [line for line in answered.splitlines() if line.startswith("a=rtpmap")] == ["a=rtpmap:111 opus/48000/2"]


async def test_video_is_declined_and_the_voice_answered() -> None:
    answered = await answer((OFFER + VIDEO).encode())

    voice, _, video = answered.split("m=")[1:]
    assert voice.startswith("audio") and "a=sendrecv" in voice
    assert video.startswith("video") and "a=inactive" in video


@pytest.mark.parametrize(
    ("offer", "code"),
    [
        (b"", "offer_unreadable"),
        (b"hello", "offer_unreadable"),
        (b"v=0\r\n", "offer_unreadable"),
        (b"\xff\xfe\x00\x01" * 100, "offer_unreadable"),
        (b"{}", "offer_unreadable"),
        (os.urandom(2000), "offer_unreadable"),
        (AUDIO.encode(), "offer_unreadable"),
        (OFFER.replace("a=mid:0", "a=mid:0\r\na=rtcp:nonsense").encode(), "offer_unreadable"),
        (OFFER.encode() + b"a=x:\xff\r\n", "offer_unreadable"),
        (OFFER.encode().ljust(MOST_OFFER_BYTES + 1), "offer_too_large"),
        (OFFER.encode() + b"a=x:1\r\n" * MOST_OFFER_LINES, "offer_too_large"),
        (OFFER.replace(AUDIO, VIDEO).encode(), "offer_without_audio"),
        (OFFER.replace(AUDIO, "").encode(), "offer_without_audio"),
        (OFFER.replace("m=audio 9 ", "m=audio 0 ").encode(), "offer_without_audio"),
        (OFFER.replace("opus/48000", "speex/16000").encode(), "offer_without_opus"),
        (OFFER.replace("opus/48000/2", "opus/8000").encode(), "offer_unusable"),
        (OFFER.replace(AUDIO, AUDIO.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP")).encode(), "offer_profile_unsupported"),
        (OFFER.replace(AUDIO, AUDIO.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVP")).encode(), "offer_profile_unsupported"),
        (without("a=ice-ufrag"), "offer_incomplete"),
        (without("a=ice-pwd"), "offer_incomplete"),
        (without("a=ice-"), "offer_incomplete"),
        (without("a=fingerprint"), "offer_incomplete"),
        (without("a=setup"), "offer_incomplete"),
        ((OFFER + AUDIO.replace("a=mid:0", "a=mid:2")).encode(), "offer_ambiguous"),
        (without("a=rtcp-mux"), "offer_unusable"),
    ],
)
async def test_a_bad_offer_is_refused_by_its_code(offer: bytes, code: str, leaks_nothing: None) -> None:
    assert await outcome(offer) == code


async def test_a_cut_offer_is_answered_or_refused(leaks_nothing: None) -> None:
    body = OFFER.encode()
    codes = [await outcome(body[:end]) for end in range(0, len(body), 50)]

    assert "answered" in codes  # cut within the data section
    assert codes[: len(codes) // 3].count("answered") == 0


def mutated(chance: random.Random) -> bytes:
    """The offer with a few lines or bytes lost, doubled, moved, changed."""
    lines = OFFER.encode().splitlines(True)
    for _ in range(chance.randint(1, 6)):
        place, other = chance.randrange(len(lines)), chance.randrange(len(lines))
        match chance.randrange(7):
            case 0:
                del lines[place]
            case 1:
                lines.insert(other, lines[place])
            case 2:
                lines[place], lines[other] = lines[other], lines[place]
            case 3:
                line = bytearray(lines[place] or b"\n")
                line[chance.randrange(len(line))] = chance.randrange(256)
                lines[place] = bytes(line)
            case 4:
                lines[place] = lines[place][: chance.randrange(len(lines[place]) + 1)]
            case 5:
                lines[place] = lines[place].replace(b"1", str(chance.choice((-1, 0, 2**31, 2**64, 99))).encode())
            case 6:
                head, _, _ = lines[place].partition(b":")
                lines[place] = head + b": / \xd9\x85 " + lines[other]
    return b"".join(lines)


async def test_mutated_offers_are_answered_or_refused(leaks_nothing: None) -> None:
    chance = random.Random(20261121)
    codes = [await outcome(mutated(chance)) for _ in range(400)]

    # The mutations reach behind the door as well as being stopped at it.
    assert {"answered", "offer_unreadable", "offer_incomplete"} <= set(codes)
    assert codes.count("answered") > 40


async def test_a_caller_that_leaves_while_it_is_answered_leaves_no_line(leaks_nothing: None) -> None:
    line = WebRtcLine(MEDIA, HostClock())
    answering = asyncio.create_task(line.answer(OFFER))
    await asyncio.sleep(0)
    answering.cancel()

    with pytest.raises(asyncio.CancelledError):
        await answering

    assert line._leg._peer.connectionState == "closed"


# ---------------------------------------------------------------- trickled candidates


@pytest.fixture
async def line() -> AsyncIterator[WebRtcLine]:
    answering = WebRtcLine(MEDIA, HostClock())
    await answering.answer(OFFER)
    yield answering
    await answering.close()


def remote_candidates(line: WebRtcLine) -> list[str]:
    transport = line._leg._peer.getTransceivers()[0].receiver.transport.transport
    return [f"{candidate.ip}:{candidate.port}" for candidate in transport.getRemoteCandidates()]


async def test_trickled_candidates_are_taken(line: WebRtcLine) -> None:
    await line.add_candidates(f"a=mid:0\r\n{CANDIDATE}a=end-of-candidates\r\n")
    await line.add_candidates(CANDIDATE.replace(" 9 typ", " 10 typ"))

    assert remote_candidates(line) == ["127.0.0.1:9", "127.0.0.1:10"]


async def test_a_candidate_of_a_section_that_does_not_exist_is_left_out(line: WebRtcLine) -> None:
    await line.add_candidates(f"a=mid:nowhere\r\n{CANDIDATE}")

    assert remote_candidates(line) == []


@pytest.mark.parametrize(
    "fragment",
    [
        "a=candidate:",
        "a=candidate:1 1 udp",
        "a=candidate:1 one udp 1 127.0.0.1 9 typ host",
        "a=candidate:1 1 udp 1 127.0.0.1 port typ host",
        "a=candidate:1 1 udp 1 127.0.0.1 9 typ host rport x",
        "a=candidate:" + "1" * 5000 + " 1 udp 1 not-an-address typ host host",
        "a=mid:0\n" + "a=candidate:1 1 udp 1 127.0.0.1 9 typ host raddr 1 rport é",
    ],
)
async def test_a_candidate_that_cannot_be_read_is_refused(line: WebRtcLine, fragment: str) -> None:
    with pytest.raises(BadOffer, match="candidate_unreadable"):
        await line.add_candidates(fragment)


@pytest.mark.parametrize("fragment", ["", "\r\n\r\n", "nonsense", "a=mid:\r\n", "\x00" * 1000, "a=mid:0\r\n" * 5000])
async def test_a_fragment_without_candidates_changes_nothing(line: WebRtcLine, fragment: str) -> None:
    await line.add_candidates(fragment)

    assert remote_candidates(line) == []


async def test_candidates_have_an_end(line: WebRtcLine) -> None:
    fragment = "".join(CANDIDATE.replace(" 9 typ", f" {port} typ") for port in range(1, MOST_TRICKLED + 1))
    await line.add_candidates(fragment)

    with pytest.raises(BadOffer, match="candidates_too_many"):
        await line.add_candidates(CANDIDATE)

    assert len(remote_candidates(line)) == MOST_TRICKLED
