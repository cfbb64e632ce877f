"""A tenant whose every line names itself, so that a test sees which one was said, in which language."""

from __future__ import annotations

from typing import Any

from serve_app.tenants.models import Lines, Tenant


def a_tenant(**changes: Any) -> Tenant:
    """Speaks English and Arabic; `line("goodbye", "ar")` is "ar goodbye of Fake Utility"."""
    values: dict[str, Any] = {
        "id": "fake",
        "name": "Fake Utility",
        "languages": ("en", "ar"),
        "voices": {"en": "en-gb", "ar": "ar"},
        "system_prompt": "You answer for {name}.",
        "lines": {
            language: {line: f"{language} {line} of {{name}}" for line in Lines.model_fields}
            for language in ("en", "ar")
        },
    }
    return Tenant.model_validate(values | changes)
