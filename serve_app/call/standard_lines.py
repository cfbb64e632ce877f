"""A tenant's standard sentences, synthesised before they are needed.

They are what can still be said when the voice, the model or the recogniser fails: a caller is never left in silence.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from deployments.contracts.errors import DukatError
from deployments.contracts.ports import TtsPort
from deployments.contracts.speech import SynthesisRequest, WordMark
from serve_app.dialogue.clauses import speakable
from serve_app.dialogue.language import by_language
from serve_app.tenants.models import Lines, StandardLine, Tenant

log = logging.getLogger(__name__)


def line_parts(tenant: Tenant, name: StandardLine, language: str) -> list[tuple[str, str]]:
    """(language, text) of each stretch of a line that one voice speaks."""
    language = tenant.speaking(language)
    return by_language(speakable(tenant.line(name, language)), language, tenant.languages)


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

    async def prepare_all(self, tenant: Tenant) -> None:
        """All lines of a tenant, in all its languages."""
        for language in tenant.languages:
            for name in Lines.model_fields:
                for spoken, text in line_parts(tenant, name, language):  # type: ignore[arg-type]
                    await self.prepare([text], spoken, tenant.voices[tenant.speaking(spoken)])

    def of(self, tenant: Tenant, name: StandardLine, language: str) -> list[SpokenLine]:
        """The parts of a tenant's line; empty unless all of them have been prepared."""
        parts = [
            self.get(text, spoken, tenant.voices[tenant.speaking(spoken)])
            for spoken, text in line_parts(tenant, name, language)
        ]
        ready = [part for part in parts if part is not None]
        return ready if len(ready) == len(parts) else []

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
