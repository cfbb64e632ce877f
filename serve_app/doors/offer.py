"""What an SDP offer must be before anything is built for it: bytes in, text out, or `BadOffer` with a stable code.

Which door an offer is for, its audio section's profile says: `door_of`. WebRTC's is read here, plain RTP's in
`rtp_sdp.py`.
"""

from __future__ import annotations

from enum import Enum

from aiortc.sdp import SessionDescription

from deployments.contracts.errors import BadOffer

MOST_OFFER_BYTES = 64 * 1024
MOST_OFFER_LINES = 500
"""A browser's offer of audio, video and a data channel has about 200. aiortc's parser is quadratic in codecs and their
attributes: 64 KiB of them held the loop, and with it every call of the host, for 5 s (2 cores, 2026-11-21)."""


class Door(Enum):
    """How the caller gets in; the value is the call's `channel` in the records."""

    WEBRTC = "webrtc"
    RTP = "rtp"


def door_of(body: bytes) -> Door:
    """Plain RTP's, if audio is offered under one of its profiles and not under WebRTC's. Raises nothing."""
    sections = [line.split() for line in body[:MOST_OFFER_BYTES].splitlines() if line.startswith(b"m=audio")]
    profiles = {words[2] for words in sections if len(words) > 2}
    plain = any(profile.startswith(b"RTP/") for profile in profiles)
    return Door.RTP if plain and not any(profile.startswith(b"UDP/TLS/") for profile in profiles) else Door.WEBRTC


def offer_text(body: bytes) -> str:
    """The text of an offer for any door. Raises `BadOffer`."""
    if len(body) > MOST_OFFER_BYTES:
        raise BadOffer("offer_too_large", f"an offer may have {MOST_OFFER_BYTES} bytes", "door", 413)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadOffer("offer_unreadable", "the body is not an SDP offer (it is not UTF-8)", "door") from error
    if len(text.splitlines()) > MOST_OFFER_LINES:
        raise BadOffer("offer_too_large", f"an offer may have {MOST_OFFER_LINES} lines", "door", 413)
    return text


def read_offer(body: bytes) -> str:
    """Check an offer of WebRTC. Raises `BadOffer`."""
    text = offer_text(body)
    try:
        description = SessionDescription.parse(text)
        media, groups = list(description.media), list(description.group)
    except Exception as error:  # aiortc's parser raises whatever its first surprise is
        raise BadOffer("offer_unreadable", f"the body is not an SDP offer ({type(error).__name__})", "door") from error
    if not text.startswith("v=") or not media:
        raise BadOffer("offer_unreadable", "the body is not an SDP offer", "door")
    audio = [section for section in media if section.kind == "audio"]
    if len(audio) > 1:
        raise BadOffer("offer_ambiguous", "the offer has several audio sections; a call has one", "door")
    if not audio or audio[0].port == 0:
        raise BadOffer("offer_without_audio", "the offer has no audio section", "door")
    voice = audio[0]
    if not any(codec.mimeType.lower() == "audio/opus" for codec in voice.rtp.codecs):
        raise BadOffer("offer_without_opus", "the offer's audio section has no Opus", "door")
    if voice.profile != "UDP/TLS/RTP/SAVPF":
        raise BadOffer("offer_profile_unsupported", "only WebRTC offers (UDP/TLS/RTP/SAVPF) are answered", "door", 415)
    if voice.ice is None or not voice.ice.usernameFragment or not voice.ice.password:
        raise BadOffer("offer_incomplete", "the offer lacks ICE credentials", "door")
    if voice.dtls is None or not voice.dtls.fingerprints:
        raise BadOffer("offer_incomplete", "the offer lacks a DTLS fingerprint", "door")
    mids = [section.rtp.muxId for section in media]
    if len(set(mids)) < len(mids) or any(
        mid not in mids for group in groups if group.semantic == "BUNDLE" for mid in group.items
    ):
        raise BadOffer("offer_inconsistent", "a=mid must be unique, and BUNDLE may name no other", "door")
    return text
