"""What the processes of the media benches have recorded, and the speech they send."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deployments.contracts.audio import FRAME_BYTES
from serve_app.caller.likeness import Timed, timed, to_array
from serve_app.cli.speech_audio import Room, speak, speaker
from serve_app.media.libopus import OpusDecoder

TEXT = (
    "Good morning, I am calling about the parcel that was promised for last Tuesday and has still not come. "
    "The driver left a note that nobody could read, the number on it belongs to a bakery, and my neighbour swears that "
    "a grey van stopped twice at the corner. Please look up order four thousand seven hundred and twelve, and tell me "
    "whether it can be delivered before the weekend or whether I should fetch it from the depot myself."
)
VOICE = "en-us+m3"


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a call: what was given to be sent, and what came out."""

    sent: Timed
    heard: Timed


def speech(seed: int) -> bytes:
    """About 20 s, s16le, whole frames, with a room's noise in the pauses: no frame is digital silence."""
    pcm = speak(speaker(), TEXT, VOICE, Room(), np.random.default_rng(seed))
    return pcm[: len(pcm) // FRAME_BYTES * FRAME_BYTES]


def recorded(folder: Path, call: int, pcm: bytes) -> tuple[Way, Way]:
    """Caller to session, session to caller."""
    with np.load(folder / f"server-{call}.npz") as server, np.load(folder / f"client-{call}.npz") as client:
        said = _repeated(pcm, len(client["sent_s"]))
        heard = Timed(server["heard"].astype(np.float64), server["heard_ends"], server["heard_s"])
        played = _repeated(pcm, len(server["asked_s"]))
        at_caller, ends = _decoded(client["payloads"].tobytes(), client["payload_ends"])
        return (
            Way(timed(said, client["sent_s"]), heard),
            Way(timed(played, server["asked_s"]), Timed(at_caller, ends, client["arrived_s"])),
        )


def _repeated(pcm: bytes, frames: int) -> np.ndarray:
    wanted = frames * FRAME_BYTES
    return to_array((pcm * (wanted // len(pcm) + 1))[:wanted])


def _decoded(payloads: bytes, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sound and the number of samples up to the end of each packet."""
    decoder = OpusDecoder()
    pieces, begin = [], 0
    for end in ends:
        pieces.append(decoder.decode(payloads[begin:end]))
        begin = int(end)
    return to_array(b"".join(pieces)), np.cumsum([len(piece) // 2 for piece in pieces])
