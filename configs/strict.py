"""The base of every settings class: frozen, and an unknown or wrong key is refused with its full path."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError


class BadSettingsFile(ValueError):
    """A settings file or mapping that cannot be used; the message names the file and each wrong key's full path."""


class Strict(BaseModel):
    """Frozen settings; keys it does not know are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Strict)


def parse(settings: type[S], values: Any, where: str) -> S:
    """Check `values` against `settings`.

    Raises `BadSettingsFile` with a line for each wrong key, e.g. `embedded.yaml: engines.tts.pitc: unknown key`.
    """
    try:
        return settings.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            path = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
            text = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
            lines.append(f"{where}: {path}: {text}")
        raise BadSettingsFile("\n".join(lines)) from error


def read_yaml(settings: type[S], path: Path) -> S:
    """Read one YAML file into `settings`. Raises `BadSettingsFile`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettingsFile(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSettingsFile(f"{path}: not YAML: {error}") from error
    return parse(settings, values, str(path))
