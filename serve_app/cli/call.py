"""`dukat call`: place a real WebRTC call and play a file into it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from deployments.contracts.errors import DukatError
from serve_app.caller.plain import json_line, plain
from serve_app.caller.report import CallReport
from serve_app.caller.scripted import place_call
from serve_app.caller.show import as_dict, print_report
from serve_app.caller.wav import read_wav, write_wav

console = Console(highlight=False, soft_wrap=True)


def call(
    file: Annotated[Path, typer.Argument(help="What the caller says: WAV, 16-bit PCM, mono, 16 kHz.")],
    url: Annotated[str, typer.Option(help="Where the product is.")] = "http://127.0.0.1:8000",
    tenant: Annotated[str, typer.Option(help="Whom to call.")] = "demo",
    token: Annotated[str | None, typer.Option(envvar="DUKAT_TOKEN", help="Bearer token, where one is needed.")] = None,
    save: Annotated[Path | None, typer.Option(help="Write what was heard: stereo, caller left, agent right.")] = None,
    interrupt: Annotated[bool, typer.Option(help="Play the file a second time, into the answer.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object as the last line.")] = False,
) -> None:
    """Call, ask after the greeting, listen to the answer. Exit 0 = answered, and the answer was heard."""
    try:
        question = read_wav(file)
        again = question if interrupt else None
        report = asyncio.run(
            place_call(url, tenant, [question], interrupt=again, token=token, host_addresses=own_addresses(url))
        )
    except DukatError as error:
        if as_json:
            print(json_line({"failure": {"code": error.code, "detail": error.detail}}))
        print(f"dukat call: {plain(error)}", file=sys.stderr)
        raise typer.Exit(1) from None
    if save is not None:
        write_wav(save, report.recording, 2)
    if as_json:
        print(json_line(as_dict(report)))
    else:
        print_report(report, console)
    raise typer.Exit(0 if succeeded(report) else 1)


def own_addresses(url: str) -> tuple[str, ...]:
    """Loopback for a server on this machine (it may have no other network), else whatever the machine has."""
    return ("127.0.0.1",) if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") else ()


def succeeded(report: CallReport) -> bool:
    """Connected, at least one turn, and the last reply heard to its end."""
    return report.connected and report.failure is None and bool(report.turns) and report.turns[-1].heard_complete
