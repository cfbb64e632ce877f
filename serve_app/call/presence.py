"""Whether the caller's side is still there: when a line counts as broken, as back, as gone. Pure."""

from __future__ import annotations

from enum import Enum

from configs.settings import Media


class Change(Enum):
    """What has become of the line."""

    BROKE = "broke"
    CAME_BACK = "came back"
    GONE = "gone"
    """It has been broken for as long as a call waits."""


class Presence:
    """One call's. Seconds of one monotonic clock."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self._broken_since_s: float | None = None
        self._gone = False

    @property
    def broken(self) -> bool:
        """Nothing comes from the caller's side."""
        return self._broken_since_s is not None

    def look(self, now_s: float, unheard_s: float) -> Change | None:
        """`unheard_s`: since anything at all came."""
        if unheard_s < self._media.absent_after_s:
            came_back, self._broken_since_s, self._gone = self.broken, None, False
            return Change.CAME_BACK if came_back else None
        if self._broken_since_s is None:
            self._broken_since_s = now_s
            return Change.BROKE
        if not self._gone and now_s - self._broken_since_s >= self._media.wait_for_return_s:
            self._gone = True
            return Change.GONE
        return None
