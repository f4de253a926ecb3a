"""The market maker of an underlying: an account like any other, with a rule instead of an owner.

It trades at its rule's price, is margined like everybody, and refuses what it hasn't the margin for. Its account belongs to an address that
nobody has a key for; whoever wants to lend it cash deposits or transfers it there.
"""

from typing import Any

from rollup_node.engines.options.amm.quotes import NoQuote, Rule, exposure_of, quote, sensitivity_of
from rollup_node.engines.options.state.leaves import Amm
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.interfaces import Scope
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import fees, trading
from rollup_node.engines.options.transition import series as listing
from rollup_node.engines.options.transition.accounts import authorized
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, terms_of
from rollup_node.engines.options.transition.oracle import require_fresh
from rollup_node.engines.options.transition.orders import with_relief


def apply_trade(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``tradeAmm(account, series, buy, quantity, limit)``."""
    number, series, buy, size, limit = arguments
    account = authorized(world, context, number, Scope.TRADE)
    found = listing.tradable(world, context, series)
    require_fresh(world, context, found.underlying)
    maker = world.amms.get(found.underlying)
    if maker is None or not maker.enabled:
        raise Refused("NotQuoted", series)
    if account.flags & LIQUIDATING:
        raise Refused("AccountFrozen", number)
    if not size or size % found.lot:
        raise Refused("LotViolation", size, found.lot)
    said = context.risks.oracle(found.underlying)
    quantity = size if buy else -size
    try:
        asked = quote(
            Rule(maker.limit, maker.skew, maker.spread),
            context.risks[series].mark,
            sensitivity_of(terms_of(world, series), said),
            _exposure(world, context, maker, found.underlying),
            quantity,
        )
    except NoQuote:
        raise Refused("NotQuoted", series) from None
    if (asked.price > limit) if buy else (asked.price < limit):
        raise Refused("LimitExceeded", asked.price, limit)
    fee = fees.share(abs(asked.cash), context.parameters.taker_fee_ppm)
    trade = trading.Trade(series, number, maker.account, asked.price, quantity, fee, 0)
    with_relief(
        world,
        context,
        [number, maker.account],
        lambda: trading.settle(world, context, trade, asked.cash, -asked.cash),
    )
    context.emit("Trade", series, number, maker.account, 0, 0, asked.price, quantity, fee, 0)
    return b""


def _exposure(world: World, context: Context, maker: Amm, underlying: int) -> int:
    """The maker's, over all that is still traded."""
    said = context.risks.oracle(underlying)
    return exposure_of(
        (quantity, sensitivity_of(terms_of(world, number), said))
        for number, quantity in world.accounts[maker.account].positions
        if world.series[number].underlying == underlying and world.series[number].expiry > context.timestamp
    )
