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

    # Defaults are checked too, since some are changed by their check; no figure may be infinite or no number.
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


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
            path = ".".join(_as_written(problem["loc"], values)) or "(whole file)"
            text = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
            lines.append(f"{where}: {path}: {text}")
        raise BadSettingsFile("\n".join(lines)) from error


def _as_written(place: tuple[int | str, ...], values: Any) -> list[str]:
    """The path without the names of union members, which pydantic puts in and no file has."""
    keys = []
    for number, part in enumerate(place):
        inside = values.get(part) if isinstance(values, dict) and part in values else None
        if isinstance(values, list) and isinstance(part, int):
            inside = values[part]
        elif isinstance(values, dict) and part not in values and number < len(place) - 1:
            continue
        keys.append(str(part))
        values = inside
    return keys


def read_yaml(settings: type[S], path: Path) -> S:
    """Read one YAML file into `settings`. Raises `BadSettingsFile`."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSettingsFile(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadSettingsFile(f"{path}: not YAML: {error}") from error
    return parse(settings, values, str(path))
