"""What a trade does: positions move, the premium goes from buyer to seller, both pay fees, and what rounding leaves is dust."""

from typing import NamedTuple

from rollup_node.engines.options.state.leaves import Account, Globals, Series
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import fees
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.promises import promised, slots
from rollup_node.engines.options.values import cash_for, int64, int128

_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""


class Trade(NamedTuple):
    """One that was made."""

    series: int
    taker: int
    maker: int
    price: int
    quantity: int
    """As the taker sees it."""
    taker_fee: int
    maker_fee: int
    kind: fees.FeeKind = fees.FeeKind.TAKER
    """What the taker's fee is for."""


def position_of(account: Account, series: int) -> int:
    """Signed quantity held."""
    for number, quantity in account.positions:
        if number == series:
            return quantity
    return 0


def free_of(account: Account, series: int) -> int:
    """Signed quantity held that no locked combo holds: what may be traded away."""
    return position_of(account, series) - dict(account.locks).get(series, 0)


def sellable_of(world: World, number: int, series: int) -> int:
    """Signed quantity held that no locked combo holds, and that isn't needed to keep one beside what is promised: what a liquidation may sell."""
    account = world.accounts[number]
    free = free_of(account, series)
    if free and account.reserved and (locked := dict(account.locks).get(series, 0)):
        bought, sold = promised(world, number, series)
        return max(0, free - sold) if locked > 0 else min(0, free + bought)
    return free


def sellable(world: World, number: int) -> tuple[tuple[int, int], ...]:
    """All of that, by series."""
    account = world.accounts[number]
    if not account.locks:
        return account.positions
    free = ((series, sellable_of(world, number, series)) for series, _ in account.positions)
    return tuple((series, quantity) for series, quantity in free if quantity)


def require_kept(world: World, number: int, series: int) -> None:
    """Refuse a position of which locked combos hold more than there is, or will be once what is promised is traded: a commit must not fail."""
    account = world.accounts[number]
    require_unlocked(number, account, series)
    if account.reserved and (locked := dict(account.locks).get(series, 0)):
        bought, sold = promised(world, number, series)
        require_unlocked(number, moved(account, series, -sold if locked > 0 else bought), series)


def require_unlocked(number: int, account: Account, series: int) -> None:
    """Refuse a position that has less than what locked combos hold of it."""
    locked = dict(account.locks).get(series, 0)
    held = position_of(account, series)
    if locked and (held * locked <= 0 or abs(held) < abs(locked)):
        raise Refused("LegLocked", number, series)


def reducible(account: Account, series: int, *, buy: bool) -> int:
    """The most that an order on this side trades without crossing zero, or cutting into a lock."""
    held = free_of(account, series)
    return max(0, -held if buy else held)


def moved(account: Account, series: int, quantity: int, cash: int = 0) -> Account:
    """The account with a position, and its cash, changed by so much."""
    positions = account.positions
    for place, (number, held) in enumerate(positions):  # noqa: B007 - read after the loop
        if number >= series:
            break
    else:
        place, number, held = len(positions), series, 0
    if number != series:
        held, rest = 0, positions[place:]
    else:
        rest = positions[place + 1 :]
    after = int64(held + quantity)
    own = ((series, after),) if after else ()
    # all fields by hand: `dataclasses.replace` takes three times as long, and every trade does this twice
    return Account(
        account.owner, account.nonce, int128(account.cash + cash), account.reserved, account.portfolio, account.flags,
        (*positions[:place], *own, *rest), account.locks, account.keys, account.locked, account.due,
    )  # fmt: skip


def make(
    world: World,
    context: Context,
    series: int,
    taker: int,
    maker: int,
    price: int,
    quantity: int,
    kind: fees.FeeKind = fees.FeeKind.TAKER,
) -> Trade:
    """Settle a trade; whether the two may is their margins' matter, and checked elsewhere.

    Args:
        world: the state.
        context: the block.
        series: which.
        taker: account.
        maker: account.
        price: micro-USD per contract.
        quantity: as the taker sees it.
        kind: what the taker's fee is for: the book, or several legs at once.
    """
    size = abs(quantity)
    paid, received = -cash_for(price, -size), cash_for(price, size)
    earned = (-paid, received) if quantity > 0 else (received, -paid)
    parameters = context.parameters
    rate = parameters.combo_fee_ppm if kind is fees.FeeKind.COMBO else parameters.taker_fee_ppm
    taker_fee, maker_fee = fees.share(paid, rate), fees.share(paid, parameters.maker_fee_ppm)
    trade = _new(Trade, (series, taker, maker, price, quantity, taker_fee, maker_fee, kind))
    settle(world, context, trade, *earned)
    return trade


def settle(world: World, context: Context, trade: Trade, taker_cash: int, maker_cash: int) -> None:
    """Move what a trade moves; what the two sides' cash leaves over is dust.

    Args:
        world: the state.
        context: the block.
        trade: what was agreed on.
        taker_cash: what the taker has of it before fees; below zero it pays.
        maker_cash: what the maker has.
    """
    interest, series = 0, trade.series
    for number, signed, cash in (
        (trade.taker, trade.quantity, taker_cash - trade.taker_fee),
        (trade.maker, -trade.quantity, maker_cash - trade.maker_fee),
    ):
        before = world.accounts[number]
        world.accounts[number] = after = moved(before, series, signed, cash)
        promised = slots(world, number, after) if after.reserved else 0
        if len(after.positions) + promised > context.parameters.max_positions:
            raise Refused("TooMany", number, context.parameters.max_positions)
        held = position_of(before, series)
        if before.locks:
            require_kept(world, number, series)
        interest += abs(held + signed) - abs(held)
    if interest:
        found = world.series[series]
        world.series[series] = Series(
            found.underlying, found.expiry, found.strike, found.is_call, found.tick, found.lot, found.status,
            found.settlement, int64(found.open_interest + interest), found.pool,
        )  # fmt: skip
    fees.note_trade(
        world, trade.kind, trade.taker_fee, trade.maker_fee, max(abs(taker_cash), abs(maker_cash))
    )
    now = world.globals
    # by hand, as above
    world.globals = Globals(
        now.number, now.timestamp, now.next_account, now.next_series, now.next_combo, now.withdrawals, now.deposits,
        now.insurance, now.sequencer_fees, now.protocol_fees, now.block_fees + trade.taker_fee + trade.maker_fee,
        now.shared_loss, now.dust - (taker_cash + maker_cash) * WEI_PER_CASH, now.vault, now.level,
        now.insurance_paid,
    )  # fmt: skip
