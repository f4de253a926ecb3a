"""``addresses``: the contracts of a devnet by name."""

from collections.abc import Mapping
from typing import Annotated

import orjson
import typer
from rich.table import Table

from orchestrator.cli.output import JsonOption, command, command_group, out, say_json
from orchestrator.cli.traces import run_directory
from orchestrator.errors import RollnetError
from orchestrator.settlement.deployments import FILE_NAME, Deployments

app = command_group()

NetArgument = Annotated[
    str | None,
    typer.Argument(help="Which devnet, or a run directory; not needed while only one devnet is running."),
]


@app.command()
def addresses(net: NetArgument = None, as_json: JsonOption = False) -> None:
    """Show the names and addresses of a devnet's contracts, on L1 and on every rollup.

    Example: rollnet addresses pair
    """
    with command(as_json=as_json):
        found = _read(net)
        if as_json:
            say_json(found.to_json())
            return
        out.print(_table("L1, shared by all rollups", found.l1))
        for name, rollup in found.rollups.items():
            acting = {"(batch inbox)": rollup.batch_inbox, "(batcher)": rollup.batcher}
            settling = {**acting, "(proposer)": rollup.proposer, **rollup.l1}
            out.print(_table(f"L1, for {name} (chain {rollup.chain_id})", settling))
            out.print(_table(f"{name} (chain {rollup.chain_id})", rollup.l2))


def _read(net: str | None) -> Deployments:
    run = run_directory(net)
    try:
        return Deployments.from_json(orjson.loads((run / FILE_NAME).read_bytes()))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as exc:
        raise RollnetError(
            f"{run} has no readable {FILE_NAME}: {exc}", "wait until the devnet is up, or start it again"
        ) from exc


def _table(title: str, rows: Mapping[str, str]) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("name", min_width=34)
    table.add_column("address", no_wrap=True)
    for name, address in rows.items():
        table.add_row(name, address)
    return table
