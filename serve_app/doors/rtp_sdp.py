"""SDP of plain RTP (RTP/AVP): an offer → what of it we use, or `BadOffer`; what we use → the answer (RFC 3264, 8866).

Pure; bytes have been checked by `offer.py`. Addresses are numbers: a name would have to be looked up, and could mean
another machine at every look. One audio section is answered, the others are declined. Of the codecs one is answered,
the best that both know, under the offerer's payload type; beside it telephone-event (RFC 4733) on the same clock.
We always send packets of 20 ms, whatever `a=ptime` wishes, and take any up to 200 ms.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from deployments.contracts.errors import BadOffer

PACKET_MS = 20
WIDE_L16_HZ = (16_000, 24_000)
"""Better than G.711. At 48 kHz 20 ms fill more than an Ethernet packet, so that is not spoken here."""
EVENT = "telephone-event"
STATIC = {0: ("pcmu", 8_000, 1), 8: ("pcma", 8_000, 1)}
"""Payload types that need no rtpmap (RFC 3551, table 4): name, clock, channels."""
DIRECTIONS = {
    "sendrecv": (True, True),
    "sendonly": (True, False),
    "recvonly": (False, True),
    "inactive": (False, False),
}
"""Attribute → whether the one who wrote it sends, and receives."""
_NAMES = {they_do: name for name, they_do in DIRECTIONS.items()}
_TOKEN = re.compile(r"[!-~]{1,64}")
_TIME = re.compile(r"\d{1,20} \d{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RtpCodec:
    """A payload format under its number."""

    name: str
    """pcmu, pcma, l16, opus, or telephone-event."""
    payload_type: int
    clock_hz: int


@dataclass(frozen=True, slots=True)
class RtpOffer:
    """What we use of an offer."""

    address: str | None
    """Where they receive; None = unspecified (0.0.0.0): nothing may be sent."""
    port: int
    rtcp_address: str | None
    rtcp_port: int
    rtcp_mux: bool
    """RTP and RTCP on one port (RFC 5761)."""
    codec: RtpCodec
    event: RtpCodec | None
    """How keys are told; None = not at all."""
    they_send: bool
    they_receive: bool
    """False: we are on hold."""
    sections: tuple[tuple[str, str, str] | None, ...]
    """Of every section kind, profile and first format, to be declined; None in the place of ours."""
    time: str
    """The t= line, which an answer repeats."""


@dataclass(slots=True)
class _Section:
    kind: str
    port: int
    profile: str
    formats: list[str]
    address: str | None
    """As written in c=."""
    attributes: list[tuple[str, str]]


def read_rtp_offer(text: str) -> RtpOffer:
    """What we use of the offer. Raises `BadOffer`."""
    session, sections, time = _split(text)
    ours = _choose(sections)
    attributes = dict(reversed(ours.attributes))  # of one that is repeated, the first
    if "maxptime" in attributes and _number(attributes["maxptime"].partition(".")[0], 1, 10_000) < PACKET_MS:
        raise _refusal("offer_packets_too_short", f"packets here last {PACKET_MS} ms; a=maxptime must allow them")
    codecs = _codecs(ours)
    codec = _best(codecs)
    if codec is None:
        raise _refusal("offer_without_codec", "none of Opus, L16 (8, 16, 24 kHz, mono), PCMA, PCMU is offered", 415)
    events = [each for each in codecs if each.name == EVENT]
    fitting = [each for each in events if each.clock_hz == codec.clock_hz]
    address = _address(ours.address or session.address)
    send, receive = _direction(ours.attributes) or _direction(session.attributes) or DIRECTIONS["sendrecv"]
    rtcp_port, rtcp_address = _rtcp(attributes.get("rtcp"), ours.port, address)
    return RtpOffer(
        address=address,
        port=ours.port,
        rtcp_address=rtcp_address,
        rtcp_port=rtcp_port,
        rtcp_mux="rtcp-mux" in attributes,
        codec=codec,
        event=next(iter(fitting or events), None),
        they_send=send,
        they_receive=receive and address is not None,  # 0.0.0.0 is how RFC 2543 put a call on hold
        sections=tuple(None if each is ours else (each.kind, each.profile, each.formats[0]) for each in sections),
        time=time,
    )


def rtp_answer(offer: RtpOffer, *, session: int, version: int, address: str, port: int, rtcp_port: int) -> str:
    """The answer. `session` stays the same for a call, `version` grows with each answer."""
    family = "IP6" if ":" in address else "IP4"
    lines = ["v=0", f"o=- {session} {version} IN {family} {address}", "s=-", f"c=IN {family} {address}"]
    lines.append(f"t={offer.time}")
    for declined in offer.sections:
        if declined is not None:
            lines.append("m={} 0 {} {}".format(*declined))
            continue
        formats = [offer.codec] if offer.event is None else [offer.codec, offer.event]
        lines.append(f"m=audio {port} RTP/AVP {' '.join(str(each.payload_type) for each in formats)}")
        lines += [f"a=rtpmap:{each.payload_type} {_written(each)}" for each in formats]
        if offer.codec.name == "opus":
            lines.append(f"a=fmtp:{offer.codec.payload_type} useinbandfec=1;sprop-maxcapturerate=16000")
        if offer.event is not None:
            lines.append(f"a=fmtp:{offer.event.payload_type} 0-15")
        lines.append(f"a=ptime:{PACKET_MS}")
        lines.append("a=rtcp-mux" if offer.rtcp_mux else f"a=rtcp:{rtcp_port}")
        lines.append(f"a={_NAMES[offer.they_receive, offer.they_send]}")
    return "".join(f"{line}\r\n" for line in lines)


def _split(text: str) -> tuple[_Section, list[_Section], str]:
    """The session's own lines as a section, the sections, and the t= line."""
    time = "0 0"
    session = _Section("", 0, "", [], None, [])
    sections: list[_Section] = []
    lines = text.splitlines()
    if not lines or lines[0].strip() != "v=0":
        raise _refusal("offer_unreadable", "the body is not an SDP offer")
    for line in lines:
        kind, equals, value = line.partition("=")
        if not equals or len(kind) != 1:
            if line.strip():
                raise _refusal("offer_unreadable", "a line of SDP is one letter, = and a value")
            continue
        here = sections[-1] if sections else session
        if kind == "m":
            sections.append(_section(value))
        elif kind == "c":
            here.address = value
        elif kind == "a":
            name, _, setting = value.strip().partition(":")
            here.attributes.append((name, setting.strip()))
        elif kind == "t" and _TIME.fullmatch(value.strip()):
            time = value.strip()
    return session, sections, time


