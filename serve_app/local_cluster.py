"""The whole product on this machine: a private Ray cluster with the applications of `serve_config.yaml`.

Used by `dukat up`, the benches and the tests. Every port it needs besides the public one is a free one, so that two can
run side by side; every process it started has ended when `stop` returns, also when Ray's own were ended before it (a
SIGTERM to the whole group, as service managers send it).
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import logging
import shutil
import signal
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
from serve_app.local_environment import RayEnvironment
from serve_app.local_processes import ClusterProcesses
from serve_app.state_lock import StateLock
from serve_app.tenants.store import YamlTenantStore

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
    """Absolute; empty = those that ship with the product."""

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
        self._environment = RayEnvironment(self._folder, settings.fast_path)
        self._processes = ClusterProcesses(self._folder)
        self._lock = StateLock(settings.state_dir)
        self._deployed: set[str] = set()
        self.head_lost = False
        """Ray's head was gone before `stop`: its threads in this process still wait for it. Leave by `os._exit`: the
        interpreter crashes on its ordinary way out (Ray 2.60)."""

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
        try:
            YamlTenantStore(settings.tenants)
        except BadSettingsFile as error:
            raise BadSettings("tenants_wrong", str(error), "up") from error
        self._lock.take()
        self._environment.set()
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
        on_sigterm = signal.getsignal(signal.SIGTERM)
        ray.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"worker_process_setup_hook": HOOK},
        )
        if callable(on_sigterm) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray has set its own, which would end Ray under our feet
        self.processes()
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
        self.processes()  # while each is a child of ours: after a SIGTERM to all it may be too late

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

    def processes(self) -> set[psutil.Process]:
        """Every process of this cluster that lives now."""
        return self._processes.living()

    def stop(self) -> None:
        """Let live calls end, then end every process that was started."""
        import ray

        self.processes()
        try:
            if ray.is_initialized():
                self._end_calls()
                if self._processes.head_lives():
                    ray.shutdown()
                else:
                    self.head_lost = True
                    atexit.unregister(ray.shutdown)  # it would wait for the head, and there is nothing to shut down
        finally:
            self._processes.end()
            self._clean_up()

    def _end_calls(self) -> None:
        """Let live calls end, for as long as there is a head: Serve's question would outlive it by a minute."""
        ending = threading.Thread(target=_delete_voice, daemon=True)
        ending.start()
        while ending.is_alive() and self._processes.head_lives():
            ending.join(0.1)

    def _clean_up(self) -> None:
        self._lock.release()
        self._environment.put_back()
        shutil.rmtree(self._folder, ignore_errors=True)


def _reason(application: Any) -> str:
    messages = [deployment.message for deployment in application.deployments.values() if deployment.message]
    return " ".join([application.message, *messages]).strip()[-2000:]


def _delete_voice() -> None:
    from ray import serve

    with suppress(Exception):  # the controller may be what failed
        serve.delete("voice")
