"""What Ray and Serve read from the environment on one machine: quiet, private, on free ports; put back afterwards."""

from __future__ import annotations

import os
import random
import socket
from pathlib import Path

from configs.fast_path import FAST_PATH

PORTS = (20_000, 32_000)
"""Linux hands out 32768 and up: a port chosen there may be gone before it is used."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",  # everything listens on loopback, and the cluster is gone when we are
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a replica without a GPU must not see any
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    "RAY_SERVE_PROXY_MIN_DRAINING_PERIOD_S": "1",
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "3600",  # above the longest call: an event WebSocket outlives a reload
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",  # they would lack our hook (configs.lean) and idle for ever
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
}


class RayEnvironment:
    """Set before Ray is imported, since every process of the cluster reads it; put back when that has ended."""

    def __init__(self, folder: Path, fast_path: bool) -> None:
        """`folder` is the cluster's own: HAProxy's files lie there, and `local_processes` knows processes by it."""
        self._folder = folder
        self._fast_path = fast_path
        self._before: dict[str, str | None] = {}

    def set(self) -> None:
        """Ports are chosen now."""
        stats, metrics, fallback, ingress = free_ports(4)
        wanted = {
            **QUIET,
            "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(min(ingress, 64_000)),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(min(ingress, 64_000) + 200),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(self._folder / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(self._folder / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(self._folder),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(self._folder / "server-state"),
        }
        wanted |= FAST_PATH if self._fast_path else dict.fromkeys(FAST_PATH, "0")
        for name, value in wanted.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def put_back(self) -> None:
        """As it was before `set`."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now, below those that the system hands out to whoever asks for any."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(*PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
