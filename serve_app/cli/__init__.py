"""`dukat`: what an operator types. Each command prints for people; `--json` prints one object as the last line."""

from __future__ import annotations

import sys

import typer

from deployments.contracts.errors import DukatError
from serve_app.caller.plain import plain
from serve_app.cli import bench, call, documents, ingest, stored, up

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.command("up")(up.up)
app.command("call")(call.call)
app.command("ingest")(ingest.ingest)
app.command("documents")(documents.documents)
app.command("forget")(documents.forget)
app.command("calls")(stored.calls)
app.command("show")(stored.show)
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Entry point: our own errors are one line, not a traceback."""
    try:
        app()
    except DukatError as error:
        print(f"dukat: {plain(error)}", file=sys.stderr)
        raise SystemExit(1) from None
