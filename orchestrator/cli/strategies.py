"""``strategy list|show|run``."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from orchestrator.cli.output import JsonOption, NetOption, command, command_group, err, out, run, say_json
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.execution import LIFETIME_S
from orchestrator.market.units import price_units
from orchestrator.registry import find_devnet
from orchestrator.strategies.catalogue import describe_strategy, find_strategy, list_presets
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import MarketPlan
from orchestrator.topology.resolve import make_plan

app = command_group("List, explain and run multi-leg option strategies.")

EXIT_CODES = {"committed": 0, "aborted": 1, "unknown": 2}

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
        Path | None, typer.Option(help="Take the market from this topology instead of a running devnet.")
    ] = None,
    settings: SetOption = None,
    limits: LimitOption = None,
    at: PriceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain a strategy: its legs, its model price, what it can win and lose.

    Example: rollnet strategy show iron_condor --topology topologies/condor-quad.yaml
    """
    with command(as_json=as_json):
        market = _market(net, topology)
        explained = describe_strategy(
            find_strategy(strategy, market, settings or [], limits or []), market, _units(at)
        )
        if as_json:
            say_json(explained)
        else:
            _print_explained(explained)


@app.command("run")
def run_(
    strategy: StrategyArgument,
    net: NetOption = None,
    account: Annotated[int, typer.Option(min=0, help="Index of the funded account that signs.")] = 0,
    settings: SetOption = None,
    limits: LimitOption = None,
    at: PriceOption = None,
    lifetime: Annotated[
        int, typer.Option(min=1, max=3600, help="Seconds that it may wait for a slot.")
    ] = LIFETIME_S,
    as_json: JsonOption = False,
) -> None:
    """Run a strategy as one atomic bundle: all legs or none. Exits 0 committed, 1 aborted, 2 unknown.

    Example: rollnet strategy run iron_condor --set quantity=1 --json
    """
    with command(as_json=as_json):
        document = run(_run(strategy, net, account, settings or [], limits or [], lifetime, _units(at)))
        if as_json:
            say_json(document)
        else:
            _print_result(document)
        code = EXIT_CODES[document["outcome"]]
    raise typer.Exit(code)


async def _run(
    wanted: str,
    net: str | None,
    account: int,
    settings: list[str],
    limits: list[str],
    lifetime: int,
    prices: list[int],
) -> dict[str, Any]:
    async with Devnet.attach(find_devnet(net).name) as devnet:
        market = _market_of(devnet.plan.market, devnet.name)
        strategy = find_strategy(wanted, market, settings, limits)
        if account >= len(devnet.plan.users):
            raise InputError(
                f"there is no account {account}", f"accounts go from 0 to {len(devnet.plan.users) - 1}"
            )
        result = await devnet.run(strategy, account=account, lifetime_s=lifetime, prices=prices)
        return result.to_json()


class InputError(RollnetError):
    """The command line is wrong."""

    exit_code = 2


def _market(net: str | None, topology: Path | None) -> MarketPlan:
    if topology is not None:
        found = make_plan(load_topology(topology))
        return _market_of(found.market, found.name)

    async def attached() -> MarketPlan:
        async with Devnet.attach(find_devnet(net).name) as devnet:
            return _market_of(devnet.plan.market, devnet.name)

    return run(attached())


def _market_of(market: MarketPlan | None, name: str) -> MarketPlan:
    if market is None:
        raise InputError(f"{name} has no options market", "add a `market:` section to its topology")
    return market


def _units(prices: list[float] | None) -> list[int]:
    """USD to 1e-6 USD."""
    return [price_units(price) for price in prices or []]


def _print_payoffs(document: dict[str, Any]) -> None:
    table = Table("settlement price", "pay-off", "profit")
    for row in document["payoffs"]:
        table.add_row(_usd(row["price"]), _usd(row["payoff"]), _usd(row["payoff"] - document["net_premium"]))
    out.print(table)


def _usd(amount: int | None) -> str:
    return "" if amount is None else f"{amount / 1e6:,.2f}"


def _print_explained(explained: dict[str, Any]) -> None:
    table = Table(
        "leg", "rollup", "side", "kind", "strike", "quantity", "model price", title=explained["name"]
    )
    for index, leg in enumerate(explained["legs"]):
        quantity = f"{leg['quantity'] / 1e4:g}"
        table.add_row(
            str(index),
            leg["rollup"],
            leg["side"],
            leg["kind"],
            _usd(leg["strike"]),
            quantity,
            _usd(leg["model_price"]),
        )
    out.print(table)
    out.print(explained["summary"], markup=False)
    out.print(
        f"model premium {_usd(explained['net_premium'])}  max loss {_usd(explained['max_loss'])}"
        f"  max gain {_usd(explained['max_gain'])} USD"
    )
    _print_payoffs(explained)


def _print_result(document: dict[str, Any]) -> None:
    style = {"committed": "green", "aborted": "yellow", "unknown": "red"}[document["outcome"]]
    out.print(f"{document['strategy']}: {document['outcome']}", style=style)
    if document["reason"]:
        out.print(f"  reason: {document['reason']}", markup=False)
    if document["legs"]:
        table = Table("leg", "rollup", "side", "kind", "strike", "status", "premium")
        for index, leg in enumerate(document["legs"]):
            premium = _usd(leg["premium"])
            table.add_row(
                str(index),
                leg["rollup"],
                leg["side"],
                leg["kind"],
                _usd(leg["strike"]),
                leg["status"],
                premium,
            )
        out.print(table)
    if document["payoffs"]:
        out.print(
            f"  net premium {_usd(document['net_premium'])}  max loss {_usd(document['max_loss'])}"
            f"  max gain {_usd(document['max_gain'])} USD"
        )
        _print_payoffs(document)
    if "end_to_end" in document["latency_ms"]:
        out.print(f"  end to end {document['latency_ms']['end_to_end']:.0f} ms")
    if document["bundle_hash"]:
        err.print(f"  trace it: rollnet trace {document['bundle_hash']}")
