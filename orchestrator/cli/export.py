"""``export compose``: a devnet as files of other tools."""

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli.output import JsonOption, command, command_group, out, run, say_json
from orchestrator.export.write import Exported, export_compose
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import SHARED_SEQUENCER
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.sequencing import sequencing_sets

app = command_group("Write a devnet as files of other tools, to be read or run without rollnet.")


@app.callback()
def root() -> None:
    """Write a devnet as files of other tools, to be read or run without rollnet."""


@app.command()
def compose(
    topology: Annotated[Path, typer.Argument(help="A topology file, such as topologies/pair.yaml.")],
    output: Annotated[
        Path | None,
        typer.Option(
            help="A file (.yaml or .yml), with what it needs in the folder of the same name beside it; or a folder for everything. "
            "By default the folder NAME-compose."
        ),
    ] = None,
    first_port: Annotated[
        int | None,
        typer.Option(help="Ports on 127.0.0.1 count from here; by default free ones from 8545 on."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a compose file that starts the devnet as containers, with its genesis states beside it. Needs no Docker engine.

    Example: rollnet export compose topologies/pair.yaml, then docker compose -f pair-compose/compose.yaml up --wait
    """
    with command(as_json=as_json):
        exported = run(export_compose(make_plan(load_topology(topology)), output, first_port))
        if as_json:
            say_json(_described(exported))
            return
        out.print(f"{exported.file}, and beside it {exported.folder}/genesis", markup=False)
        for node in exported.export.ports:
            out.print(f"  {node:20} {exported.export.url(node)}", markup=False)
        out.print(f"it runs {exported.export.image}, which `rollnet image build` makes; then")
        out.print(f"  docker compose -f {exported.file} up --wait", markup=False)
        out.print(f"  docker compose -f {exported.file} down --volumes", markup=False)


def _described(exported: Exported) -> dict[str, Any]:
    """Endpoints and accounts as ``rollnet up --json`` tells them."""
    export, plan = exported.export, exported.export.plan
    sequencers = {one.node: {"http": export.url(one.node)} for one in sequencing_sets(plan)}
    shared = sequencers if plan.messaging.mode == SHARED_SEQUENCER else {}
    return {
        "name": plan.name,
        "file": str(exported.file),
        "folder": str(exported.folder),
        "image": export.image,
        "endpoints": {
            "l1": _chain(export.url("l1")),
            **shared,
            "sequencers": sequencers,
            "relayer": {"http": export.url("relayer")},
            "rollups": {
                rollup.name: {"chain_id": rollup.chain_id, **_chain(export.url(rollup.name))}
                for rollup in plan.rollups
            },
        },
        "accounts": [{"address": user.address, "private_key": user.private_key} for user in plan.users],
    }


def _chain(http: str) -> dict[str, str]:
    return {"http": http, "ws": http.replace("http://", "ws://", 1)}
