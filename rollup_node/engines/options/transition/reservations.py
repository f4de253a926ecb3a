"""Trades that are set aside at their price, to be made or given up later: nothing that happens meanwhile can keep them from being made.

::

    leg ─► the book's best orders up to the limit (or the market maker's quote) ─► fills, out of the book
    fills ─► pledge of each maker, pledge of the taker ─► reserved: can't be withdrawn, traded with, or pledged again

A pledge is what the trades would cost their account by themselves: the premium that it pays, or what an account with nothing but these
positions would have to hold beyond what it receives. Requirements are sub-additive, so an account that has its margin with the pledge set
aside has it after the trade, at the marks of the moment. It is at least one unit, so that who has promised something can be told from who has not.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from rollup_node.engines.options.book import matching
from rollup_node.engines.options.book.orders import MOST, Resting, Side, TimeInForce
from rollup_node.engines.options.book.orders import Refused as BookRefused
from rollup_node.engines.options.risk.margin import Mode, margin
from rollup_node.engines.options.state.leaves import MOST_FILLS
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import amm, fees, trading
from rollup_node.engines.options.transition import series as listing
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.genesis import MAKER_PREFIX
from rollup_node.engines.options.transition.margins import LIQUIDATING, shortfall
from rollup_node.engines.options.transition.oracle import LIVE, require_fresh
from rollup_node.engines.options.transition.orders import INCLUDED_MATCHES, MATCH_GAS, tell_removals
from rollup_node.engines.options.transition.promises import Fill, Source, promised, slots
from rollup_node.engines.options.values import INT64_MAX, cash_for, int128


class Leg(NamedTuple):
    """``StrategyLeg.Leg``."""

    series: bytes
    """Its number as a word."""
    maker: bytes
    """The market maker's owner: its quote; anybody else: the book, whoever is best there."""
    quantity: int
    limit: int
    """Micro-USD per contract."""


def reserve(world: World, context: Context, combo: int, legs: Sequence[Leg]) -> None:
    """Set legs aside for a combo that is there, with nothing set aside yet.

    Args:
        world: the state.
        context: the block.
        combo: its number; its series must live beyond its deadline.
        legs: in order.

    Raises:
        Refused: they can't be had; the caller undoes.
    """
    number = world.combos[combo].account
    if world.accounts[number].flags & LIQUIDATING:
        raise Refused("AccountFrozen", number)
    for place, leg in enumerate(legs):
        _reserve_leg(world, context, combo, place, leg)
    prepared = world.combos[combo]
    trades = [(fill.series, fill.quantity, fill.price) for fill in map(Fill._make, prepared.fills)]
    amount = _pledge(world, context, number, trades)
    world.combos[combo] = replace(prepared, pledge=amount)
    for series, _, _ in trades:
        _require_place(world, context, number, series)


def trade(world: World, context: Context, number: int, fills: Sequence[Fill]) -> None:
    """Make trades that were set aside, whatever anybody's margin is by now; pledges are free again before."""
    for fill in fills:
        make = amm.make if fill.source == Source.MAKER else trading.make
        made = make(world, context, fill.series, number, fill.maker, fill.price, fill.quantity)
        context.emit(
            "Trade",
            fill.series,
            number,
            fill.maker,
            0,
            0,
            fill.price,
            fill.quantity,
            made.taker_fee,
            made.maker_fee,
        )


def put_back(world: World, context: Context, fill: Fill) -> None:
    """Let a maker's order rest again, behind others of its price; unless its time is over, or it would cross, or its account can't have it."""
    maker, found = world.accounts[fill.maker], world.series[fill.series]
    over = 0 < fill.expiry <= context.timestamp or found.expiry <= context.timestamp or found.status != LIVE
    if fill.source != Source.BOOK or over or maker.flags & LIQUIDATING:
        return
    buys = fill.quantity < 0
    mark, kept = world.mark(), len(context.logs)
    try:
        placed = matching.submit(
            world.book(fill.series), fill.maker, Side.BUY if buys else Side.SELL, fill.price, abs(fill.quantity),
            time_in_force=TimeInForce.POST_ONLY, expiry=fill.expiry,
        )  # fmt: skip
    except BookRefused:
        return
    context.emit("OrderRested", placed.order, fill.maker, fill.series, buys, fill.price, abs(fill.quantity))
    full = world.count_orders(fill.maker) > context.parameters.max_orders
    if full or shortfall(world, context, fill.maker):
        world.undo(mark)
        del context.logs[kept:]


def unpledge(world: World, number: int, amount: int) -> None:
    """Free a pledge."""
    account = world.accounts[number]
    world.accounts[number] = replace(account, reserved=account.reserved - amount)


def _reserve_leg(world: World, context: Context, combo: int, place: int, leg: Leg) -> None:
    """One leg's trades, out of the book, with their makers' pledges."""
    prepared = world.combos[combo]
    series = _tradable(world, context, leg, prepared.deadline)
    buys, size = leg.quantity > 0, abs(leg.quantity)
    underlying = world.series[series].underlying
    if leg.maker == MAKER_PREFIX + bytes([underlying]):
        price = amm.ask(world, context, series, leg.quantity)
        if (price > leg.limit) if buys else (price < leg.limit):
            raise Refused("LimitExceeded", price, leg.limit)
        maker = world.amms[underlying].account
        pledge = _pledge(world, context, maker, [(series, -leg.quantity, price)])
        fill = Fill(place, series, maker, leg.quantity, price, pledge, 0, Source.MAKER)
        _set_aside(world, context, combo, fill)
        return
    reserving = _Reserving(world, context, combo, place, series, 1 if buys else -1)
    limit = min(leg.limit, MOST) if buys else max(leg.limit, 1)
    try:
        outcome = matching.submit(
            world.book(series), prepared.account, Side.BUY if buys else Side.SELL, limit, size,
            time_in_force=TimeInForce.IOC, check_maker=reserving,
        )  # fmt: skip
    except BookRefused:
        raise Refused("LimitExceeded", 0, leg.limit) from None
    tell_removals(context, series, outcome.removed)
    if reserving.had < size:
        raise Refused("NotFillable", size, reserving.had)


