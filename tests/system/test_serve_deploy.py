"""`serve deploy serve_config.yaml` on a cluster that somebody else started, with Ray's own command line."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from configs.fast_path import FAST_PATH
from serve_app.caller.scripted import place_call
from serve_app.caller.wav import read_wav
from serve_app.local_cluster import read_config
from serve_app.local_environment import QUIET, free_ports
from tests.system.test_calls_for_real import LOOPBACK, QUESTION

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def cluster() -> Iterator[dict[str, str]]:
    """`ray start --head --block` on free ports; its environment. It ends its own processes when it is told to end."""
    folder = Path(tempfile.mkdtemp(prefix="dukat-", dir="/tmp"))  # sockets lie below: a short path
    gcs, dashboard, agent, client, metrics, stats, exporter = free_ports(7)
    environment = os.environ | QUIET | FAST_PATH
    environment |= {
        "RAY_ADDRESS": f"127.0.0.1:{gcs}",
        "RAY_DASHBOARD_ADDRESS": f"http://127.0.0.1:{dashboard}",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(exporter),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }
    started = {name: value for name, value in environment.items() if name != "RAY_ADDRESS"}
    command = [
        SCRIPTS / "ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={gcs}",
        f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}",
        f"--metrics-export-port={metrics}", "--include-dashboard=true", "--disable-usage-stats",
        f"--temp-dir={folder / 'ray'}",
    ]  # fmt: skip
    with (folder / "ray.log").open("w") as log:
        head = subprocess.Popen(command, env=started, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for(f"http://127.0.0.1:{dashboard}/api/version", 90, lambda answer: True)
            yield environment
        finally:
            family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
            head.terminate()
            _, alive = psutil.wait_procs(family, timeout=20)
            for process in alive:
                process.kill()
            head.wait(10)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, patience_s: float, enough: Any) -> Any:
    deadline = time.monotonic() + patience_s
    last = "never answered"
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(url, timeout=5)
            last = answer.text
            if answer.status_code == 200 and enough(answer):
                return answer
        except httpx.HTTPError as error:
            last = str(error)
        time.sleep(0.3)
    raise AssertionError(f"{url}: {last}")


def _all_running(answer: httpx.Response) -> bool:
    applications = answer.json()["applications"]
    failed = {name: app["message"] for name, app in applications.items() if app["status"] == "DEPLOY_FAILED"}
    assert not failed, failed
    wanted = {"speech", "llm", "knowledge", "lake", "voice", "api"}
    return {name for name, app in applications.items() if app["status"] == "RUNNING"} == wanted


def test_the_root_config_deploys_and_answers_a_call(cluster: dict[str, str], tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = read_config()
    config["http_options"]["port"] = port
    for application in config["applications"]:
        application["args"] = {**application["args"], "state_dir": str(tmp_path / "state")}
    file = tmp_path / "serve_config.yaml"
    file.write_text(yaml.safe_dump(config), "utf-8")

    done = subprocess.run(
        [SCRIPTS / "serve", "deploy", file], env=cluster, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    url = f"http://127.0.0.1:{port}"
    _wait_for(f"{cluster['RAY_DASHBOARD_ADDRESS']}/api/serve/applications/", 240, _all_running)
    _wait_for(f"{url}/readyz", 60, lambda answer: True)
    report = asyncio.run(place_call(url, "demo", [read_wav(QUESTION)], host_addresses=LOOPBACK))

    assert report.failure is None
    assert report.turns[0].transcript == "what are your opening hours"
