"""The whole product on this machine: a private Ray cluster with the applications of `serve_config.yaml`.

Used by `dukat up`, the benches and the tests. Every port it needs besides the public one is a free one, so that two can
run side by side; every process it started has ended when `stop` returns (found by process id, never by name).
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import yaml

from configs.fast_path import FAST_PATH
from configs.lean import HOOK
from configs.settings import AppArgs, load_profile
from configs.strict import BadSettingsFile, parse
from deployments.contracts.errors import BadSettings, StageTimeout

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

START_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What a local cluster is started with."""

    state_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    profile: str = "embedded"
    fast_path: bool = True
    tenants: str = ""

    @property
    def url(self) -> str:
        """Where the API and the page are."""
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{shown}:{self.port}"

    @property
    def on_loopback(self) -> bool:
        """Only this machine can reach it."""
        return self.host in ("127.0.0.1", "localhost", "::1")


def check_port(host: str, port: int) -> None:
    """Raises `BadSettings` when something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            hint = f"port {port} on {host} is taken or not ours; choose another with --port"
            raise BadSettings("port_taken", hint, "up") from error


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def read_config() -> dict[str, Any]:
    """The `serve_config.yaml` beside `graph.py`."""
    spec = importlib.util.find_spec("graph")
    if spec is None or spec.origin is None:
        raise BadSettings(
            "graph_missing", "graph.py is not importable; install the project into this environment", "up"
        )
    config: dict[str, Any] = yaml.safe_load((Path(spec.origin).parent / "serve_config.yaml").read_text("utf-8"))
    return config


class LocalCluster:
    """Started on entry, stopped on exit."""

    def __init__(self, settings: LocalSettings, progress: Callable[[str], None] = lambda line: None) -> None:
        self._settings = settings
        self._progress = progress
        # HAProxy puts a 56-character name below it, and a socket's path may have 97 characters: so not $TMPDIR.
        self._folder = Path(tempfile.mkdtemp(prefix="dukat-", dir="/tmp"))
        self._before: dict[str, str | None] = {}
        self._started: set[psutil.Process] = set()
        self._deployed: set[str] = set()

    def __enter__(self) -> LocalCluster:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Deploy everything; returns when all applications run. Raises `BadSettings`, `StageTimeout`."""
        settings = self._settings
        check_port(settings.host, settings.port)
        try:
            load_profile(settings.profile)
        except BadSettingsFile as error:
            raise BadSettings("profile_wrong", str(error), "up") from error
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        self._set_environment()
        if not self._settings.fast_path:
            self._progress(f"without {' and '.join(FAST_PATH)}: every call costs more and answers come later")
        self._progress("starting Ray")
        import ray  # reads the environment when it is imported
        from ray import serve

        from configs.lean import without_pandas

        without_pandas()
        # Starting Ray is waiting for other processes: our own imports take place meanwhile.
        importing = threading.Thread(target=importlib.import_module, args=("graph",), daemon=True)
        importing.start()
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"worker_process_setup_hook": HOOK},
        )
        logging.getLogger("ray.serve").setLevel(logging.WARNING)  # it tells of each application; so do we
        self._progress("starting Ray Serve")
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": settings.host, "port": settings.port},
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        self._progress("deploying the applications")
        importing.join()
        targets = [self._target(application) for application in read_config()["applications"]]
        self._deployed = {target.name for target in targets}
        serve.run_many(targets, wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
        self._wait()

    def _target(self, application: Mapping[str, Any]) -> Any:
        from ray.serve import RunTarget

        settings = self._settings
        given = {
            **application["args"],
            "profile": settings.profile,
            "state_dir": str(settings.state_dir.resolve()),
            "tenants": settings.tenants,
            "open_on_loopback": settings.on_loopback,
        }
        args = parse(AppArgs, given, f"serve_config.yaml: {application['name']}.args")
        module, _, builder = application["import_path"].partition(":")
        built = getattr(importlib.import_module(module), builder)(args)
        return RunTarget(built, name=application["name"], route_prefix=application["route_prefix"])

    def _wait(self) -> None:
        from ray import serve

        deadline = time.monotonic() + START_TIMEOUT_S
        shown: set[str] = set()
        while time.monotonic() < deadline:
            applications = serve.status().applications
            for name, application in applications.items():
                state = str(application.status.value)
                if state == "RUNNING" and name not in shown:
                    shown.add(name)
                    self._progress(f"{name} is running ({len(shown)} of {len(self._deployed)})")
                elif state in ("DEPLOY_FAILED", "UNHEALTHY"):
                    raise BadSettings("application_failed", f"{name}: {_reason(application)}", "up")
            if shown == self._deployed:
                return
            time.sleep(0.1)
        missing = sorted(self._deployed - shown)
        raise StageTimeout("start_late", f"not running after {START_TIMEOUT_S:g} s: {', '.join(missing)}", "up")

    def _set_environment(self) -> None:
        """Ray reads these in every process; they are put back by `stop`."""
        stats, metrics, fallback, ingress = free_ports(4)
        haproxy = self._folder
        wanted = {
            **QUIET,
            "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
            "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback),
            "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(min(ingress, 64_000)),
            "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(min(ingress, 64_000) + 200),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        }
        wanted |= FAST_PATH if self._settings.fast_path else dict.fromkeys(FAST_PATH, "0")
        for name, value in wanted.items():
            self._before[name] = os.environ.get(name)
            os.environ[name] = value

    def processes(self) -> set[psutil.Process]:
        """Every process of this cluster that lives now."""
        self._started |= set(psutil.Process().children(recursive=True))
        return {process for process in self._started if process.is_running()}

    def stop(self) -> None:
        """Let live calls end, then end every process that was started."""
        import ray
        from ray import serve

        self.processes()
        try:
            if ray.is_initialized():
                with suppress(Exception):  # the controller may be what failed
                    serve.delete("voice")
                ray.shutdown()
        finally:
            _end(self._started)
            self._clean_up()

    def _clean_up(self) -> None:
        self._started.clear()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(self._folder, ignore_errors=True)


def _reason(application: Any) -> str:
    messages = [deployment.message for deployment in application.deployments.values() if deployment.message]
    return " ".join([application.message, *messages]).strip()[-2000:]


def _end(processes: set[psutil.Process]) -> None:
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        _, alive = psutil.wait_procs(processes, timeout=3)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                ask(process)
    psutil.wait_procs(processes, timeout=3)
