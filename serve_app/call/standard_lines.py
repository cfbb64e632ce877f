"""A tenant's standard sentences, synthesised before they are needed.

They are what can still be said when the voice, the model or the recogniser fails: a caller is never left in silence.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from deployments.contracts.errors import DukatError
from deployments.contracts.ports import TtsPort
from deployments.contracts.speech import SynthesisRequest, WordMark

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpokenLine:
    """A sentence and its audio."""

    text: str
    pcm: bytes
    """Signed 16-bit little-endian, mono, 16 kHz."""
    marks: tuple[WordMark, ...]


class StandardLines:
    """Spoken lines by text; shared by all calls of a host, at most `most` of them."""

    def __init__(self, tts: TtsPort, most: int = 2000) -> None:
        self._tts = tts
        self._most = most
        self._lines: dict[tuple[str, str, str], SpokenLine] = {}

    def get(self, text: str, language: str, voice: str) -> SpokenLine | None:
        """The line if it has been prepared."""
        return self._lines.get((text, language, voice))

    async def prepare(self, texts: list[str], language: str, voice: str) -> None:
        """Synthesise those that are missing. What fails is logged and stays missing; it will be tried again."""
        for text in texts:
            if (text, language, voice) in self._lines:
                continue
            pcm = bytearray()
            marks: list[WordMark] = []
            try:
                async with self._tts.speak(
                    SynthesisRequest(f"line-{len(self._lines)}", text, language, voice)
                ) as audio:
                    async for piece in audio:
                        pcm += piece.pcm
                        marks += piece.marks
            except DukatError as error:
                log.warning("line_not_prepared", extra={"code": error.code, "language": language})
                return
            if not pcm:
                log.warning("line_silent", extra={"language": language})
                continue
            if len(self._lines) >= self._most:
                self._lines.pop(next(iter(self._lines)))
            self._lines[(text, language, voice)] = SpokenLine(text, bytes(pcm), tuple(marks))
