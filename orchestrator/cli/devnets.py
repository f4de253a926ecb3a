"""``up status logs down gc``: devnets as a whole."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from orchestrator.cli.output import JsonOption, NetOption, command, err, out, progress_lines, run, say_json
from orchestrator.devnet import Devnet, find_devnet, launch
from orchestrator.errors import RollnetError
from orchestrator.nodes import node_specs
from orchestrator.registry import Registry
from orchestrator.rundir import RunDirectory, home
from orchestrator.runtimes.base import NodeStatus
from orchestrator.runtimes.control import ControlClient
from orchestrator.runtimes.errors import DevnetGoneError
from orchestrator.runtimes.supervisor import Reporter, start_supervisor
from orchestrator.runtimes.takedown import take_down
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan_json import plan_to_dict
from orchestrator.topology.resolve import make_plan

TopologyArgument = Annotated[Path, typer.Argument(help="A topology file, such as topologies/pair.yaml.")]


def register(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (up, status, logs, down, gc):
        app.command()(function)


def up(
    topology: TopologyArgument,
    name: Annotated[
        str | None, typer.Option(help="Name of the devnet; the topology's own by default.")
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
            run(_up_detached(topology, name, as_json=as_json))
        else:
            run(_up_foreground(topology, name, as_json=as_json))


def status(
    name: Annotated[str | None, typer.Argument(help="One devnet; all of them by default.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show running devnets and the state of their nodes.

    Example: rollnet status pair
    """
    with command(as_json=as_json):
        entries = [find_devnet(name)] if name else list(Registry(home()).entries())
        found = [run(_status_of(entry.name)) for entry in entries]
        if as_json:
            say_json({"devnets": found})
            return
        if not found:
            out.print("no devnet is running; start one: rollnet up topologies/pair.yaml --detach")
        for devnet in found:
            _print_status(devnet)


