"""What `dukat up` checks before it starts anything."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from deployments.contracts.errors import BadSettings
from serve_app import local_cluster
from serve_app.local_cluster import LocalCluster, LocalSettings, check_port, read_config
from serve_app.local_environment import RayEnvironment, free_ports
from serve_app.state_lock import StateLock

LOOPBACK = "127.0.0.1"


def test_a_port_that_is_taken_is_refused_and_a_free_one_is_left_free() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(BadSettings, match=f"port_taken.*port {port} on {LOOPBACK}"):
            check_port(LOOPBACK, port)
    check_port(LOOPBACK, port)
    check_port(LOOPBACK, port)


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(BadSettings, match="port_taken"):
        check_port("192.0.2.1", 8000)


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(4)

    assert len(set(ports)) == 4
    for port in ports:
        check_port(LOOPBACK, port)


def test_without_graph_py_the_reader_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(BadSettings, match=r"graph_missing.*install"):
        read_config()


@pytest.mark.parametrize(
    ("host", "url", "on_loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", True),
        ("localhost", "http://localhost:8000", True),
        ("0.0.0.0", "http://127.0.0.1:8000", False),
        ("10.0.0.5", "http://10.0.0.5:8000", False),
    ],
)
def test_only_loopback_counts_as_loopback(tmp_path: Path, host: str, url: str, on_loopback: bool) -> None:
    settings = LocalSettings(tmp_path, host)

    assert (settings.url, settings.on_loopback) == (url, on_loopback)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"profile": "ludicrous"}, "profile_wrong"),
        ({"tenants": "/nowhere"}, "tenants_wrong.*no tenant files"),
        ({}, "port_taken"),
    ],
)
def test_wrong_settings_are_refused_before_ray_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], code: str
) -> None:
    monkeypatch.setattr(RayEnvironment, "set", lambda self: pytest.fail("too late"))
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
        if code == "port_taken":
            taken.listen()
        else:
            taken.close()
        cluster = LocalCluster(LocalSettings(tmp_path / "state", port=port, **changes))  # type: ignore[arg-type]

        with pytest.raises(BadSettings, match=code):
            cluster.start()

    assert not (tmp_path / "state").exists()
    local_cluster.shutil.rmtree(cluster._folder)


def test_a_state_folder_in_use_is_refused_and_left_to_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RayEnvironment, "set", lambda self: pytest.fail("too late"))
    (port,) = free_ports(1)
    user = StateLock(tmp_path)
    user.take()

    for _ in range(2):
        with pytest.raises(BadSettings, match="state_dir_in_use"), LocalCluster(LocalSettings(tmp_path, port=port)):
            pytest.fail("entered")

    user.release()


def test_the_environment_is_put_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("RAY_SERVE_HAPROXY_CONFIG_FILE_LOC", raising=False)
    before = dict(os.environ)
    environment = RayEnvironment(tmp_path, fast_path=True)

    environment.set()

    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"] == str(tmp_path / "haproxy.cfg")
    environment.put_back()
    assert dict(os.environ) == before


class Head:
    """`ClusterProcesses` of which the head dies while Serve is asked to end the calls."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    def head_lives(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


def test_calls_are_given_time_while_there_is_a_head_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serve's question is answered here only when the test is over: as it is when the head has gone."""
    asked, answered = threading.Event(), threading.Event()

    def delete_voice() -> None:
        asked.set()
        answered.wait(60)

    monkeypatch.setattr(local_cluster, "_delete_voice", delete_voice)
    cluster = LocalCluster(LocalSettings(tmp_path))
    head = Head(looks=3)
    monkeypatch.setattr(cluster, "_processes", head)

    cluster._end_calls()

    assert asked.is_set() and head.looks == -1
    answered.set()
    monkeypatch.setattr(cluster, "_processes", Head(looks=1_000_000))
    cluster._end_calls()  # returns since it is answered
    local_cluster.shutil.rmtree(cluster._folder)
