"""`dukat up` as a process of its own, as an operator runs it; stopped by Ctrl-C, its processes found by id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

import httpx
import psutil

from serve_app.local_environment import free_ports

DUKAT = Path(sys.executable).with_name("dukat")
START_TIMEOUT_S = 240.0


class RunningProduct:
    """Inside `with`, the product serves at `url`."""

    def __init__(self, state_dir: Path, *options: str) -> None:
        (port,) = free_ports(1)
        self.state_dir = state_dir
        self.url = f"http://127.0.0.1:{port}"
        self._command = [str(DUKAT), "up", "--port", str(port), "--state-dir", str(state_dir), *options]
        self.lines: deque[str] = deque(maxlen=500)
        self._serving = threading.Event()

    def __enter__(self) -> RunningProduct:
        self.process = subprocess.Popen(
            self._command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200"},
            start_new_session=True,  # a Ctrl-C at the terminal that runs the tests is not for it
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._serving.wait(START_TIMEOUT_S):
            self.stop()
            raise AssertionError("dukat up did not come up:\n" + "\n".join(self.lines))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "The page is at" in line:
                self._serving.set()

    def family(self) -> list[psutil.Process]:
        """The process and everything it started."""
        try:
            me = psutil.Process(self.process.pid)
            return [me, *me.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def replica(self, deployment: str) -> psutil.Process:
        """The process of a deployment's only replica."""
        for process in self.family():
            try:
                if any(part.endswith(f":{deployment}") for part in process.cmdline() if "ServeReplica" in part):
                    return process
            except psutil.NoSuchProcess:
                continue
        raise AssertionError(f"no replica of {deployment}")

    def stop(self, patience_s: float = 40.0, kind: signal.Signals = signal.SIGINT) -> int:
        """Ctrl-C, or what a service manager sends; the exit status."""
        family = self.family()
        if self.process.poll() is None:
            os.killpg(self.process.pid, kind)  # as a terminal does: to everything in its group
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                for process in family:
                    if process.is_running():
                        process.kill()
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(10)

    def wait_ready(self, patience_s: float = 60.0) -> None:
        """Until `/readyz` says so."""
        deadline = time.monotonic() + patience_s
        while httpx.get(f"{self.url}/readyz").status_code != 200:
            assert time.monotonic() < deadline, "never ready"
            time.sleep(0.2)
