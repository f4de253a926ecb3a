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
from rollup_node.engines.options.transition.promises import promises
from rollup_node.engines.options.values import cash_for


def apply_trade(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``tradeAmm(account, series, buy, quantity, limit)``."""
    number, series, buy, size, limit = arguments
    account = authorized(world, context, number, Scope.TRADE)
    found = listing.tradable(world, context, series)
    require_fresh(world, context, found.underlying)
    maker = _maker(world, series)
    if account.flags & LIQUIDATING:
        raise Refused("AccountFrozen", number)
    quantity = size if buy else -size
    price = ask(world, context, series, quantity)
    if (price > limit) if buy else (price < limit):
        raise Refused("LimitExceeded", price, limit)
    trade = with_relief(
        world,
        context,
        [number, maker.account],
        lambda: make(world, context, series, number, maker.account, price, quantity),
    )
    context.emit("Trade", series, number, maker.account, 0, 0, price, quantity, trade.taker_fee, 0)
    return b""


def make(
    world: World, context: Context, series: int, taker: int, maker: int, price: int, quantity: int
) -> trading.Trade:
    """Settle a trade with a market maker's account; as :func:`rollup_node.engines.options.transition.trading.make` of others."""
    cash = cash_for(price, -quantity)
    fee = fees.share(-cash_for(price, -abs(quantity)), context.parameters.amm_fee_ppm)
    trade = trading.Trade(series, taker, maker, price, quantity, fee, 0, fees.FeeKind.AMM)
    trading.settle(world, context, trade, cash, -cash)
    return trade


def ask(world: World, context: Context, series: int, quantity: int) -> int:
    """Its price per contract for a trade, micro-USD, whoever asks.

    What is traded moves cash at exactly this price, rounded against the trader, so the log of a trade says what it cost.

    Args:
        world: the state.
        context: the block.
        series: which.
        quantity: what the trader buys; below zero they sell.

    Raises:
        Refused: it doesn't trade that.
    """
    found = listing.find(world, series)
    maker = _maker(world, series)
    if not quantity or abs(quantity) % found.lot:
        raise Refused("LotViolation", abs(quantity), found.lot)
    said = context.risks.oracle(found.underlying)
    try:
        return quote(
            Rule(maker.limit, maker.skew, maker.spread),
            context.risks[series].mark,
            sensitivity_of(terms_of(world, series), said),
            _exposure(world, context, maker, found.underlying, buys=quantity > 0),
            quantity,
        ).price
    except NoQuote:
        raise Refused("NotQuoted", series) from None


def _maker(world: World, series: int) -> Amm:
    maker = world.amms.get(world.series[series].underlying)
    if maker is None or not maker.enabled:
        raise Refused("NotQuoted", series)
    return maker


def _exposure(world: World, context: Context, maker: Amm, underlying: int, *, buys: bool) -> int:
    """The maker's, over all that is still traded; trades that are set aside for strategies count where that is worse for who asks.

    Otherwise one could have many set aside at one price, or move the price by what is given up in the end.
    """
    said = context.risks.oracle(underlying)
    promised = (one for one in promises(world, maker.account) if (one[1] < 0) == buys)
    return exposure_of(
        (quantity, sensitivity_of(terms_of(world, number), said))
        for number, quantity in (*world.accounts[maker.account].positions, *promised)
        if world.series[number].underlying == underlying and world.series[number].expiry > context.timestamp
    )
