"""`Committer` as a deployment: its loop runs on the replica's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analytics.committer import Committer


class CommitterServer(Committer):
    """Exactly one replica of it."""

    async def __init__(self, spool: Path, lake: Path) -> None:  # type: ignore[misc]  # Serve awaits it
        super().__init__(spool, lake)

    async def ready(self) -> dict[str, Any]:  # type: ignore[override]
        """For `/readyz`."""
        status = self.status()
        return {"segments_waiting": status.segments_waiting, "last_error": status.last_error}
