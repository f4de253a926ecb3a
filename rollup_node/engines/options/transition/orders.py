"""Orders: placed, matched, cancelled, replaced, each with margin on both sides.

Margin is checked when an order comes in, with all that it may become, and again on the resting side of every match: marks have moved
since. A maker that fails is cancelled and the match goes on. Who is short of margin may still do what lessens it.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from rollup_node.engines.options.book import matching
from rollup_node.engines.options.book.orders import (
    Accepted,
    Reason,
    Removal,
    Resting,
    SelfTrade,
    Side,
    TimeInForce,
)
from rollup_node.engines.options.book.orders import Refused as BookRefused
from rollup_node.engines.options.state.leaves import Series
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.interfaces import Scope
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import series as listing
from rollup_node.engines.options.transition import trading
from rollup_node.engines.options.transition.accounts import authorized
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, relieves, shortfall, standing
from rollup_node.engines.options.transition.oracle import require_fresh

LIQUIDATED: Final = 12
SERIES_OVER: Final = 13
"""Reasons of removals beside those of the book."""

INCLUDED_MATCHES: Final = 16
"""With which an order's fixed gas has paid for its matches, failed ones too."""
MATCH_GAS: Final = 10_000
"""Of each further one: so a block's limit bounds what may be matched in it, or matched and taken back."""

_TIMES_IN_FORCE: Final = tuple(TimeInForce)
_SELF_TRADES: Final = tuple(SelfTrade)
"""By their number: looking one up is faster than calling the enumeration."""

T = TypeVar("T")
_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""


class Order(NamedTuple):
    """``IOptionsExchange.Order``."""

    account: int
    series: int
    buy: bool
    price: int
    quantity: int
    time_in_force: int
    self_trade: int
    reduce_only: bool
    expiry: int
    client_id: int


