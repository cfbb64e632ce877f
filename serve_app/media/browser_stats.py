"""What a caller's page says of its own end of the line (from getStats), read with distrust: anybody can send anything.

In: a decoded JSON value. Out: the figures that can be true; each of the others is None by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_MOST = {
    "rtt_ms": 60_000.0,
    "jitter_ms": 10_000.0,
    "loss_percent": 100.0,
    "concealed_samples": 2.0**53,
    "jitter_buffer_ms": 10_000.0,
}


@dataclass(frozen=True, slots=True)
class BrowserStats:
    """None: not said, or not to be believed."""

    rtt_ms: float | None = None
    jitter_ms: float | None = None
    loss_percent: float | None = None
    """Of our packets, since its last report."""
    concealed_samples: float | None = None
    """Since the call began, at the browser's own rate."""
    jitter_buffer_ms: float | None = None


def browser_stats(message: object) -> BrowserStats | None:
    """What can be used of a page's message; None when nothing can."""
    if not isinstance(message, dict):
        return None
    values = {name: _plausible(message.get(name), most) for name, most in _MOST.items()}
    if all(value is None for value in values.values()):
        return None
    return BrowserStats(**values)


def _plausible(value: object, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Compared before it is converted: a whole number of a thousand digits fits no float.
    if not 0 <= value <= most or math.isnan(value):
        return None
    return float(value)
