"""What a caller's client sends in writing, over the data channel or the event WebSocket: one JSON object a message."""

from __future__ import annotations

import json

MOST_MESSAGE_CHARS = 16 * 1024

UNREADABLE: dict[str, object] = {
    "type": "error",
    "code": "message_unreadable",
    "detail": f"a message is a JSON object of at most {MOST_MESSAGE_CHARS} characters",
}
"""The answer to a message that is none."""


def read_message(raw: object) -> dict[str, object] | None:
    """The message; None for anything that is not one."""
    if not isinstance(raw, str) or len(raw) > MOST_MESSAGE_CHARS:
        return None
    try:
        message = json.loads(raw)
        # "\ud800" is JSON but no text: nothing that writes UTF-8 (event, spool, model) could carry it any further.
        json.dumps(message, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # thousands of nested brackets
        return None
    return message if isinstance(message, dict) else None
