"""A share of everything that an account has for sale: the same part of each position, in whole lots, and of its cash.

Rounding is against whoever takes it: of longs and of cash it gets less, of shorts and of debts more, by less than a lot and a unit. So no slice,
however thin, takes what is worth something and leaves the risk; and positions stay multiples of their lot. What committed combos hold is
not for sale, nor is cash that is pledged.
"""

from typing import NamedTuple

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition import trading
from rollup_node.engines.options.transition.accounts import credit
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.values import PARTS, QUANTITY_UNIT, ceil_divide, int128

Positions = tuple[tuple[int, int], ...]


class Slice(NamedTuple):
    """What goes from one account to another."""

    positions: Positions
    """Series and signed quantity."""
    cash: int
    """Micro-USD; below zero it is a debt."""
    value: int
    """Cash and positions at their marks, rounded down."""
    gross: int
    """Positions at their marks, longs and shorts added up, rounded up."""


def slice_of(
    world: World, context: Context, number: int, share: int = PARTS, kept: int | None = None
) -> Slice:
    """A share of what an account has for sale.

    Args:
        world: the state.
        context: the block.
        number: of the account.
        share: parts per million, above zero.
        kept: cash that isn't for sale; by default what its auction has brought in.
    """
    account = world.accounts[number]
    if kept is None:
        kept = world.auctions[number].reserved
    positions = tuple(
        (series, part)
        for series, quantity in trading.sellable(world, number)
        if (part := _part(quantity, share, world.series[series].lot))
    )
    available = account.cash - account.reserved - kept
    available -= max(0, min(available, account.locked))  # what locked legs can lose stays with them
    cash = available * share // PARTS
    marks = [(quantity, context.risks[series].mark) for series, quantity in positions]
    worth = sum(quantity * mark for quantity, mark in marks)
    gross = sum(abs(quantity) * mark for quantity, mark in marks)
    return Slice(
        positions, cash, int128(cash + worth // QUANTITY_UNIT), int128(ceil_divide(gross, QUANTITY_UNIT))
    )


def move(world: World, context: Context, source: int, target: int, part: Slice) -> None:
    """Hand a slice over; nothing is paid for it here."""
    for series, quantity in part.positions:
        trading.settle(world, context, trading.Trade(series, target, source, 0, quantity, 0, 0), 0, 0)
    credit(world, source, -part.cash)
    credit(world, target, part.cash)


def _part(quantity: int, share: int, lot: int) -> int:
    """Of a position: in lots, of longs rounded down and of shorts up."""
    if share >= PARTS:
        return quantity
    if quantity > 0:
        return quantity * share // PARTS // lot * lot
    return -min(-quantity, ceil_divide(-quantity * share, PARTS * lot) * lot)
