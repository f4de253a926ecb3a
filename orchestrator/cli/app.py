"""The tree of commands."""

import sys
from typing import Annotated

import typer

from orchestrator.cli import demo, devnets, nodes, strategies, topologies, traces

VERSION = "0.1.0"

app = typer.Typer(
    name="rollnet",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Launch a disposable multi-rollup devnet from one YAML file, run atomic multi-leg option strategies on it, "
        "break it on purpose, and see where every message spent its time.\n\n"
        "Example:\n\n"
        "  rollnet up topologies/pair.yaml --detach\n\n"
        "  rollnet strategy run vertical\n\n"
        "  rollnet down pair"
    ),
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"rollnet {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Only options that belong to no command."""


devnets.register(app)
app.add_typer(nodes.app, name="node")
app.add_typer(topologies.app, name="topology")
app.add_typer(strategies.app, name="strategy")
strategies.register(app)
traces.register(app)
demo.register(app)


def main() -> None:
    """Entry point of ``rollnet``."""
    try:
        app()
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
