"""The auction of a whole portfolio: for accounts that the book can't cure. Its price falls with time; anyone bids for a share of it.

::

    liquidate: the book gave less than it was asked for ─► begin
        value for sale > 0     a bidder pays a share of it: 95 % ─► 70 % in the first phase, ─► 0 in the second
        value for sale <= 0    a bidder is paid a share of it: 0 ─► 100 %, by what bids brought in, then by insurance
    bid ─► above maintenance margin and a buffer again ─► end
    time is up ─► backstop vault ─► deleveraging ─► what is still missing: insurance, then shared

What is for sale is everything but what earlier bids brought in: that stays the account's, and isn't sold again. While marks are old, time
stands still: nobody could bid. With ``m`` the maintenance margin, buffer added, ``R`` what bids brought in, ``V`` the value for sale and ``d``
the part of it that the account is paid, a share ``f`` cures when it is::

    f_max = (m - V - R) / (m - V (1 - d)),  that is  BM / (BM - MtM·d - R(1 - d))  with  BM = V + R - m  and  MtM = V + R

as requirements shrink in proportion. Rules of Derive's ``DutchAuction``; time counts in seconds of block timestamps.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from rollup_node.engines.options.risk.margin import Margin
from rollup_node.engines.options.state.leaves import Auction
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import series as listing
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.slices import Slice, slice_of
from rollup_node.engines.options.transition.trading import sellable
from rollup_node.engines.options.values import PARTS, ceil_divide

SOLVENT, INSOLVENT, PAUSED = range(3)
"""Phases, as the event tells them."""


class Offer(NamedTuple):
    """What is for sale, now."""

    auction: Auction
    whole: Slice
    """All of it."""
    missing: int
    """By how much equity falls short of maintenance margin and buffer; below one there is nothing to cure."""
    deficit: int
    """By how much the account is worth less than nothing; all that insurance may pay for it."""
    share: int
    """Parts per million of a slice's value: what its bidder pays, or is paid where the whole is worth nothing or less."""
    most: int
    """The largest slice that may be bid for, parts per million."""


def gap(margin: Margin) -> int:
    """Shortfall against maintenance margin: what no step of a liquidation may enlarge."""
    return max(0, margin.maintenance - margin.equity)


def begin(world: World, context: Context, number: int, margin: Margin) -> None:
    """Put an account's portfolio up, if there is something to sell and marks to sell it at."""
    if sellable(world, number) and has_marks(world, context, number):
        worthless = slice_of(world, context, number, kept=0).value <= 0
        turned = context.timestamp if worthless else 0
        world.auctions[number] = Auction(context.timestamp, gap(margin), turned=turned)
        context.emit("AuctionStarted", number, margin.equity, margin.maintenance)
        if worthless:
            context.emit("AuctionMoved", number, INSOLVENT)


def offer_of(world: World, context: Context, number: int) -> Offer:
    """The terms of an account's auction."""
    parameters, auction = context.parameters, world.auctions[number]
    margin = margin_of(world, context, number)
    buffer = ceil_divide(max(0, margin.maintenance) * parameters.auction_buffer_ppm, PARTS)
    wanted = margin.maintenance + buffer
    missing = wanted - margin.equity if margin.owing else 0
    whole = slice_of(world, context, number)
    if whole.value > 0:
        share = price_share(parameters, auction, context.timestamp)
        received = whole.value * share * (PARTS - parameters.liquidation_fee_ppm) // PARTS**2
    else:
        share = paid_share(parameters, auction, context.timestamp)
        received = whole.value * share // PARTS
    improved = wanted - whole.value + received  # by a slice that were everything
    most = min(PARTS, ceil_divide(missing * PARTS, improved)) if improved > 0 else PARTS
    deficit = max(0, -margin.equity - world.accounts[number].due)
    return Offer(auction, whole, missing, deficit, share, max(0, most))


