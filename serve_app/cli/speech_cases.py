"""What the recognition bench says: texts and what each should lead to, read from one YAML file."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from configs.settings import TENANTS
from configs.strict import Strict
from serve_app.cli.speech_audio import SOUNDS
from serve_app.dialogue.intents import Intent

DEMO_CASES = TENANTS.parent / "bench" / "demo-speech.yaml"

CourtesyName = Literal["greeting", "thanks", "goodbye", "repeat", "human"]
SoundName = Literal["silence", "white_noise", "rumble", "hum", "tone", "melody", "ringing", "clicks", "babble"]


class Question(Strict):
    """A question, and the heading of the passage that answers it."""

    said: str = Field(min_length=1)
    heading: str = Field(min_length=1)


class Courtesy(Strict):
    """A sentence that is acted on without documents."""

    said: str = Field(min_length=1)
    intent: CourtesyName

    @property
    def meant(self) -> Intent:
        """The intent it should be taken for."""
        return Intent(self.intent)


class SpeechCases(Strict):
    """The file."""

    questions: tuple[Question, ...]
    courtesies: tuple[Courtesy, ...] = ()
    others: tuple[str, ...] = ()
    """English that nothing is to be done about."""
    arabic: tuple[str, ...] = ()
    sounds: tuple[SoundName, ...] = ()

    def thinned(self, keep_every: int) -> SpeechCases:
        """Every nth of each kind, for a quick look."""
        return SpeechCases(
            questions=self.questions[::keep_every],
            courtesies=self.courtesies[::keep_every],
            others=self.others[::keep_every],
            arabic=self.arabic[::keep_every],
            sounds=self.sounds[::keep_every],
        )


assert set(get_args(SoundName)) == set(SOUNDS)
