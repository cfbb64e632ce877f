"""A tenant: whose call centre answers, what it is called, how it speaks and where its documents lie.

One YAML file a tenant (`configs/tenants/demo.yaml` is the example), checked when it is read: a wrong key or value is
refused with its full path. Every text that is spoken may hold `{name}`, the tenant's name, and no other field.
"""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from configs.strict import Strict

Language = Literal["en", "ar"]

StandardLine = Literal[
    "greeting",
    "did_not_catch",
    "no_answer",
    "anything_else",
    "one_moment",
    "trouble",
    "goodbye",
    "still_there",
    "still_there_again",
    "silence_goodbye",
    "time_nearly_over",
    "time_over",
    "closing_down",
    "person",
    "about",
    "english_only",
]

_CMU_PHONES = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
_PHONES = frozenset(_CMU_PHONES.split())
"""The phones of the CMU Pronouncing Dictionary, without stress marks, as PocketSphinx's English model has them."""


def _template(text: str) -> str:
    """Refuse a text that cannot be formatted with `name` alone."""
    try:
        fields = {field for _, field, _, _ in Formatter().parse(text) if field is not None}
    except ValueError as error:
        raise ValueError(f"not a template: {error}") from error
    if fields - {"name"}:
        raise ValueError(f"unknown field {sorted(fields - {'name'})[0]!r}; only {{name}} may be used")
    return text


Template = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_template)]
Number = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
"""E.164: plus sign, country code, subscriber number."""


class Lines(Strict):
    """The standard sentences in one language. They can be synthesised beforehand; `StandardLine` lists their names."""

    greeting: Template
    did_not_catch: Template
    no_answer: Template
    """The documents do not hold an answer."""
    anything_else: Template
    """Said after "thank you" or "okay"."""
    one_moment: Template
    """Said when an answer takes long."""
    trouble: Template
    """Something failed on our side."""
    goodbye: Template
    still_there: Template
    """Said into a silence."""
    still_there_again: Template
    """Said into the silence after that."""
    silence_goodbye: Template
    """Nobody has answered; the agent hangs up."""
    time_nearly_over: Template
    """The longest duration of a call is near."""
    time_over: Template
    """It is reached; the agent hangs up."""
    closing_down: Template
    """The server stops or failed; the agent hangs up. Short: it has 3 seconds."""
    person: Template
    """The caller asks for a human being."""
    about: Template
    """The caller asks who this is, or what it can do."""
    english_only: Template
    """The recogniser in use understands English only. Says so in both languages, since the caller may know only one."""


class Tenant(Strict):
    """One customer of the call centre."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    """Lower-case letters, digits and dashes; names folders and rows."""
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    active: bool = True
    """Calls of an inactive tenant are refused."""
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    """What callers may speak; the first is the default."""
    numbers: tuple[Number, ...] = ()
    """Dialled numbers that lead here; no other tenant may have them."""
    timezone: str = "Asia/Dubai"
    """IANA name, for opening hours and dates."""
    open_on_loopback: bool = False
    """May be called without a token while the product listens on loopback only."""
    voices: dict[Language, str]
    """Language → name of a voice the TTS engine knows."""
    system_prompt: Template
    """The language model's standing instructions."""
    documents: Path | None = None
    """Folder of the tenant's documents: relative to the tenant file there, absolute once `store` has read it."""
    lexicon: dict[Annotated[str, StringConstraints(pattern=r"^[a-z][a-z'-]*$")], str] = Field(default_factory=dict)
    """Word → ARPAbet phones, for words the recogniser's dictionary lacks."""
    lines: dict[Language, Lines]

    @field_validator("languages")
    @classmethod
    def _no_language_twice(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(languages)) != len(languages):
            raise ValueError("a language is named twice")
        return languages

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no such timezone: {timezone!r}") from error
        return timezone

    @field_validator("lexicon")
    @classmethod
    def _known_phones(cls, lexicon: dict[str, str]) -> dict[str, str]:
        for word, phones in lexicon.items():
            wrong = [phone for phone in phones.split() if phone not in _PHONES]
            if wrong or not phones.split():
                raise ValueError(f"{word}: {wrong[0] if wrong else '(nothing)'} is not an ARPAbet phone")
        return lexicon

    @field_validator("voices", "lines")
    @classmethod
    def _every_language_served(cls, given: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        missing = [language for language in info.data.get("languages", ()) if language not in given]
        if missing:
            raise ValueError(f"nothing for the language {missing[0]!r}, which `languages` names")
        return given

    def speaking(self, language: str | None) -> Language:
        """The language to answer in: the caller's if the tenant speaks it, else the tenant's default."""
        for own in self.languages:
            if own == language:
                return own
        return self.languages[0]

    def line(self, standard: StandardLine, language: str | None) -> str:
        """A standard sentence as it is spoken, in the caller's language if the tenant speaks it."""
        template: str = getattr(self.lines[self.speaking(language)], standard)
        return template.format(name=self.name)

    def instructions(self) -> str:
        """The system prompt as the model gets it."""
        return self.system_prompt.format(name=self.name)


def as_e164(number: str) -> str | None:
    """`00971 4 555 0100`, `971-4-555-0100` or `+97145550100` → `+97145550100`; None when it is no number.

    A missing plus sign is taken for granted, since `?to=+971…` reaches us as ` 971…`: a plus in a query is a space.
    """
    bare = re.sub(r"[\s().\-]", "", number[:64])
    match = re.fullmatch(r"(?:\+|00)?([1-9][0-9]{6,14})", bare)
    return f"+{match[1]}" if match else None
