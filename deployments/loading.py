"""From settings to a warm engine: `load(profile.engines.asr)`."""

from __future__ import annotations

import importlib
from typing import Any

from configs.engines import EngineSettings
from deployments.contracts.errors import MissingPart


def load(settings: EngineSettings, *args: Any) -> Any:
    """Import the engine that `settings` names and build it. Raises `MissingPart` that says what to install."""
    module_name, _, class_name = settings.engine.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise MissingPart(
            "package_missing", f"{settings.engine} needs the package {error.name!r}, which is not installed", "load"
        ) from error
    return getattr(module, class_name)(settings, *args)
