"""``strategy list|show|run|status``."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from orchestrator.bridge_execution.status import status
from orchestrator.cli.output import JsonOption, NetOption, command, command_group, err, out, run, say_json
from orchestrator.cli.strategy_output import print_explained, print_result, print_status
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.execution import LIFETIME_S
from orchestrator.market.units import price_units
from orchestrator.registry import find_devnet
from orchestrator.strategies.bridge_terms import MAX_LOCK_S
from orchestrator.strategies.capital import own_capital
from orchestrator.strategies.catalogue import describe_strategy, find_strategy, list_presets
from orchestrator.strategies.model import ExecutionMode
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import MarketPlan, Plan
from orchestrator.topology.resolve import make_plan

app = command_group("List, explain and run multi-leg option strategies.")

EXIT_CODES = {"committed": 0, "aborted": 1, "unknown": 2, "partial": 2}

StrategyArgument = Annotated[
    str, typer.Argument(help="A preset (see `rollnet strategy list`) or a strategy file.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", "-s", help="A preset's parameter, such as quantity=2 or strikes=1700,1800,2200,2300."
    ),
]
PriceOption = Annotated[
    list[float] | None,
    typer.Option(
        "--at", min=0, help="A settlement price in USD for the pay-off table; may be given several times."
    ),
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit", help="LEG=PRICE: the limit of one leg in USD, such as 2=0.01; legs count from 0."
    ),
]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the presets and their parameters.

    Example: rollnet strategy list
    """
    presets = list_presets()
    if as_json:
        say_json({"presets": presets})
        return
    table = Table("preset", "what it is", "parameters")
    for preset in presets:
        table.add_row(preset["name"], preset["summary"], ", ".join(preset["parameters"]))
    out.print(table)


@app.command()
def show(
    strategy: StrategyArgument,
    net: NetOption = None,
    topology: Annotated[
        Path | None,
        typer.Option(help="Take market and rollups from this topology instead of a running devnet."),
    ] = None,
    settings: SetOption = None,
    limits: LimitOption = None,
    at: PriceOption = None,
    margin: Annotated[
        bool,
        typer.Option(
            "--margin",
            help="Also what it takes of your cash on options rollups: in one account, rollup by rollup, and locked.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Explain a strategy: its legs, its model price, what it can win and lose, and with --margin what cash it takes.

    Example: rollnet strategy show iron_condor --margin --topology topologies/condor-quad.yaml
    """
    with command(as_json=as_json):
        plan = _plan(net, topology)
        market = _market_of(plan.market, plan.name)
        found = find_strategy(strategy, market, settings or [], limits or [])
        explained = describe_strategy(found, market, _units(at))
        if margin:
            explained["margin"] = own_capital(found, plan, market).to_json()
        if as_json:
            say_json(explained)
        else:
            print_explained(explained)


@app.command("run")
def run_(
    strategy: StrategyArgument,
    net: NetOption = None,
    account: Annotated[int, typer.Option(min=0, help="Index of the funded account that signs.")] = 0,
    settings: SetOption = None,
    limits: LimitOption = None,
    at: PriceOption = None,
    lifetime: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_LOCK_S,
            help=f"Seconds until it must be decided: {LIFETIME_S} for a bundle, over the bridge what its waits ask for.",
        ),
    ] = None,
    execution: Annotated[
        ExecutionMode | None,
        typer.Option(
            help="One bundle at a sequencer, or escrow over the L1 bridge; auto takes a bundle where one sequencer orders all "
            "legs. Goes before what the strategy's file says.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run a strategy: all legs or none. Exits 0 committed, 1 aborted, 2 unknown (then ask again with `strategy status`).

    Example: rollnet strategy run iron_condor --set quantity=1 --execution bridge --json
    """
    with command(as_json=as_json):
        document = run(
            _run(strategy, net, account, settings or [], limits or [], lifetime, _units(at), execution)
        )
        if as_json:
            say_json(document)
        else:
            print_result(document)
        code = EXIT_CODES[document["outcome"]]
    raise typer.Exit(code)


@app.command("status")
def status_(
    strategy: Annotated[
        str, typer.Argument(metavar="ID", help="A strategy's id, as `strategy run` tells it.")
    ],
    net: NetOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell how far a strategy over the bridge is, on L1 and on each rollup. Exits 0 committed, 1 aborted, 2 not ended.

    Example: rollnet strategy status 0x… --wait
    """
    with command(as_json=as_json):
        document = run(_status(strategy, net, wait=wait))
        if as_json:
            say_json(document)
        else:
            print_status(document)
        code = EXIT_CODES[document["outcome"]]
    raise typer.Exit(code)


async def _status(wanted: str, net: str | None, *, wait: bool) -> dict[str, Any]:
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", wanted):
        raise InputError(f"{wanted!r} is not a strategy's id", "give 0x and 64 hexadecimal digits")
    async with Devnet.attach(find_devnet(net).name) as devnet:
        found = await status(devnet, wanted.lower(), wait=wait, tell=_tell)
        return {"net": devnet.name, **found.to_json()}


def _tell(line: str) -> None:
    err.print(f"  {line}", markup=False)


async def _run(
    wanted: str,
    net: str | None,
    account: int,
    settings: list[str],
    limits: list[str],
    lifetime: int | None,
    prices: list[int],
    execution: ExecutionMode | None,
) -> dict[str, Any]:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        market = _market_of(devnet.plan.market, devnet.name)
        strategy = find_strategy(wanted, market, settings, limits)
        if account >= len(devnet.plan.users):
            raise InputError(
                f"there is no account {account}", f"accounts go from 0 to {len(devnet.plan.users) - 1}"
            )
        result = await devnet.run(
            strategy, account=account, lifetime_s=lifetime, prices=prices, execution=execution, tell=_tell
        )
        return result.to_json()


class InputError(RollnetError):
    """The command line is wrong."""

    exit_code = 2


def _plan(net: str | None, topology: Path | None) -> Plan:
    if topology is not None:
        return make_plan(load_topology(topology))

    async def attached() -> Plan:
        async with Devnet.attach(find_devnet(net).name) as devnet:
            return devnet.plan

    return run(attached())


def _market_of(market: MarketPlan | None, name: str) -> MarketPlan:
    if market is None:
        raise InputError(f"{name} has no options market", "add a `market:` section to its topology")
    return market


def _units(prices: list[float] | None) -> list[int]:
    """USD to 1e-6 USD."""
    return [price_units(price) for price in prices or []]
