"""``up``: from a topology file to a running devnet, in the foreground or in the background."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
import typer
from rich.table import Table

from orchestrator.cli.interrupts import importing
from orchestrator.cli.output import (
    JsonOption,
    command,
    command_group,
    err,
    out,
    progress_lines,
    run,
    say_json,
)
from orchestrator.rundir import home
from orchestrator.runtimes.base import NodeStatus
from orchestrator.runtimes.supervisor import Reporter, start_supervisor
from orchestrator.topology.load import load_topology

if TYPE_CHECKING:
    from orchestrator.devnet import Devnet

app = command_group()

TopologyArgument = Annotated[Path, typer.Argument(help="A topology file, such as topologies/pair.yaml.")]


@app.command()
def up(
    topology: TopologyArgument,
    name: Annotated[
        str | None, typer.Option(help="Name of the devnet; the topology's own by default.")
    ] = None,
    runtime: Annotated[
        Literal["process", "docker", "auto"] | None,
        typer.Option(help="Where nodes run: process, docker or auto; what the topology says by default."),
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Leave it running in the background.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and the nodes; start nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Launch a devnet.

    Stays in the foreground until Ctrl-C (which takes everything down) unless --detach is given.

    Example: rollnet up topologies/condor-quad.yaml --detach --json
    """
    with command(as_json=as_json):
        if dry_run:
            _dry_run(topology, as_json=as_json)
        elif detach:
            run(_up_detached(topology, name, runtime, as_json=as_json))
        else:
            run(_up_foreground(topology, name, runtime, as_json=as_json))


def _dry_run(topology: Path, *, as_json: bool) -> None:
    from orchestrator.nodes import node_specs  # noqa: PLC0415 - only the process that plans pays for planning
    from orchestrator.topology.plan_json import plan_to_dict  # noqa: PLC0415 - as above
    from orchestrator.topology.resolve import make_plan  # noqa: PLC0415 - as above

    plan = make_plan(load_topology(topology))
    specs = node_specs(plan, "anvil")
    if as_json:
        nodes = [
            {
                "name": s.name,
                "role": s.role,
                "command": s.command,
                "ports": dict(s.ports),
                "depends_on": s.depends_on,
            }
            for s in specs
        ]
        say_json({"plan": plan_to_dict(plan), "nodes": nodes})
        return
    out.print_json(orjson.dumps(plan_to_dict(plan)).decode())
    table = Table("node", "role", "waits for", "command")
    for spec in specs:
        table.add_row(spec.name, spec.role, ", ".join(spec.depends_on), " ".join(spec.command[1:]))
    out.print(table)
    out.print("dry run: nothing was started")


async def _up_detached(topology: Path, name: str | None, runtime: str | None, *, as_json: bool) -> None:
    load_topology(topology)  # say what is wrong with the file before anything is started
    argv = [
        sys.executable,
        "-m",
        "orchestrator.cli.supervise",
        str(topology.absolute()),
        name or "",
        runtime or "",
    ]
    tell = progress_lines()
    log = home() / "supervisors" / f"{name or topology.stem}.log"
    supervisor = await start_supervisor(argv, log, lambda report: tell(*report))
    described: dict[str, Any] = orjson.loads(Path(supervisor.payload).read_bytes())
    if as_json:
        say_json(described)
    else:
        _print_devnet(described)
        out.print(f"\nrunning in the background; take it down with: rollnet down {described['name']}")


async def _up_foreground(topology: Path, name: str | None, runtime: str | None, *, as_json: bool) -> None:
    async with supervised(topology, name, runtime, Reporter(None), progress_lines()) as (net, ended):
        if as_json:
            say_json(net.describe())
            sys.stdout.flush()
        else:
            _print_devnet(net.describe())
            out.print("\nCtrl-C takes it down")
        await ended.wait()
        err.print("going down …")


@contextlib.asynccontextmanager
async def supervised(
    topology: Path, name: str | None, runtime: str | None, reporter: Reporter, progress: Any
) -> "AsyncIterator[tuple[Devnet, asyncio.Event]]":
    """A launched devnet, and an event that is set by SIGINT, SIGTERM or ``rollnet down``."""
    with importing():
        from orchestrator.launching import launch  # noqa: PLC0415 - the command line of `up --detach` does without

    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    main_task = asyncio.current_task()
    assert main_task is not None, "commands run in a task"
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, main_task.cancel)  # while it comes up: undo everything
    try:
        async with launch(
            topology, name=name, progress=progress, dedicated=True, on_exit=_told, runtime=runtime
        ) as (net, control):
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, ended.set)
            reporter.ready(str(net.directory.devnet))
            waiter = asyncio.create_task(_relay(control.down_requested, ended))
            try:
                yield net, ended
            finally:
                waiter.cancel()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _told(status: NodeStatus) -> None:
    """Say when a node dies although nobody asked; the devnet goes on, for somebody to look at it."""
    if status.expected:
        return
    how = status.signal or f"exit code {status.exit_code}"
    err.print(
        f"{status.name} ended unexpectedly ({how}); see `rollnet logs {status.name}`",
        style="red",
        markup=False,
    )
    for line in status.last_lines[-5:]:
        err.print(f"  | {line}", markup=False)


async def _relay(source: asyncio.Event, target: asyncio.Event) -> None:
    await source.wait()
    target.set()


def _print_devnet(described: dict[str, Any]) -> None:
    endpoints = described["endpoints"]
    table = Table(
        "chain",
        "engine",
        "chain id",
        "http",
        "ws",
        title=f"{described['name']}, ready in {described['ready_s']} s",
    )
    table.add_row("l1", "", "", endpoints["l1"]["http"], endpoints["l1"]["ws"])
    for rollup, found in endpoints["rollups"].items():
        table.add_row(rollup, found["engine"], str(found["chain_id"]), found["http"], found["ws"])
    for sequencer, found in endpoints["sequencers"].items():
        table.add_row(sequencer, "", "", found["http"], "")
    table.add_row("relayer", "", "", endpoints["relayer"]["http"], "")
    out.print(table)
    first = described["accounts"][0]
    runtime = described["runtime"]
    out.print(f"runtime {runtime['kind']}, {runtime['why']}", markup=False)
    out.print(f"{len(described['accounts'])} funded accounts; the first is {first['address']}")
    out.print(f"key {first['private_key']}")
    out.print(f"run directory {described['run_dir']}")