def _set_aside(world: World, context: Context, combo: int, fill: Fill) -> None:
    prepared = world.combos[combo]
    if len(prepared.fills) >= MOST_FILLS:
        raise Refused("LimitReached", MOST_FILLS)
    world.combos[combo] = replace(prepared, fills=(*prepared.fills, fill))
    _require_place(world, context, fill.maker, fill.series)


def _tradable(world: World, context: Context, leg: Leg, last: int) -> int:
    number = int.from_bytes(leg.series, "big")
    if number >> 32:
        raise Refused("UnknownSeries", (1 << 32) - 1)
    found = listing.tradable(world, context, number)
    require_fresh(world, context, found.underlying)
    if found.expiry <= last:
        raise Refused("ExpiresWhileLocked", found.expiry, last)
    size = abs(leg.quantity)
    if not size or size > INT64_MAX or size % found.lot:
        raise Refused("LotViolation", min(size, INT64_MAX), found.lot)
    return number


class _Reserving:
    """Lets the matches of one leg be, as far as their makers can pledge for them."""

    def __init__(self, world: World, context: Context, combo: int, leg: int, series: int, sign: int) -> None:
        self._world, self._context, self._combo = world, context, combo
        self._leg, self._series, self._sign = leg, series, sign
        self._met = 0
        self.had = 0
        """Quantity that is set aside."""

    def __call__(self, maker: Resting, price: int, quantity: int) -> int:
        """See :data:`rollup_node.engines.options.book.matching.CheckMaker`."""
        world, context, number = self._world, self._context, maker.account
        self._met += 1
        if self._met > INCLUDED_MATCHES:
            context.spend(MATCH_GAS)
        if maker.expiry and maker.expiry <= context.timestamp:
            return 0
        if maker.reduce_only:
            account = world.accounts[number]
            quantity = min(quantity, trading.reducible(account, self._series, buy=self._sign < 0))
        if not quantity:
            return 0
        mark, signed = world.mark(), self._sign * quantity
        source = Source.SPENT if maker.reduce_only else Source.BOOK
        try:
            pledge = _pledge(world, context, number, [(self._series, -signed, price)], (maker, quantity))
            fill = Fill(self._leg, self._series, number, signed, price, pledge, maker.expiry, source)
            _set_aside(world, context, self._combo, fill)
        except Refused as exc:
            if exc.name == "LimitReached":
                raise
            world.undo(mark)
            return 0
        self.had += quantity
        return quantity


def _pledge(
    world: World,
    context: Context,
    number: int,
    trades: Sequence[tuple[int, int, int]],
    filled: tuple[Resting, int] | None = None,
) -> int:
    """Set aside what trades (series, signed quantity, price) need of an account.

    Raises:
        Refused: it can't spare it.
    """
    account = world.accounts[number]
    amount = needed(context, trades, portfolio=account.portfolio)
    if account.cash - account.reserved < amount:
        raise Refused("InsufficientCash", number, amount, account.cash - account.reserved)
    world.accounts[number] = replace(account, reserved=account.reserved + amount)
    missing = shortfall(world, context, number, filled)
    if missing:
        raise Refused("InsufficientMargin", number, missing)
    return amount


def _require_place(world: World, context: Context, number: int, series: int) -> None:
    """Refuse promises that an account couldn't keep: it has no room for their positions, or a locked combo holds what they would trade away."""
    account = world.accounts[number]
    most = context.parameters.max_positions
    if len(account.positions) + slots(world, number, account) > most:
        raise Refused("TooMany", number, most)
    locked = dict(account.locks).get(series, 0)
    if locked:
        bought, sold = promised(world, number, series)
        free = trading.free_of(account, series)
        if (free - sold < 0) if locked > 0 else (free + bought > 0):
            raise Refused("LegLocked", number, series)


def needed(context: Context, trades: Sequence[tuple[int, int, int]], *, portfolio: bool) -> int:
    """A pledge; see the module's first lines."""
    rate = max(
        context.parameters.taker_fee_ppm, context.parameters.maker_fee_ppm, context.parameters.amm_fee_ppm
    )
    received, net = 0, defaultdict[int, int](int)
    for series, quantity, price in trades:
        received += cash_for(price, -quantity) - fees.share(abs(cash_for(price, -abs(quantity))), rate)
        net[series] += quantity
    positions = [(series, quantity) for series, quantity in sorted(net.items()) if quantity]
    amount = max(1, -received)
    if any(quantity < 0 for _, quantity in positions):
        mode = Mode.PORTFOLIO if portfolio else Mode.STANDARD
        amount = max(amount, -margin(received, positions, context.risks, mode=mode).surplus)
    return int128(amount)


def legs_of(arguments: Sequence[tuple[Any, ...]]) -> tuple[Leg, ...]:
    """Legs as they are decoded."""
    return tuple(Leg(*one) for one in arguments)


def premium(fill: Fill) -> int:
    """What goes from buyer to seller, as the buyer pays it."""
    return -cash_for(fill.price, -abs(fill.quantity))
