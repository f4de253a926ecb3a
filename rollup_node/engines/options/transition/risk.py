"""The risk section: rows of series computed anew where the oracle has spoken, and the settlement price of what has expired."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from rollup_node.engines.options.risk.rows import risk_row
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import final_row, terms_of
from rollup_node.engines.options.transition.oracle import LIVE, settlement_price

EXPIRED: Final = 1
"""Status of a series with a settlement price, whose positions are being paid out."""
MOST_ROWS: Final = 64
"""In one step: what L1 can execute again in one transaction."""


def steps(world: World, context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Derived: the series of every underlying whose rows are older than its oracle's word, or that has expired."""
    for underlying, oracle in sorted(world.oracles.items()):
        due = [
            number
            for number, found in sorted(world.series.items())
            if found.underlying == underlying
            and found.status == LIVE
            and (
                world.risk[number].sequence != oracle.sequence
                or settlement_price(context, oracle, found.expiry) is not None
            )
        ]
        symbol = context.parameters.markets[underlying].symbol
        for start in range(0, len(due), MOST_ROWS):
            yield "updateRows", (symbol, tuple(due[start : start + MOST_ROWS]))


def apply_rows(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``updateRows(underlying, series)``."""
    symbol, numbers = arguments
    underlying = next(one for one, market in context.parameters.markets.items() if market.symbol == symbol)
    put_rows(world, context, underlying, numbers)
    context.moved = True
    context.emit("RiskUpdated", symbol, world.oracles[underlying].sequence, numbers)
    return b""


def put_rows(world: World, context: Context, underlying: int, numbers: Sequence[int]) -> None:
    """Write the rows of series of an underlying."""
    oracle = world.oracles[underlying]
    context.risks.forget(underlying)
    said = context.risks.oracle(underlying)
    for number in numbers:
        found, terms = world.series[number], terms_of(world, number)
        price = settlement_price(context, oracle, found.expiry)
        if price is None:
            world.risk[number] = risk_row(terms, said)
        else:
            world.series[number] = replace(found, status=EXPIRED, settlement=price)
            world.risk[number] = final_row(terms.payoff(price), oracle.sequence)
            context.emit("SeriesSettled", number, price)
    context.risks.forget(underlying)
