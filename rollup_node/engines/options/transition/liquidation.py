"""Liquidation, inside the block, before any user's order: derived from state, so nobody chooses who, when, or in which order.

::

    below maintenance ─► flagged, orders cancelled ─► reduce-only orders against the book, within bounds
          ▲                                              │ above initial margin again: over
          └──── next block, if still below ◄─────────────┤
                                                         └─ nothing left and cash below zero ─► insurance ─► shared loss

Accounts come by (shortfall in parts per million of what is required, greatest first; id). A block's limits bound how much one block
does to an account and to the market. No step leaves the account with a greater shortfall than before: one that would is not done.
Insurance pays what is below zero, and never more.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rollup_node.engines.options.book import matching
from rollup_node.engines.options.book.orders import Refused as BookRefused
from rollup_node.engines.options.book.orders import Side, TimeInForce
from rollup_node.engines.options.risk.margin import Margin
from rollup_node.engines.options.risk.scan import missing
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import fees, trading
from rollup_node.engines.options.transition.accounts import credit
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of
from rollup_node.engines.options.transition.orders import LIQUIDATED, Match, tell_removals
from rollup_node.engines.options.transition.shortfalls import below_maintenance
from rollup_node.engines.options.values import PARTS, ceil_divide


def steps(world: World, context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Derived: the accounts to liquidate, as they stand once marks are new."""
    for number in due(world, context)[: context.parameters.max_liquidations]:
        yield "liquidate", (number,)


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
    for series, _ in _by_risk(world, context, number):
        if margin_of(world, context, number).surplus >= 0:
            break
        _close(world, context, number, series)
    account = world.accounts[number]
    if not account.positions and account.cash < 0:
        _cover(world, context, number, -account.cash)
    if margin_of(world, context, number).surplus >= 0:
        account = world.accounts[number]
        world.accounts[number] = replace(account, flags=account.flags & ~LIQUIDATING)
        context.emit("LiquidationEnded", number)
    return b""


def bounded_price(mark: int, tick: int, bound_ppm: int, *, buy: bool) -> int:
    """The worst price at which a liquidation trades: a share of the mark away from it, at least one tick; zero if there is none."""
    away = max(tick, ceil_divide(mark * bound_ppm, PARTS))
    limit = mark + away if buy else max(0, mark - away)
    return limit // tick * tick if buy else ceil_divide(max(limit, tick), tick) * tick


def _by_risk(world: World, context: Context, number: int) -> list[tuple[int, int]]:
    """Positions, shorts first, then by what they are worth, then by series."""
    positions = world.accounts[number].positions
    return sorted(positions, key=lambda one: (one[1] > 0, -abs(one[1]) * context.risks[one[0]].mark, one[0]))


def _close(world: World, context: Context, number: int, series: int) -> None:
    """Trade a part of one position against the book, if that lessens the shortfall."""
    parameters, found = context.parameters, world.series[series]
    if found.expiry <= context.timestamp or found.status:
        return
    held = trading.position_of(world.accounts[number], series)
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
        return
    for fill, trade in zip(outcome.fills, match.trades, strict=True):
        context.emit(
            "Trade", series, trade.taker, trade.maker, outcome.order, fill.maker, trade.price, trade.quantity,
            trade.taker_fee, trade.maker_fee,
        )  # fmt: skip
    tell_removals(context, series, outcome.removed)
    traded = trading.position_of(world.accounts[number], series) - held
    paid = world.accounts[number].cash - cash
    fee = fees.share(
        sum(abs(trade.price * trade.quantity) for trade in match.trades) // 10_000,
        parameters.liquidation_fee_ppm,
    )
    after = margin_of(world, context, number)
    # the fee takes no more than what the trade has improved
    fee = max(0, min(fee, _gap(before) - _gap(after)))
    _take_fee(world, number, fee)
    if _gap(margin_of(world, context, number)) > _gap(before):
        world.undo(mark)
        del context.logs[kept:]
        return
    if traded:
        context.emit("Liquidated", number, series, traded, paid, fee)


def _gap(margin: Margin) -> int:
    """Shortfall against maintenance."""
    return max(0, margin.maintenance - margin.equity)


def _take_fee(world: World, number: int, fee: int) -> None:
    """Half to the insurance fund, the rest to the block's purse."""
    insurance = ceil_divide(fee, 2)
    credit(world, number, -fee)
    now = world.globals
    world.globals = replace(
        now, insurance=now.insurance + insurance, block_fees=now.block_fees + fee - insurance
    )


def _cover(world: World, context: Context, number: int, deficit: int) -> None:
    """Nothing is left to sell: insurance pays what is missing, and what it lacks is a loss that all who withdraw share."""
    paid = min(deficit, world.globals.insurance)
    shared = deficit - paid
    credit(world, number, deficit)
    now = world.globals
    world.globals = replace(now, insurance=now.insurance - paid, shared_loss=now.shared_loss + shared)
    if paid:
        context.emit("InsurancePaid", number, paid)
    if shared:
        context.emit("LossShared", number, shared)
