"""Any voice espeak-ng has, at any rate and pitch: the speakers of benches. What callers hear is `espeak.py`.

In: a text and the library's own name of a voice ("en-gb-scotland+f4": an accent and a speaker). Out: mono s16le at
16 kHz, silence at both ends trimmed. espeak's flutter is random: two renderings differ by some samples.
"""

from __future__ import annotations

from pathlib import Path

from configs.engines import EngineSettings
from deployments.contracts.errors import BadInput
from deployments.engines.espeak import shape, without_controls
from deployments.engines.espeak_library import Job, shared_library


class AnyVoice:
    """Speaks. One text at a time."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._library = shared_library()

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int) -> bytes:
        """The text as audio; `pitch` is 0 to 99.

        Raises `StageFailed` (`voice_not_loaded`) for an unknown accent, `BadInput` (`voice_unknown`) for a speaker.
        """
        _, _, speaker = voice.partition("+")
        if speaker and not _is_speaker(speaker):  # the library would speak without it, and not say so
            raise BadInput("voice_unknown", f"espeak-ng has no speaker {speaker!r} ({voice})", "tts")
        text = without_controls(text)
        job = self._library.start(Job(text, voice, words_per_minute, pitch))
        return b"".join(piece.pcm for piece in shape(text, job.blocks(), self._library.rate_hz))


def _is_speaker(name: str) -> bool:
    import espeakng_loader

    return name in {file.name for file in (Path(espeakng_loader.get_data_path()) / "voices" / "!v").iterdir()}
