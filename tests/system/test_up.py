"""`dukat up` itself: a taken port, Ctrl-C, a second run on the same state, and the path without Serve's two flags."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from serve_app.caller.event_log import EventLog
from serve_app.caller.line import CallerLine
from serve_app.caller.scripted import place_call
from serve_app.caller.wav import read_wav
from serve_app.local_cluster import check_port
from serve_app.local_environment import free_ports
from tests.fakes.fake_tenant import a_tenant
from tests.system.running import DUKAT, RunningProduct
from tests.system.test_calls_for_real import LOOPBACK, QUESTION

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_a_taken_port_is_one_clear_message(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        done = subprocess.run(
            [DUKAT, "up", "--port", port, "--state-dir", tmp_path],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        f"dukat up: port_taken [up]: port {port} on 127.0.0.1 is taken or not ours; choose another with --port"
    ]


def test_an_unknown_profile_is_one_clear_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [DUKAT, "up", "--profile", "huge", "--state-dir", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert "there are: embedded, emulated" in done.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--state-dir", "/proc/nope"], "state_dir_unusable"),
        (["--state-dir", "/etc/passwd/x"], "state_dir_unusable"),
        (["--tenants", "/proc"], "tenants_wrong"),
    ],
)
def test_what_cannot_be_used_is_one_clear_message(tmp_path: Path, options: list[str], code: str) -> None:
    (port,) = free_ports(1)
    done = subprocess.run(
        [DUKAT, "up", "--port", str(port), "--state-dir", tmp_path, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 1
    assert done.stderr.startswith(f"dukat up: {code} [up]: ") and done.stderr.count("\n") == 1


async def stopped_during_a_call(product: RunningProduct) -> tuple[int, str]:
    """Exit status, and the last that the caller heard."""
    log = EventLog()
    async with CallerLine(host_addresses=LOOPBACK) as line:
        await line.connect(product.url, "demo")
        following = asyncio.create_task(log.follow(line.events()))
        await log.until(lambda: log.last("agent.heard", reply=0), 20, lambda: "greeting")
        status = await asyncio.to_thread(product.stop)
        await following
    last = log.last("agent.heard") or {}
    return status, last["text"] if last["complete"] else ""


def test_ctrl_c_ends_every_process_and_a_second_run_works_without_the_fast_path(tmp_path: Path) -> None:
    with RunningProduct(tmp_path, "--first-call") as first:
        family = first.family()
        assert len(family) > 10
        status, last_words = asyncio.run(stopped_during_a_call(first))
        printed = "\n".join(first.lines)

    assert status == 0
    assert last_words == "I am sorry, I have to end this call now. Goodbye."
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []
    assert "what are your opening hours" in printed and "over the floor" in printed and "In the lakehouse" in printed
    with RunningProduct(tmp_path, "--no-fast-path") as second:
        report = asyncio.run(place_call(second.url, "demo", [read_wav(QUESTION)], host_addresses=LOOPBACK))
    assert report.failure is None and report.turns[0].heard_complete


def test_a_sigterm_to_everything_leaves_nothing_and_own_tenants_start_empty(tmp_path: Path) -> None:
    """As systemd sends it. Ray's own processes go by the same signal, and HAProxy loses its parent."""
    (tmp_path / "tenants").mkdir()
    own = a_tenant(id="own", open_on_loopback=True).model_dump(mode="json", exclude_none=True)
    (tmp_path / "tenants" / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    with RunningProduct(tmp_path / "state", "--tenants", str(tmp_path / "tenants")) as product:
        family = product.family()
        assert any(process.name() == "haproxy" for process in family)
        documents = httpx.get(f"{product.url}/v1/kb/documents?tenant=own")
        planted = httpx.get(f"{product.url}/v1/kb/documents?tenant=own", headers={"origin": "http://evil.example"})
        (port,) = free_ports(1)
        second = subprocess.run(
            [DUKAT, "up", "--port", str(port), "--state-dir", product.state_dir],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

        status = product.stop(kind=signal.SIGTERM)

    assert (documents.json(), planted.json()["code"]) == ({"documents": []}, "origin_foreign")
    assert any(line.startswith(f"The page is at {product.url}/?tenant=own ") for line in product.lines)
    assert f"state_dir_in_use [up]: {product.state_dir} is in use by process {product.process.pid};" in second.stderr
    assert status == 0
    assert not any("Failed to connect to GCS" in line for line in product.lines)
    _, alive = psutil.wait_procs([each for each in family if each.is_running()], timeout=5)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []
    check_port("127.0.0.1", int(product.url.rpartition(":")[2]))
