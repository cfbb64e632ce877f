"""The two variables that make Ray Serve fast enough for calls; the graph is correct with and without them.

A handle call costs 1.1 instead of 3.2 ms of CPU, an HTTP POST takes 1.1 instead of 7.1 ms (ARCHITECTURE.md, "Measured
on Ray 2.60"). They must stand in the environment of head, workers and whoever deploys, before Ray is imported.
"""

from __future__ import annotations

from collections.abc import Mapping

FAST_PATH = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"}


def missing(environment: Mapping[str, str]) -> list[str]:
    """Which of them are not set there."""
    return [name for name, value in FAST_PATH.items() if environment.get(name) != value]
