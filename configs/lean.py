"""Keep pandas out of Serve's processes.

`ray.serve` imports pandas if it is installed, and nothing of ours in a replica needs it. Measured on Ray 2.60,
2026-11-21: 232 → 188 MB resident a replica, 140 → 110 MB proportional; a dozen such processes run on a laptop. Ray runs
`without_pandas` in each worker of the job before it does anything else. Ray Data jobs, which need pandas, are
jobs of their own and keep it.
"""

from __future__ import annotations

import sys

HOOK = "configs.lean.without_pandas"


def without_pandas() -> None:
    """Make `import pandas` fail in this process, unless it has been imported already."""
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