def logs(
    node: Annotated[str, typer.Argument(help="l1, sequencer, maker or a rollup's name.")],
    net: NetOption = None,
    lines: Annotated[int, typer.Option("--lines", "-l", min=1, help="How many of the last lines.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show the end of a node's log.

    Example: rollnet logs sequencer --lines 100
    """
    with command(as_json=as_json):
        entry = find_devnet(net)
        control = ControlClient(entry.name, entry.control.port, entry.control.token)
        found = run(control.logs(node, lines))
        if as_json:
            say_json({"node": node, "lines": found})
        else:
            out.print("\n".join(found), markup=False)


def down(
    name: Annotated[
        str | None, typer.Argument(help="Which devnet; not needed while only one is running.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take a devnet down. Doing it twice is fine.

    Its run directory (journals, logs, reports) stays; nothing else does.
    Example: rollnet down pair
    """
    with command(as_json=as_json):
        target = name if name is not None else find_devnet(None).name
        taken = run(take_down(Registry(home()), target))
        if as_json:
            say_json({"name": target, "was_running": taken.was_registered, "left_behind": list(taken.left)})
        else:
            out.print(f"{target} is down" if taken.was_registered else f"{target} was not running")
            for left in taken.left:
                err.print(f"left behind: {left}", style="red")
        if taken.left:
            raise typer.Exit(1)


def gc(as_json: JsonOption = False) -> None:
    """Sweep what crashed devnets left: processes and registrations. Never touches a living devnet.

    Example: rollnet gc
    """
    with command(as_json=as_json):
        swept = Registry(home()).sweep()
        if as_json:
            say_json({"devnets": swept.devnets, "unreadable": swept.unreadable, "processes": swept.processes})
            return
        for line in (*swept.devnets, *swept.unreadable, *swept.processes):
            out.print(f"swept {line}", markup=False)
        if not swept:
            out.print("nothing to sweep")


def _dry_run(topology: Path, *, as_json: bool) -> None:
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


async def _up_detached(topology: Path, name: str | None, *, as_json: bool) -> None:
    load_topology(topology)  # say what is wrong with the file before anything is started
    argv = [
        sys.executable,
        "-m",
        "orchestrator.cli.supervise",
        str(topology.absolute()),
        *([name] if name else []),
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


async def _up_foreground(topology: Path, name: str | None, *, as_json: bool) -> None:
    async with supervised(topology, name, Reporter(None), progress_lines()) as (net, ended):
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
    topology: Path, name: str | None, reporter: Reporter, progress: Any
) -> AsyncIterator[tuple[Devnet, asyncio.Event]]:
    """A launched devnet, and an event that is set by SIGINT, SIGTERM or ``rollnet down``."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    main_task = asyncio.current_task()
    assert main_task is not None, "commands run in a task"
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, main_task.cancel)  # while it comes up: undo everything
    try:
        async with launch(topology, name=name, progress=progress, dedicated=True) as (net, control):
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


async def _relay(source: asyncio.Event, target: asyncio.Event) -> None:
    await source.wait()
    target.set()


async def _status_of(name: str) -> dict[str, Any]:
    entry = find_devnet_or_dead(name)
    if not entry.alive():
        return {"name": name, "run_dir": entry.run_dir, "state": "crashed", "nodes": []}
    control = ControlClient(entry.name, entry.control.port, entry.control.token, timeout_s=10.0)
    try:
        found = await control.status()
    except DevnetGoneError as exc:
        return {"name": name, "run_dir": entry.run_dir, "state": f"unreachable: {exc.message}", "nodes": []}
    running = RunDirectory(Path(entry.run_dir)).devnet.exists()
    nodes = [_node_json(node) for node in found.nodes]
    state = "running" if running else "starting"
    return {"name": name, "run_dir": entry.run_dir, "state": state, "nodes": nodes, **_ready(found.devnet)}


def find_devnet_or_dead(name: str) -> Any:
    """A registry entry, alive or not.

    Raises:
        RollnetError: there is none.
    """
    entry = Registry(home()).find(name)
    if entry is None:
        raise RollnetError(f"no devnet {name!r}", "see `rollnet status`")
    return entry


def _ready(described: dict[str, Any]) -> dict[str, Any]:
    return {key: described[key] for key in ("ready_s", "endpoints") if key in described}


def _node_json(node: NodeStatus) -> dict[str, Any]:
    return {
        "name": node.name,
        "role": node.role,
        "state": node.state.value,
        "pid": node.pid,
        "boot": node.boot,
        "expected": node.expected,
        "endpoints": dict(node.endpoints),
        "last_lines": list(node.last_lines),
    }


def _print_devnet(described: dict[str, Any]) -> None:
    endpoints = described["endpoints"]
    table = Table(
        "chain", "chain id", "http", "ws", title=f"{described['name']}, ready in {described['ready_s']} s"
    )
    table.add_row("l1", "", endpoints["l1"]["http"], endpoints["l1"]["ws"])
    for rollup, found in endpoints["rollups"].items():
        table.add_row(rollup, str(found["chain_id"]), found["http"], found["ws"])
    table.add_row("sequencer", "", endpoints["sequencer"]["http"], "")
    out.print(table)
    first = described["accounts"][0]
    out.print(f"{len(described['accounts'])} funded accounts; the first is {first['address']}")
    out.print(f"key {first['private_key']}")
    out.print(f"run directory {described['run_dir']}")


def _print_status(devnet: dict[str, Any]) -> None:
    table = Table(
        "node", "role", "state", "boot", "pid", "http", title=f"{devnet['name']}: {devnet['state']}"
    )
    for node in devnet["nodes"]:
        state = node["state"] if node["expected"] else f"{node['state']} (unexpected)"
        boot, pid = str(node["boot"]), str(node["pid"] or "")
        table.add_row(node["name"], node["role"], state, boot, pid, node["endpoints"].get("http", ""))
    out.print(table)
    for node in devnet["nodes"]:
        for line in node["last_lines"]:
            err.print(f"{node['name']}: {line}", markup=False)
    out.print(f"run directory {devnet['run_dir']}")
    if devnet["state"] == "crashed":
        out.print("its process is gone; sweep what it left: rollnet gc")
