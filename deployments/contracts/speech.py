"""What the speech models take and give: voice activity, recognition, synthesis."""

from __future__ import annotations

from dataclasses import dataclass, field

VAD_WINDOW_SAMPLES = 512
"""Silero's window at 16 kHz: 32 ms."""


@dataclass(frozen=True, slots=True)
class VadWindows:
    """One call's share of a VAD tick: its consecutive complete windows and where the model stood before them."""

    pcm: bytes
    """n × 512 samples, signed 16-bit little-endian."""
    state: bytes | None
    """Opaque state returned for the previous windows of this call; None at its beginning."""


@dataclass(frozen=True, slots=True)
class VadVerdict:
    """The answer to one `VadWindows`."""

    probabilities: tuple[float, ...]
    """Probability of speech in [0, 1], one a window, in order."""
    state: bytes
    """Hand this back with the next windows."""


@dataclass(frozen=True, slots=True)
class Phrasebook:
    """What a grammar-driven recogniser may hear for a tenant. Engines with free dictation may use it as a hint."""

    key: str
    """Changes whenever the phrases change, e.g. "demo-3f9a1c"; an engine caches its compiled form by it."""
    phrases: tuple[str, ...]
    """Sentences as people say them: "what are your opening hours"."""
    lexicon: tuple[tuple[str, str], ...] = ()
    """Extra pronunciations: (word, ARPAbet phones), e.g. ("dubai", "D UW B AY")."""


@dataclass(frozen=True, slots=True)
class SpeechPiece:
    """The next piece of one utterance, sent to the recogniser."""

    utterance: str
    """Identity of the utterance; the recogniser keeps its state under it."""
    offset: int
    """Samples of this utterance that came before this piece."""
    pcm: bytes
    """Signed 16-bit little-endian, mono, 16 kHz."""
    last: bool
    """The turn has ended: answer with the final transcript and forget the utterance."""
    language: str | None = None
    """"en", "ar", or None when unknown."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recognised so far of one utterance."""

    text: str
    """"" when nothing of the audio could be recognised."""
    final: bool
    stable_chars: int = 0
    """Length of the prefix of `text` that will not change any more."""
    complete: bool | None = None
    """The recogniser believes the sentence is whole (True) or not (False); None when it cannot tell."""
    confidence: float | None = None
    """In [0, 1]; None when the engine gives none."""
    language: str | None = None
    engine_ms: float = 0.0
    """Time the engine itself worked on this piece, without queues and transport."""


@dataclass(frozen=True, slots=True)
class NeedAudio:
    """The recogniser does not have this utterance up to `SpeechPiece.offset` (new replica, evicted state).

    Send the piece again with everything from `from_sample` on.
    """

    utterance: str
    from_sample: int = 0


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """One clause to be spoken."""

    request: str
    """Identity of the request, for logs."""
    text: str
    language: str
    """"en" or "ar"."""
    voice: str
    """Name of a voice the engine knows; which names exist is the engine's documentation."""
    speed: float = 1.0
    """1.0 = normal; 0.5 to 2.0."""


@dataclass(frozen=True, slots=True)
class WordMark:
    """Where a word ends: in the audio and in the text."""

    end_sample: int
    """Samples of this request's audio up to the end of the word."""
    end_char: int
    """Characters of this request's text up to the end of the word."""


@dataclass(frozen=True, slots=True)
class SpeechAudio:
    """The next piece of synthesised audio of one request."""

    pcm: bytes
    """Signed 16-bit little-endian, mono, 16 kHz."""
    last: bool
    marks: tuple[WordMark, ...] = field(default=())
    """Words that end inside this piece; empty when the engine gives none."""
    engine_ms: float = 0.0
    """Time the engine itself took for this piece."""
