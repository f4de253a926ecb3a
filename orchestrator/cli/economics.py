"""``economics``: the sequencer's profit and loss."""

from decimal import Decimal
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli.output import JsonOption, command, command_group, out, run, say_json
from orchestrator.devnet import Devnet
from orchestrator.economics import FeeGroup, Purpose, Row, Statement, statement_to_json
from orchestrator.economics.reading import read_statement
from orchestrator.registry import find_devnet

app = command_group()

PLACES = {"USD": Decimal("0.01"), "ETH": Decimal("0.000001")}
"""What a table shows; ``--json`` has every digit."""
NAMES = {Purpose.BATCH: "batches", Purpose.PROPOSAL: "proposals"}


@app.command()
def economics(
    net: Annotated[
        str | None, typer.Argument(help="A running devnet; not needed while only one is running.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each rollup has earned in fees, what it has cost on L1, and the sequencer's profit and loss.

    Batches are split over rollups by their bytes, proposals are each rollup's own; ether is worth the market's spot. The subsidy is what fees
    don't cover. Exit status: 0 whatever the result, 1 if the devnet isn't running or doesn't answer.
    Example: rollnet economics condor-mixed --json
    """
    with command(as_json=as_json):
        statement = run(_read(net))
        if as_json:
            say_json(statement_to_json(statement))
        else:
            _print(statement)


async def _read(net: str | None) -> Statement:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        return await read_statement(devnet)


def _print(statement: Statement) -> None:
    unit = statement.currency
    title = f"{escape(statement.devnet)}: fees by kind, what goes off them, and what is left, in {unit}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in ("rollup", "engine"):
        table.add_column(column, no_wrap=True)
    for column in (*FeeGroup, "insurance", "L1 batches", "L1 proposals", "profit", "subsidy"):
        table.add_column(column, justify="right")
    for row in (*statement.rows, statement.total):
        table.add_row(
            escape(row.name), row.engine, *_amounts(row, unit), end_section=row is statement.rows[-1]
        )
    out.print(table)
    counts = ", ".join(
        f"{statement.total.count[purpose]} {NAMES[purpose]} with {statement.gas[purpose]:,} gas"
        for purpose in Purpose
    )
    failed = f", {statement.failed} of them failed" if statement.failed else ""
    out.print(f"L1 blocks 0 to {statement.l1_block}: {counts}{failed}", soft_wrap=True)
    if statement.spot is None:
        out.print("no market says what an ether is worth: all amounts are ether", soft_wrap=True)
    else:
        out.print(f"an ether is {statement.spot} USD, the market's spot", soft_wrap=True)


def _amounts(row: Row, unit: str) -> list[str]:
    colour = "green" if row.result >= 0 else "red"
    plain = [*row.groups.values(), -row.insurance, -row.batches, -row.proposals]
    return [
        *(_shown(amount, unit) for amount in plain),
        f"[{colour}]{_shown(row.result, unit)}[/{colour}]",
        _shown(row.subsidy, unit),
    ]


def _shown(amount: Decimal, unit: str) -> str:
    return f"{amount.quantize(PLACES[unit]):,}" if amount else "0"
