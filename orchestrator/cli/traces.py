"""``trace`` and ``report``: where messages spent their time."""

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.output import JsonOption, NetOption, command, command_group, out, say_json
from orchestrator.errors import RollnetError
from orchestrator.registry import Registry, find_devnet
from orchestrator.report import print_report, report_to_json, write_report
from orchestrator.rundir import home
from orchestrator.tracing import find_trace, load_traces, render_mermaid, render_tree, trace_to_json

app = command_group()


@app.command()
def trace(
    message: Annotated[str, typer.Argument(help="Bundle or transaction hash, or the beginning of one.")],
    net: NetOption = None,
    run_dir: Annotated[
        Path | None, typer.Option("--run", help="A run directory instead of a running devnet.")
    ] = None,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print a Mermaid sequence diagram.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the way of one message through all nodes, with its critical path.

    Example: rollnet trace 0x1f3a --mermaid
    """
    with command(as_json=as_json):
        folder = run_dir or Path(find_devnet(net).run_dir)
        found = find_trace(load_traces(folder), message)
        if as_json:
            say_json(trace_to_json(found))
        elif mermaid:
            typer.echo(render_mermaid(found))
        else:
            out.print(render_tree(found))


@app.command()
def report(
    run_or_name: Annotated[
        str | None,
        typer.Argument(help="A devnet's name or a run directory; the only running devnet by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write report.md and report.json of a run and show the tables.

    Works on running and finished runs. Example: rollnet report pair --json
    """
    with command(as_json=as_json):
        found, paths = write_report(run_directory(run_or_name))
        if as_json:
            say_json(report_to_json(found))
        else:
            print_report(found, out)
            out.print(f"written: {', '.join(str(path) for path in paths)}", soft_wrap=True)
    if found.violations_total:
        raise typer.Exit(1)


def run_directory(wanted: str | None) -> Path:
    """A run directory by its path, by a devnet's name, or by a topology's name (its latest run).

    Raises:
        RollnetError: nothing of that name.
    """
    if wanted is None:
        return Path(find_devnet(None).run_dir)
    if (Path(wanted) / "journal").is_dir():
        return Path(wanted)
    if "/" not in wanted:
        entry = Registry(home()).find(wanted)
        if entry is not None:
            return Path(entry.run_dir)
        latest = home() / "runs" / wanted / "latest"
        if latest.exists():
            return latest.resolve()
    raise RollnetError(
        f"{wanted!r} is neither a devnet, nor a topology that ran, nor a run directory",
        "see `rollnet status`",
    )
