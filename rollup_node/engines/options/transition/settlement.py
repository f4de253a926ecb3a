"""Expiry and settlement: positions of series with a settlement price are paid out; nobody has to exercise anything.

What longs receive is rounded down and what shorts pay is rounded up, so a series pays out what it takes in, and what the rounding leaves
is dust: positions of a series sum to zero, so payments do too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from rollup_node.engines.options.book.orders import Reason
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition import pledges, trading
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import terms_of
from rollup_node.engines.options.transition.orders import SERIES_OVER, tell_removals
from rollup_node.engines.options.transition.risk import EXPIRED
from rollup_node.engines.options.transition.series import SETTLED
from rollup_node.engines.options.values import cash_for, int128


def steps(world: World, context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Derived: orders whose time is over, then each expired series with all that hold it, some at a time."""
    for number in sorted(world.series):
        if world.has_expired_orders(number, context.timestamp):
            yield "expireOrders", (number,)
    yield from pledges.steps(world, context)
    over = [number for number, found in sorted(world.series.items()) if found.status == EXPIRED]
    if not over:
        return
    holders: dict[int, list[int]] = {number: [] for number in over}
    for number, account in sorted(world.accounts.items()):
        for series, _ in account.positions:
            if series in holders:
                holders[series].append(number)
    most = context.parameters.settlement_accounts
    for number in over:
        accounts = holders[number]
        for start in range(0, max(1, len(accounts)), most):
            yield "settle", (number, tuple(accounts[start : start + most]))
    yield from _covers(world, context)


def _covers(world: World, context: Context) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Derived: whom settlement left with nothing but debts, at once, for whoever withdraws in this very block bears a loss like all others."""
    broke = [
        number
        for number, account in sorted(world.accounts.items())
        if not account.positions and account.cash + account.due < 0
    ]
    for number in broke[: context.parameters.max_liquidations]:
        yield "liquidate", (number,)


def apply_expire(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``expireOrders(series)``."""
    (number,) = arguments
    tell_removals(context, number, world.book(number).expire(context.timestamp), Reason.EXPIRED)
    return b""


def apply_settle(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``settle(series, accounts)``: the last of a series' steps closes it."""
    number, accounts = arguments
    found = world.series[number]
    terms = terms_of(world, number)
    payoff = terms.payoff(found.settlement)
    book = world.book(number)
    for account in sorted({order.account for order in book}):
        tell_removals(context, number, book.cancel_all(account), SERIES_OVER)
    interest, total = found.open_interest, 0
    for account in accounts:
        before = world.accounts[account]
        held = trading.position_of(before, number)
        amount = cash_for(payoff, held)
        world.accounts[account] = trading.moved(before, number, -held, amount)
        if before.locks:
            pledges.settle(world, context, account, number)
        interest -= abs(held)
        total += amount
        context.emit("PositionSettled", account, number, held, amount)
    pool = int128(found.pool - total)
    if interest:
        world.series[number] = replace(found, open_interest=interest, pool=pool)
    else:
        world.series[number] = replace(found, open_interest=0, pool=0, status=SETTLED)
        world.globals = replace(world.globals, dust=world.globals.dust + pool * WEI_PER_CASH)
    return b""
