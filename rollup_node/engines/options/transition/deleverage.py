"""Deleveraging: nobody bids, the vault is full, and the position must go: those who hold the other side give theirs up, at the mark.

At the mark nobody is worth less for it. Who would be left with too little margin, as one whose position hedges another, is passed over. Largest
holdings come first, then the lowest accounts. What an account lacks once it holds nothing is insurance's, then everybody's.
"""

from collections.abc import Iterator
from typing import Any

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import auctions, trading
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import margin_of, shortfall
from rollup_node.engines.options.transition.trading import sellable, sellable_of
from rollup_node.engines.options.values import Overflow, cash_for


def steps(world: World, context: Context, number: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Derived: a step for each position, shorts first, with those who hold the other side of it."""
    held = dict(sellable(world, number))
    sides: dict[int, list[tuple[int, int]]] = {series: [] for series in held}
    for holder, account in world.accounts.items():
        for series, quantity in account.positions:
            if series in held and quantity * held[series] < 0:
                sides[series].append((-abs(quantity), holder))
    for series in sorted(held, key=lambda one: (held[one] > 0, one)):
        if number not in world.auctions:
            return
        asked = sorted(sides[series])[: context.parameters.max_deleveraged]
        yield "deleverage", (number, series, tuple(holder for _, holder in asked))


def apply_deleverage(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``deleverage(account, series, holders)``."""
    number, series, holders = arguments
    for holder in holders:
        mark, kept = world.mark(), len(context.logs)
        before = [_short(world, context, one) for one in (number, holder)]
        try:
            _trade(world, context, number, holder, series)
            after = [_short(world, context, one) for one in (number, holder)]
            worse = any(
                new > old
                for one, other in zip(after, before, strict=True)
                for new, old in zip(one, other, strict=True)
            )
        except (Refused, Overflow):
            worse = True
        if worse:
            world.undo(mark)
            del context.logs[kept:]
    auctions.end_if_over(world, context, number)
    return b""


def _trade(world: World, context: Context, number: int, holder: int, series: int) -> None:
    """As much as both have, on opposite sides."""
    held, other = (sellable_of(world, one, series) for one in (number, holder))
    if held * other >= 0:
        return
    size, price = min(abs(held), abs(other)), context.risks[series].mark
    paid, received = cash_for(price, -size), cash_for(price, size)
    quantity, cash, theirs = (size, paid, received) if held < 0 else (-size, received, paid)
    trade = trading.Trade(series, number, holder, price, quantity, 0, 0)
    trading.settle(world, context, trade, cash, theirs)
    context.emit("Deleveraged", number, holder, series, quantity, price)


def _short(world: World, context: Context, number: int) -> tuple[int, int]:
    """What an account lacks of maintenance and of initial margin."""
    return auctions.gap(margin_of(world, context, number)), shortfall(world, context, number)