def price_share(parameters: Parameters, auction: Auction, now: int) -> int:
    """What of a slice's value its bidder pays, parts per million."""
    start, middle = parameters.auction_start_ppm, parameters.auction_middle_ppm
    fast, slow = parameters.auction_fast_seconds, parameters.auction_slow_seconds
    gone = (auction.paused or now) - auction.started
    if gone < fast:
        return start - (start - middle) * gone // fast
    if gone < fast + slow:
        return middle - middle * (gone - fast) // slow
    return 0


def paid_share(parameters: Parameters, auction: Auction, now: int) -> int:
    """What of a slice's debt its bidder is paid, parts per million."""
    if not auction.turned:
        return 0
    gone = (auction.paused or now) - auction.turned
    return min(PARTS, PARTS * gone // max(1, parameters.auction_insolvent_seconds))


def run_out(parameters: Parameters, auction: Auction, now: int) -> bool:
    """Whether the price has come to its end; however often the value turns, all three phases together are the longest that it lasts."""
    gone = (auction.paused or now) - auction.started
    first = parameters.auction_fast_seconds + parameters.auction_slow_seconds
    if gone >= first + parameters.auction_insolvent_seconds:
        return True
    return paid_share(parameters, auction, now) == PARTS if auction.turned else gone >= first


def require_marks(world: World, context: Context, number: int) -> None:
    """Refuse to trade an account's positions at marks that are old, or wait for a settlement price."""
    for series, _ in sellable(world, number):
        underlying = listing.tradable(world, context, series).underlying
        oracle = world.oracles[underlying]
        if context.timestamp - oracle.timestamp > context.parameters.max_oracle_age:
            raise Refused("StaleOracle", context.parameters.markets[underlying].symbol, oracle.timestamp)


def has_marks(world: World, context: Context, number: int) -> bool:
    """Whether there are marks to trade an account's positions at."""
    try:
        require_marks(world, context, number)
    except Refused:
        return False
    return True


def is_over(world: World, context: Context, number: int) -> bool:
    """Whether an auction has done what it is for, or has nothing left to sell."""
    return not sellable(world, number) or offer_of(world, context, number).missing <= 0


def is_due(world: World, context: Context, number: int) -> bool:
    """Whether :func:`apply_advance` would change something."""
    auction = world.auctions[number]
    if is_over(world, context, number) or has_marks(world, context, number) == bool(auction.paused):
        return True
    worthless = offer_of(world, context, number).whole.value <= 0
    return not auction.paused and worthless != bool(auction.turned)


def apply_advance(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``advanceAuction(account)``: it ends; or time stops, or goes on; or what is for sale has come to be worth less than nothing, or more."""
    (number,) = arguments
    if end_if_over(world, context, number):
        return b""
    auction, now = world.auctions[number], context.timestamp
    if not has_marks(world, context, number):
        world.auctions[number] = replace(auction, paused=now)
        context.emit("AuctionMoved", number, PAUSED)
        return b""
    if auction.paused:
        stood = now - auction.paused
        turned = auction.turned and auction.turned + stood
        auction = replace(auction, started=auction.started + stood, turned=turned, paused=0)
    worthless = slice_of(world, context, number).value <= 0
    if worthless != bool(auction.turned):
        auction = replace(auction, turned=now if worthless else 0)
    world.auctions[number] = auction
    context.emit("AuctionMoved", number, INSOLVENT if worthless else SOLVENT)
    return b""


def end_if_over(world: World, context: Context, number: int) -> bool:
    """End an auction that is over; what bids brought in is cash like any other from then on."""
    if not is_over(world, context, number):
        return False
    reserved = world.auctions[number].reserved
    del world.auctions[number]
    context.emit("AuctionEnded", number, reserved)
    release(world, context, number)
    return True


def release(world: World, context: Context, number: int) -> None:
    """An account above its initial margin is not liquidated any more."""
    if margin_of(world, context, number).surplus >= 0:
        account = world.accounts[number]
        world.accounts[number] = replace(account, flags=account.flags & ~LIQUIDATING)
        context.emit("LiquidationEnded", number)


def book_in(world: World, number: int, amount: int) -> None:
    """Note what a sale has brought in, or what it has cost."""
    auction = world.auctions[number]
    world.auctions[number] = replace(auction, reserved=auction.reserved + amount)
