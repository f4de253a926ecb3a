"""Trades outside of the book: a maker's signed quote for several legs, all of them or none; and the AMM, an account like any other."""

from collections.abc import Sequence
from typing import Any

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.actions import quote_digest, signer_of
from rollup_node.engines.options.transactions.interfaces import Scope
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import series as listing
from rollup_node.engines.options.transition import trading
from rollup_node.engines.options.transition.accounts import account, authorized
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.fees import FeeKind
from rollup_node.engines.options.transition.keys import spend_nonce
from rollup_node.engines.options.transition.margins import LIQUIDATING
from rollup_node.engines.options.transition.oracle import require_fresh
from rollup_node.engines.options.transition.orders import with_relief


def apply_fill(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``fillQuote(quote, signature)``: the taker's side acts, the maker has signed."""
    quote, signature = arguments
    maker, taker, nonce, expiry, legs = quote
    authorized(world, context, taker, Scope.TRADE)
    account(world, maker)
    if maker == taker:
        raise Refused("SelfTrade", taker)
    if expiry < context.timestamp:
        raise Refused("ActionExpired", expiry, context.timestamp)
    if not 0 < len(legs) <= context.parameters.max_legs:
        raise Refused("LimitReached", context.parameters.max_legs)
    signer = signer_of(quote_digest(context.parameters.chain_id, quote), signature)
    spend_nonce(world, context, maker, signer, nonce, Scope.TRADE)
    for number in (maker, taker):
        if world.accounts[number].flags & LIQUIDATING:
            raise Refused("AccountFrozen", number)
    _check_legs(world, context, legs)

    def trade() -> None:
        for series, price, quantity in legs:
            one = trading.make(world, context, series, taker, maker, price, quantity, FeeKind.COMBO)
            context.emit("Trade", series, taker, maker, 0, 0, price, quantity, one.taker_fee, one.maker_fee)

    with_relief(world, context, [maker, taker], trade)
    return b""


def _check_legs(world: World, context: Context, legs: Sequence[tuple[int, int, int]]) -> None:
    for series, price, quantity in legs:
        found = listing.tradable(world, context, series)
        require_fresh(world, context, found.underlying)
        if not price or price % found.tick:
            raise Refused("TickViolation", price, found.tick)
        if not quantity or abs(quantity) % found.lot:
            raise Refused("LotViolation", abs(quantity), found.lot)