def _section(value: str) -> _Section:
    words = value.split()
    if len(words) < 4 or not all(_TOKEN.fullmatch(word) for word in words):
        raise _refusal("offer_unreadable", "an m= line names kind, port, profile and formats")
    return _Section(words[0], _number(words[1].partition("/")[0], 0, 65535), words[2], words[3:], None, [])


def _choose(sections: list[_Section]) -> _Section:
    audio = [section for section in sections if section.kind == "audio" and section.port]
    if not audio:
        raise _refusal("offer_without_audio", "the offer has no audio section")
    plain = [section for section in audio if section.profile == "RTP/AVP"]
    if plain:
        return plain[0]
    if any(section.profile in ("RTP/SAVP", "RTP/SAVPF") for section in audio):
        raise _refusal("offer_srtp_unsupported", "encrypted RTP (RTP/SAVP) is not spoken yet; offer RTP/AVP", 415)
    raise _refusal("offer_profile_unsupported", "of RTP without DTLS only RTP/AVP is answered", 415)


def _codecs(section: _Section) -> list[RtpCodec]:
    """What of the section's formats we know, in its order."""
    mapped: dict[int, tuple[str, int, int]] = dict(STATIC)
    for name, value in section.attributes:
        if name != "rtpmap":
            continue
        number, _, encoding = value.partition(" ")
        words = encoding.strip().lower().split("/")
        mapped[_number(number, 0, 127)] = (
            words[0],
            _number(words[1] if len(words) > 1 else "", 1, 1_000_000),
            _number(words[2], 1, 255) if len(words) > 2 else 1,
        )
    known = []
    for format_ in section.formats:
        payload_type = _number(format_, 0, 127)
        name, clock_hz, channels = mapped.get(payload_type, ("", 0, 0))
        if _spoken(name, clock_hz, channels):
            known.append(RtpCodec(name, payload_type, clock_hz))
    return known


def _spoken(name: str, clock_hz: int, channels: int) -> bool:
    if name == "opus":
        return (clock_hz, channels) == (48_000, 2)  # always so, also of mono (RFC 7587, section 7)
    if name == "l16":
        return clock_hz in (8_000, *WIDE_L16_HZ) and channels == 1
    return name == EVENT or (name in ("pcmu", "pcma") and (clock_hz, channels) == (8_000, 1))


def _best(codecs: list[RtpCodec]) -> RtpCodec | None:
    """Opus, then wide L16, then what sounds like a telephone; among equals the first."""

    def rank(codec: RtpCodec) -> int:
        if codec.name == "opus":
            return 0
        return 1 if codec.clock_hz in WIDE_L16_HZ else 2

    return min((codec for codec in codecs if codec.name != EVENT), key=rank, default=None)


def _written(codec: RtpCodec) -> str:
    if codec.name == "opus":
        return "opus/48000/2"
    return f"{codec.name if codec.name == EVENT else codec.name.upper()}/{codec.clock_hz}"


def _direction(attributes: list[tuple[str, str]]) -> tuple[bool, bool] | None:
    return next((DIRECTIONS[name] for name, _ in attributes if name in DIRECTIONS), None)


def _rtcp(value: str | None, port: int, address: str | None) -> tuple[int, str | None]:
    """Port and address of RTCP: those of a=rtcp (RFC 3605), else the port after that of RTP."""
    if not value:
        return min(port + 1, 65535), address
    number, _, where = value.partition(" ")
    return _number(number, 1, 65535), _address(where) if where.strip() else address


def _address(connection: str | None) -> str | None:
    """The address of a c= line; None when it is unspecified."""
    if connection is None:
        raise _refusal("offer_incomplete", "the offer lacks a c= line")
    words = connection.split()
    try:
        if len(words) != 3 or words[0] != "IN" or "%" in words[2]:
            raise ValueError("not IN IP4/IP6 and an address")
        address = ipaddress.ip_address(words[2].partition("/")[0])
        if address.version != {"IP4": 4, "IP6": 6}.get(words[1]):
            raise ValueError("its family is another")
    except ValueError as error:
        raise _refusal("offer_address_unsupported", f"a c= line names a numeric address: {error}") from error
    if address.is_multicast or str(address) == "255.255.255.255" or getattr(address, "ipv4_mapped", None) is not None:
        raise _refusal("offer_address_unsupported", "media is sent to one machine, by its own address")
    return None if address.is_unspecified else str(address)


def _number(text: str, least: int, most: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most:
        return int(text)
    raise _refusal("offer_unreadable", f"the offer has something else where a number of {least} to {most} belongs")


def _refusal(code: str, detail: str, status: int | None = None) -> BadOffer:
    return BadOffer(code, detail, "door", status)
