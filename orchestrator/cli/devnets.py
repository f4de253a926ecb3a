"""``status logs down gc``: devnets as a whole."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from orchestrator.cli.output import (
    NODE_HELP,
    JsonOption,
    NetOption,
    command,
    command_group,
    err,
    out,
    run,
    say_json,
)
from orchestrator.errors import RollnetError
from orchestrator.registry import Registry, find_devnet
from orchestrator.rundir import RunDirectory, home
from orchestrator.runtimes.base import NodeStatus
from orchestrator.runtimes.control import ControlClient
from orchestrator.runtimes.errors import DevnetGoneError
from orchestrator.runtimes.takedown import take_down

app = command_group()


@app.command()
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


@app.command()
def logs(
    node: Annotated[str, typer.Argument(help=NODE_HELP)],
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


@app.command()
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
        if name is None and not any(entry.alive() for entry in Registry(home()).entries()):
            # "down" asks for a state, not for an act: with nothing running it is done
            if as_json:
                say_json({"name": None, "was_running": False, "left_behind": []})
            else:
                out.print("no devnet is running")
            return
        target = name if name is not None else find_devnet(None).name
        taken = run(take_down(Registry(home()), target))
        if as_json:
            unswept = {"unswept": list(taken.swept.unswept)} if taken.swept.unswept else {}
            say_json(
                {
                    "name": target,
                    "was_running": taken.was_registered,
                    "left_behind": list(taken.left),
                    **unswept,
                }
            )
        else:
            out.print(f"{target} is down" if taken.was_registered else f"{target} was not running")
            for left in taken.left:
                err.print(f"left behind: {left}", style="red", markup=False)
            for line in taken.swept.unswept:
                err.print(f"not swept: {line}", markup=False)
        if taken.left:
            raise typer.Exit(1)


@app.command()
def gc(as_json: JsonOption = False) -> None:
    """Sweep what crashed devnets left: processes, containers, networks, volumes and registrations. Never touches a living devnet.

    What builds of the image left that were cut short goes too, unless one goes on.
    Example: rollnet gc
    """
    with command(as_json=as_json):
        swept = Registry(home()).sweep()
        builds = run(_swept_builds())
        if as_json:
            say_json({**asdict(swept), "builds": builds})
            return
        lines = (
            *swept.devnets,
            *swept.unreadable,
            *swept.processes,
            *swept.containers,
            *swept.unfinished,
            *builds,
        )
        for line in lines:
            out.print(f"swept {line}", markup=False)
        for line in swept.unswept:
            err.print(f"not swept: {line}", style="red", markup=False)
        if not swept and not builds:
            out.print("nothing to sweep")


async def _swept_builds() -> list[str]:
    from orchestrator.runtimes.docker.image.remains import sweep_builds  # noqa: PLC0415 - the SDK is slow to import

    return await sweep_builds()


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
    return {key: described[key] for key in ("ready_s", "runtime", "endpoints") if key in described}


def _node_json(node: NodeStatus) -> dict[str, Any]:
    return {
        "name": node.name,
        "role": node.role,
        "state": node.state.value,
        "pid": node.pid,
        "container": node.container,
        "boot": node.boot,
        "expected": node.expected,
        "endpoints": dict(node.endpoints),
        "last_lines": list(node.last_lines),
    }


def _print_status(devnet: dict[str, Any]) -> None:
    runtime = devnet.get("runtime")
    where = f" on {runtime['kind']} ({runtime['why']})" if runtime else ""
    title = f"{devnet['name']}: {devnet['state']}{where}"
    process = "container" if any(node["container"] for node in devnet["nodes"]) else "pid"
    rollups = devnet.get("endpoints", {}).get("rollups", {})
    table = Table("node", "role", "engine", "state", "boot", process, "http", title=title)
    for node in devnet["nodes"]:
        state = node["state"] if node["expected"] else f"{node['state']} (unexpected)"
        boot, process = str(node["boot"]), node["container"] or str(node["pid"] or "")
        engine = rollups.get(node["name"], {}).get("engine", "")
        http = node["endpoints"].get("http", "")
        table.add_row(node["name"], node["role"], engine, state, boot, process, http)
    out.print(table)
    for node in devnet["nodes"]:
        for line in node["last_lines"]:
            err.print(f"{node['name']}: {line}", markup=False)
    out.print(f"run directory {devnet['run_dir']}")
    if devnet["state"] == "crashed":
        out.print("its process is gone; sweep what it left: rollnet gc")
