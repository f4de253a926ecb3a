"""The tree of commands. Each module is imported when its command is used: `rollnet down` must not wait for what `rollnet up` needs."""

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from orchestrator.cli.interrupts import importing

VERSION = "0.1.0"

COMMANDS = {
    "up": "up",
    "status": "devnets",
    "addresses": "addresses",
    "logs": "devnets",
    "down": "devnets",
    "gc": "devnets",
    "bundle": "bundles",
    "deposit": "bridge",
    "withdraw": "bridge",
    "trace": "traces",
    "report": "traces",
    "verify": "verify",
    "check": "check",
    "demo": "demo",
    "compare": "compare",
    "economics": "economics",
}
"""Command to module of this package."""
GROUPS = {
    "node": "nodes",
    "fault": "faults",
    "chaos": "chaos",
    "topology": "topologies",
    "image": "images",
    "export": "export",
    "strategy": "strategies",
    "message": "messages",
}
"""Group of commands to module of this package."""


class LazyCommands(TyperGroup):
    """Finds commands by name and imports them on use."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which a newcomer meets them."""
        del ctx
        return [
            "demo",
            "compare",
            "up",
            "status",
            "addresses",
            "strategy",
            "bundle",
            "deposit",
            "withdraw",
            "message",
            "trace",
            "report",
            "economics",
            "verify",
            "check",
            "node",
            "fault",
            "chaos",
            "logs",
            "down",
            "gc",
            "image",
            "export",
            "topology",
        ]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or None."""
        module = COMMANDS.get(cmd_name) or GROUPS.get(cmd_name)
        if module is None:
            return None
        with importing():
            commands = importlib.import_module(f"orchestrator.cli.{module}")
        group = typer.main.get_group(commands.app)
        if cmd_name in GROUPS:
            group.name = cmd_name
            return group
        return group.get_command(ctx, cmd_name)


app = typer.Typer(
    name="rollnet",
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
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
    """Launch a disposable multi-rollup devnet from one YAML file, run atomic multi-leg option strategies on it,
    break it on purpose, and see where every message spent its time.

    Example: rollnet up topologies/pair.yaml --detach, then rollnet strategy run vertical, then rollnet down pair
    """  # noqa: D205 - the help text is one paragraph
