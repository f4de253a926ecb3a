"""Liquidation, inside the block, before any user's order: derived from state, so nobody chooses who, when, or in which order.

::

    below maintenance ─► flagged, orders cancelled ─► reduce-only orders against the book, within bounds
          ▲                                              │ above initial margin again: over
          ├──── next block, if the book had enough ◄─────┤
          │                                              ├─ still below, and the book gave less than it was asked for:
          │                                              │  auction ─► backstop vault ─► deleveraging    (see ``auctions``)
          └───────────── nothing left, and cash below zero ─► insurance ─► shared loss

Accounts come by (shortfall in parts per million of what is required, greatest first; id). A block's limits bound how much one block
does to an account and to the market. No step leaves the account with a greater shortfall than before: one that would is not done.
Insurance pays what is below zero, and never more.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from rollup_node.engines.options.book import matching
from rollup_node.engines.options.book.orders import Refused as BookRefused
from rollup_node.engines.options.book.orders import Side, TimeInForce
from rollup_node.engines.options.risk.scan import missing
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import (
    auctions,
    backstop,
    combos,
    deleverage,
    fees,
    insurance,
    trading,
)
from rollup_node.engines.options.transition.auctions import gap
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of
from rollup_node.engines.options.transition.orders import LIQUIDATED, Match, tell_removals
from rollup_node.engines.options.transition.shortfalls import below_maintenance
from rollup_node.engines.options.values import PARTS, cash_for, ceil_divide


def steps(world: World, context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Derived: the accounts to liquidate, as they stand once marks are new; after all of them, what auctions have come to.

    In this order, so that no step for another account makes one needless: who is below maintenance margin when rows are new has its step,
    which is what an omission is proven by.
    """
    most = context.parameters.max_liquidations
    found = due(world, context)
    waiting = [number for number in found if number in world.auctions]
    for number in [number for number in found if number not in world.auctions][:most]:
        yield "liquidate", (number,)
    moved = 0
    for number in waiting:
        for step in _of_auction(world, context, number) if moved < most else ():
            moved += 1
            yield step


def _of_auction(world: World, context: Context, number: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Derived: what an account's auction has come to; when time is up the vault, and where that takes nothing, the other side's holders.

    Vault and holders are asked when marks are new: with the same marks they would say the same.
    """
    if auctions.is_due(world, context, number):
        yield "advanceAuction", (number,)
    auction = world.auctions.get(number)
    if (
        auction is None
        or auction.paused
        or not context.moved
        or not auctions.run_out(context.parameters, auction, context.timestamp)
    ):
        return
    before = world.accounts[number].positions
    if backstop.vault_of(world) not in (None, number):
        yield "backstop", (number,)
    if number in world.auctions and world.accounts[number].positions == before:
        yield from deleverage.steps(world, context, number)


def due(world: World, context: Context) -> list[int]:
    """Accounts below maintenance margin, and flagged ones, the worst first."""
    found = below_maintenance(world, context) if context.moved else []
    for number, account in world.accounts.items():
        if account.flags & LIQUIDATING:
            margin = margin_of(world, context, number)
            found.append((number, missing(margin.equity, margin.maintenance)))
    return [number for number, _ in sorted(found, key=lambda one: (-one[1], one[0]))]


def apply_liquidate(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``liquidate(account)``."""
    (number,) = arguments
    margin = margin_of(world, context, number)
    account = world.accounts[number]
    if not account.flags & LIQUIDATING:
        world.accounts[number] = replace(account, flags=account.flags | LIQUIDATING)
        context.emit("LiquidationFlagged", number, margin.equity, margin.maintenance)
    for series in world.series_with_orders(number):
        tell_removals(context, series, world.book(series).cancel_all(number), LIQUIDATED)
    combos.give_way(world, context, number)
    held, thin = _by_risk(world, context, number), False
    for series, quantity in held:
        if margin_of(world, context, number).surplus >= 0:
            break
        whole = _close(world, context, number, series)
        thin |= not whole and (quantity < 0) == (held[0][1] < 0)  # longs matter where there are no shorts
    account = world.accounts[number]
    deficit = -account.cash - account.due
    if not account.positions and deficit > 0:
        insurance.cover(world, context, number, deficit)
    margin = margin_of(world, context, number)
    if thin and margin.liquidatable:
        auctions.begin(world, context, number, margin)
    auctions.release(world, context, number)
    return b""


def bounded_price(mark: int, tick: int, bound_ppm: int, *, buy: bool) -> int:
    """The worst price at which a liquidation trades: a share of the mark away from it, at least one tick; zero if there is none."""
    away = max(tick, ceil_divide(mark * bound_ppm, PARTS))
    limit = mark + away if buy else max(0, mark - away)
    return limit // tick * tick if buy else ceil_divide(max(limit, tick), tick) * tick


def _by_risk(world: World, context: Context, number: int) -> list[tuple[int, int]]:
    """Positions that can be sold, shorts first, then by what they are worth, then by series."""
    positions = trading.sellable(world, number)
    return sorted(positions, key=lambda one: (one[1] > 0, -abs(one[1]) * context.risks[one[0]].mark, one[0]))


def _close(world: World, context: Context, number: int, series: int) -> bool:
    """Trade a part of one position against the book, if that lessens the shortfall; whether it was all of that part."""
    parameters, found = context.parameters, world.series[series]
    if found.expiry <= context.timestamp or found.status:
        return True
    held = trading.sellable_of(world, number, series)
    part = ceil_divide(abs(held) * parameters.close_share_ppm, PARTS)
    quantity = min(abs(held), ceil_divide(part, found.lot) * found.lot)
    side = Side.BUY if held < 0 else Side.SELL
    limit = bounded_price(context.risks[series].mark, found.tick, parameters.bound_ppm, buy=held < 0)
    mark, kept = world.mark(), len(context.logs)
    before = margin_of(world, context, number)
    cash = world.accounts[number].cash
    match = Match(world, context, series, number, side)
    try:
        outcome = matching.submit(
            world.book(series), number, side, limit, quantity,
            time_in_force=TimeInForce.IOC, reducible=abs(held), check_maker=match,
        )  # fmt: skip
    except (BookRefused, Refused):
        world.undo(mark)
        return False
    for fill, trade in zip(outcome.fills, match.trades, strict=True):
        context.emit(
            "Trade", series, trade.taker, trade.maker, outcome.order, fill.maker, trade.price, trade.quantity,
            trade.taker_fee, trade.maker_fee,
        )  # fmt: skip
    tell_removals(context, series, outcome.removed)
    traded = trading.sellable_of(world, number, series) - held
    paid = world.accounts[number].cash - cash
    premium = sum(-cash_for(trade.price, -abs(trade.quantity)) for trade in match.trades)
    fee = fees.share(premium, parameters.liquidation_fee_ppm)
    after = margin_of(world, context, number)
    # the fee takes no more than what the trade has improved
    fee = max(0, min(fee, gap(before) - gap(after)))
    fees.take_liquidation(world, context, number, fee)
    if gap(margin_of(world, context, number)) > gap(before):
        world.undo(mark)
        del context.logs[kept:]
        return False
    if traded:
        context.emit("Liquidated", number, series, traded, paid, fee)
    return abs(traded) == quantity