def apply_place(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``placeOrder(order)``; returns its id."""
    order = _new(Order, arguments[0])
    return place(world, context, order).order.to_bytes(32, "big")


def apply_cancel(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``cancelOrder(account, order)``."""
    number, order = arguments
    authorized(world, context, number, Scope.CANCEL)
    tell_removals(context, order >> 32, [_cancel(world, number, order)])
    return b""


def apply_cancel_all(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``cancelAll(account, series)``; series zero: in all of them."""
    number, series = arguments
    authorized(world, context, number, Scope.CANCEL)
    if series:
        listing.find(world, series)
    for one in [series] if series else world.series_with_orders(number):
        tell_removals(context, one, world.book(one).cancel_all(number))
    return b""


def apply_replace(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``replaceOrder(account, order, replacement)``: both happen, or neither."""
    number, old, fields = arguments
    order = Order(*fields)
    if order.account != number:
        raise Refused("NotAuthorized", number, context.actor)
    authorized(world, context, number, Scope.TRADE)

    def both() -> Accepted:
        tell_removals(context, old >> 32, [_cancel(world, number, old)], Reason.REPLACED)
        return _submit(world, context, order)

    _check(world, context, order)
    return with_relief(world, context, [number], both).order.to_bytes(32, "big")


def place(world: World, context: Context, order: Order) -> Accepted:
    """An order of somebody who may."""
    authorized(world, context, order.account, Scope.TRADE)
    _check(world, context, order)
    return with_relief(world, context, [order.account], lambda: _submit(world, context, order))


def with_relief(world: World, context: Context, accounts: Iterable[int], operation: Callable[[], T]) -> T:
    """Run something that must leave accounts with enough margin, or at least with less of a shortfall than before.

    What it was before is only asked where it matters: then the operation is taken back, and done again if it is a relief.
    """
    mark, kept = world.mark(), len(context.logs)
    result = operation()
    short = {
        number: standing(world, context, number) for number in accounts if shortfall(world, context, number)
    }
    if not short:
        return result
    world.undo(mark)
    del context.logs[kept:]
    for number, after in short.items():
        if not relieves(after, standing(world, context, number)):
            raise Refused("InsufficientMargin", number, after.shortfall)
    return operation()


def tell_removals(
    context: Context, series: int, removals: Iterable[Removal | Resting], reason: int = Reason.CANCELLED
) -> None:
    """Log what left the book; the reason is that of orders as a whole: a removal has its own."""
    for one in removals:
        why = int(reason if one.reason is None else one.reason)
        context.emit("OrderCancelled", one.order, one.account, series, one.quantity, why)


def _check(world: World, context: Context, order: Order) -> Series:
    """Everything about an order that needs neither book nor margin."""
    found = listing.tradable(world, context, order.series)
    if not order.price or order.price % found.tick:
        raise Refused("TickViolation", order.price, found.tick)
    if not order.quantity or order.quantity % found.lot:
        raise Refused("LotViolation", order.quantity, found.lot)
    if order.time_in_force > TimeInForce.POST_ONLY or order.self_trade > SelfTrade.DECREMENT:
        raise Refused("OutOfRange")
    if order.expiry and order.expiry <= context.timestamp:
        raise Refused("OrderExpired", order.expiry, context.timestamp)
    account = world.accounts[order.account]
    if (
        account.locks and not order.reduce_only
    ):  # a maker's order that cuts into a lock fails when it is matched; this one fails now
        trading.require_unlocked(
            order.account,
            trading.moved(account, order.series, order.quantity if order.buy else -order.quantity),
            order.series,
        )
    if not order.reduce_only:
        require_fresh(world, context, found.underlying)
        if account.flags & LIQUIDATING:
            raise Refused("AccountFrozen", order.account)
    most = context.parameters.max_positions
    if len(account.positions) >= most and not trading.position_of(account, order.series):
        raise Refused("TooMany", order.account, most)
    return found


def _submit(world: World, context: Context, order: Order) -> Accepted:
    side = Side.BUY if order.buy else Side.SELL
    account = world.accounts[order.account]
    match = Match(world, context, order.series, order.account, side)
    try:
        outcome = matching.submit(
            world.book(order.series),
            order.account,
            side,
            order.price,
            order.quantity,
            time_in_force=_TIMES_IN_FORCE[order.time_in_force],
            expiry=order.expiry,
            reducible=trading.reducible(account, order.series, buy=order.buy) if order.reduce_only else None,
            self_trade=_SELF_TRADES[order.self_trade],
            check_maker=match,
        )
    except BookRefused as exc:
        raise _refusal(exc, order) from None
    tell_outcome(context, order.series, outcome, match, order)
    if outcome.resting and world.count_orders(order.account) > context.parameters.max_orders:
        raise Refused("TooMany", order.account, context.parameters.max_orders)
    return outcome


def tell_outcome(context: Context, series: int, outcome: Accepted, match: "Match", order: Order) -> None:
    """Log what became of an order."""
    for fill, trade in zip(outcome.fills, match.trades, strict=True):
        context.emit(
            "Trade", series, trade.taker, trade.maker, outcome.order, fill.maker, trade.price, trade.quantity,
            trade.taker_fee, trade.maker_fee,
        )  # fmt: skip
    tell_removals(context, series, outcome.removed)
    if outcome.cancelled and outcome.reason is not None:
        context.emit(
            "OrderCancelled", outcome.order, order.account, series, outcome.cancelled, int(outcome.reason)
        )
    if outcome.resting:
        context.emit(
            "OrderRested", outcome.order, order.account, series, order.buy, order.price, outcome.resting
        )


class Match:
    """Settles the matches of one incoming order, each after its maker has been looked at.

    Args:
        world: the state.
        context: the block.
        series: in which.
        taker: account.
        side: the taker's.
    """

    def __init__(self, world: World, context: Context, series: int, taker: int, side: Side) -> None:
        self._world, self._context = world, context
        self._series, self._taker = series, taker
        self._sign = 1 if side is Side.BUY else -1
        self._met = 0
        self.trades: list[trading.Trade] = []

    def __call__(self, maker: Resting, price: int, quantity: int) -> int:
        """How much of a match may be; what may be is settled."""
        world, context = self._world, self._context
        number = maker.account
        self._met += 1
        if self._met > INCLUDED_MATCHES:
            context.spend(MATCH_GAS)
        if maker.expiry and maker.expiry <= context.timestamp:
            return 0
        if maker.reduce_only:
            most = trading.reducible(world.accounts[number], self._series, buy=self._sign < 0)
            quantity = min(quantity, most)
            if not quantity:
                return 0
        mark = world.mark()
        try:
            trade = self._make(number, price, quantity)
        except Refused as exc:
            if exc.arguments[:1] == (self._taker,):
                raise  # it is the taker who can't: no maker loses an order for that
            world.undo(mark)
            return 0
        if shortfall(world, context, number, filled=(maker, quantity)):
            after = standing(world, context, number, filled=(maker, quantity))
            world.undo(mark)
            if not relieves(after, standing(world, context, number)):
                return 0
            trade = self._make(number, price, quantity)
        self.trades.append(trade)
        return quantity

    def _make(self, maker: int, price: int, quantity: int) -> trading.Trade:
        return trading.make(
            self._world, self._context, self._series, self._taker, maker, price, self._sign * quantity
        )


def _cancel(world: World, number: int, order: int) -> Resting:
    series = order >> 32
    if series not in world.series:
        raise Refused("UnknownOrder", order)
    try:
        return world.book(series).cancel(number, order)
    except BookRefused:
        raise Refused("UnknownOrder", order) from None


def _refusal(exc: BookRefused, order: Order) -> Refused:
    match exc.reason:
        case Reason.WOULD_CROSS:
            return Refused("WouldCross", order.price, exc.found)
        case Reason.CANNOT_FILL:
            return Refused("NotFillable", order.quantity, exc.found)
        case Reason.NOT_REDUCING:
            return Refused("NotReducing", order.account, order.series)
    return Refused("OutOfRange")
