"""A bid: anyone with the margin for it takes a share of an account that is up for auction, at the price of the moment."""

from typing import Any

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.interfaces import Scope
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import auctions, fees, insurance, slices
from rollup_node.engines.options.transition.accounts import account, authorized, credit
from rollup_node.engines.options.transition.auctions import Offer
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of, shortfall
from rollup_node.engines.options.transition.orders import LIQUIDATED, tell_removals
from rollup_node.engines.options.transition.slices import Slice
from rollup_node.engines.options.values import PARTS, ceil_divide


def apply_bid(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``bid(bidder, account, share, limit)``."""
    bidder, number, share, limit = arguments
    taker, seller = authorized(world, context, bidder, Scope.TRADE), account(world, number)
    if taker.owner == seller.owner:
        raise Refused("SelfTrade", bidder)
    if taker.flags & LIQUIDATING:
        raise Refused("AccountFrozen", bidder)
    if number not in world.auctions:
        raise Refused("NoAuction", number)
    auctions.require_marks(world, context, number)
    offer = auctions.offer_of(world, context, number)
    if offer.missing <= 0:
        raise Refused("NoAuction", number)
    if not 0 < share <= offer.most:
        raise Refused("ShareRefused", share, offer.most)
    for series in world.series_with_orders(number):
        tell_removals(context, series, world.book(series).cancel_all(number), LIQUIDATED)
    part = slices.slice_of(world, context, number, share)
    before = margin_of(world, context, number)
    slices.move(world, context, number, bidder, part)
    price = _pay(world, context, bidder, number, offer, part, share)
    if price > limit:
        raise Refused("CostExceeded", price, limit)
    improved = auctions.gap(before) - auctions.gap(margin_of(world, context, number))
    fee = min(fees.share(max(0, price), context.parameters.liquidation_fee_ppm), max(0, improved))
    fees.take_liquidation(world, context, number, fee)
    auctions.book_in(world, number, -fee)
    if improved < 0:
        raise Refused("InsufficientMargin", number, auctions.gap(before) - improved)
    if missing := shortfall(world, context, bidder):
        raise Refused("InsufficientMargin", bidder, missing)
    held, quantities = zip(*part.positions, strict=True) if part.positions else ((), ())
    context.emit("AuctionBid", number, bidder, share, price, fee, held, quantities, part.cash)
    auctions.end_if_over(world, context, number)
    return b""


def _pay(
    world: World, context: Context, bidder: int, number: int, offer: Offer, part: Slice, share: int
) -> int:
    """Move the price of a slice; below zero the bidder is paid, by what the account has of earlier bids, then by insurance.

    Nobody is paid more than the share's part of what the whole is short of, however the slice was rounded.
    """
    if offer.whole.value > 0 or part.value > 0:
        rate = offer.share if offer.whole.value > 0 else PARTS
        price = max(0, ceil_divide(part.value * rate, PARTS))
        credit(world, bidder, -price)
        credit(world, number, price)
        auctions.book_in(world, number, price)
        return price
    owed = min(-part.value * PARTS, -offer.whole.value * share) * offer.share // PARTS**2
    own = min(owed, max(0, offer.auction.reserved))
    paid = insurance.pay(world, context, number, min(owed - own, offer.deficit))
    credit(world, number, -own)
    credit(world, bidder, own + paid)
    auctions.book_in(world, number, -own)
    return -own - paid
