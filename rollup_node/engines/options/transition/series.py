"""Series: what can be traded, from listing to settlement."""

from dataclasses import replace
from typing import Any, Final

from rollup_node.engines.options.state.leaves import Series
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import oracle, risk
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.oracle import LIVE

EXPIRED: Final = 1
"""No longer traded; its settlement price is known, and positions are being paid out."""
SETTLED: Final = 2


def find(world: World, number: int) -> Series:
    """A series that there is."""
    found = world.series.get(number)
    if found is None:
        raise Refused("UnknownSeries", number)
    return found


def tradable(world: World, context: Context, number: int) -> Series:
    """A series that is traded now."""
    found = find(world, number)
    if found.status != LIVE or found.expiry <= context.timestamp:
        raise Refused("SeriesExpired", number)
    return found


def live(world: World, underlying: int) -> list[int]:
    """Series of an underlying that are traded, in ascending order."""
    return sorted(
        number
        for number, found in world.series.items()
        if found.underlying == underlying and found.status == LIVE
    )


def apply_list(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``listSeries(underlying, expiry, strike, isCall)``."""
    symbol, expiry, strike, is_call = arguments
    underlying, _ = oracle.find(world, context, symbol)
    oracle.require_fresh(world, context, underlying)
    market = context.parameters.markets[underlying]
    others = live(world, underlying)
    if len(others) >= market.max_series:
        raise Refused("LimitReached", market.max_series)
    known = next(
        (
            one
            for one in others
            if (world.series[one].expiry, world.series[one].strike, world.series[one].is_call)
            == (expiry, strike, is_call)
        ),
        None,
    )
    if known is not None:
        raise Refused("SeriesExists", known)
    last = context.timestamp + market.longest_life
    if not strike or strike % market.strike_step or not context.timestamp < expiry <= last:
        raise Refused("SeriesRefused", expiry, strike)
    number = world.globals.next_series
    if number >> 28:
        raise Refused("LimitReached", 1 << 28)
    world.globals = replace(world.globals, next_series=number + 1)
    world.series[number] = Series(underlying, expiry, strike, is_call, market.tick, market.lot)
    risk.put_rows(world, context, underlying, [number])
    context.emit("SeriesListed", number, symbol, expiry, strike, is_call)
    return number.to_bytes(32, "big")
