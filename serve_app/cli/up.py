"""`dukat up`: the whole product on this machine until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from configs.settings import TENANTS
from deployments.contracts.errors import DukatError, StageTimeout
from serve_app.caller.plain import plain
from serve_app.cli.stored import print_stored, wait_for_call
from serve_app.local_cluster import LocalCluster, LocalSettings
from serve_app.tenants.store import YamlTenantStore

READY_TIMEOUT_S = 60.0
LAKE_TIMEOUT_S = 20.0
FIRST_QUESTION = TENANTS / "demo-question.wav"

console = Console(highlight=False, soft_wrap=True)


def up(
    profile: Annotated[str, typer.Option(help="Name of a profile in configs/profiles, or a file.")] = "embedded",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the page and the API.", min=1, max=65535)] = 8000,
    state_dir: Annotated[Path, typer.Option(help="Folder of everything that is written.")] = Path(".dukat"),
    tenants: Annotated[
        Path | None,
        typer.Option(help="Folder of tenant files (*.yaml) in the place of the shipped demo.", show_default=False),
    ] = None,
    first_call: Annotated[bool, typer.Option(help="Place one real call with a spoken question.")] = False,
    fast_path: Annotated[bool, typer.Option(help="Ray Serve's throughput mode and HAProxy.")] = True,
) -> None:
    """Start everything, and serve until Ctrl-C."""
    if first_call and tenants is not None:
        raise typer.BadParameter(
            "the question is one to the shipped demo; leave it out with --tenants", param_hint="--first-call"
        )
    own = "" if tenants is None else os.path.realpath(tenants)
    settings = LocalSettings(Path(os.path.realpath(state_dir)), host, port, profile, fast_path, own)
    began = time.monotonic()

    def progress(line: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {line}")

    stop = threading.Event()
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: _interrupt(stop))
    cluster = LocalCluster(settings, progress)
    status = 0
    try:
        with cluster:
            wait_ready(settings.url)
            progress("healthy: every deployment answers, the documents are in")
            if first_call:
                _first_call(settings)
            _say_where(settings)
            _forget_interrupts(stop)
            stop.wait()
            console.print("stopping: live calls have a few seconds to end")
    except KeyboardInterrupt:
        console.print("stopped")
    except DukatError as error:
        for line in f"dukat up: {error}".splitlines():  # a line for each wrong key of a file
            print(plain(line), file=sys.stderr)
        status = 1
    if cluster.head_lost:
        sys.stdout.flush()
        os._exit(status)
    raise typer.Exit(status)


def _interrupt(stop: threading.Event) -> None:
    """Leave the start; from now on nothing interrupts the stopping, however often Ctrl-C is pressed."""
    _forget_interrupts(stop)
    stop.set()
    raise KeyboardInterrupt


def _forget_interrupts(stop: threading.Event) -> None:
    """From here on a signal only sets the event: what is being stopped must not be interrupted half-way."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, lambda *_: stop.set())


def wait_ready(url: str) -> None:
    """Wait until `/readyz` says so. Raises `StageTimeout` with what it said last."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    last = ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except urllib.error.HTTPError as error:
            last = error.read().decode("utf-8", "replace")[:500]
        except OSError as error:
            last = str(error)
        time.sleep(0.2)
    raise StageTimeout("not_ready", f"{url}/readyz after {READY_TIMEOUT_S:g} s: {last}", "up")


def _first_call(settings: LocalSettings) -> None:
    from serve_app.caller.scripted import place_call
    from serve_app.caller.show import print_report
    from serve_app.caller.wav import read_wav

    console.print("\n[bold]One call, over WebRTC, with a spoken question:[/]\n")
    question = read_wav(FIRST_QUESTION)
    report = asyncio.run(place_call(settings.url, "demo", [question], host_addresses=("127.0.0.1",)))
    print_report(report, console)
    if report.call:
        print_stored(wait_for_call(settings.state_dir, report.call, LAKE_TIMEOUT_S), settings.state_dir, console)


def _say_where(settings: LocalSettings) -> None:
    console.print(f"\nThe page is at [bold]{settings.url}/{_page_tenant(settings)}[/]  (press Ctrl-C to stop)")
    if not settings.on_loopback:
        token = settings.state_dir / "keys" / "api.token"
        console.print(Text(plain(f"Listening beyond this machine: callers need the token in {token}")))


def _page_tenant(settings: LocalSettings) -> str:
    """The page is the demo's unless told otherwise; where there is no demo, it is told."""
    tenants = asyncio.run(YamlTenantStore(settings.tenants).all())
    active = [tenant.id for tenant in tenants if tenant.active]
    return "" if "demo" in active or not active else f"?tenant={active[0]}"
