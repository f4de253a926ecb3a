"""Locked combos: legs of one strategy on several rollups, held together so that each rollup may ask for the strategy's loss and no more.

::

    in one bundle, on every rollup that has a leg:
    lockCombo ─► trades, if any ─► legs are free positions here ─► LOCKED: shorts ask for what they can lose beyond their pledges
                                                                     │      longs are worth nothing to their account any more
                    unlockCombo, in one bundle everywhere  ◄─────────┤
                    settlement: longs pay where they are pledged  ◄──┘ (``pledges``) ─► OWED until that money has come

A rollup can't look at another. What it knows of the legs elsewhere it knows from the bundle that it is in: it takes effect everywhere or
nowhere, and it is no bundle unless the same words stand on every rollup that they name (:mod:`bridge.wire.combos`). There they are executed
like here: who hasn't got the leg, fails, and so does the bundle. Therefore only rollups of the same sequencing set count (``peers``), only
bundles, and only calls that an owner sends itself.

What a locked position is protected from: trades that would cut into it (``trading.require_unlocked``), and liquidation, which sells what is
free. A short leg that asks for less because it is locked can't make its account poorer than that, so closing it is of no use to anyone; one
that would ask for less alone is let go first (:func:`give_way`). Long legs stay: what they pay is another account's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final, NamedTuple

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.risk.combos import Lock, required_together
from rollup_node.engines.options.risk.combos import lock as secure
from rollup_node.engines.options.risk.rows import Terms
from rollup_node.engines.options.state.leaves import Account, Combo
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import Call, decode_call
from rollup_node.engines.options.transactions.interfaces import COMBO_LEG, EXCHANGE
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import oracle, trading
from rollup_node.engines.options.transition.accounts import authorized
from rollup_node.engines.options.transition.context import NO_BUNDLE, Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of
from rollup_node.engines.options.transition.oracle import LIVE, require_fresh
from rollup_node.engines.options.transition.orders import with_relief
from rollup_node.engines.options.transition.promises import promised
from rollup_node.engines.options.values import int64, int128

MAX_LEGS: Final = 16
"""Of one combo, on all rollups."""
_TRADES: Final = ("placeOrder", "tradeAmm", "fillQuote")
_LEGS: Final = abi.parse(f"{COMBO_LEG}[]")


class State(IntEnum):
    """Of a combo's leaf, by whom it is for: a strategy over the bridge, or a bundle. What ends has no leaf any more."""

    PREPARED = 0
    """The next two numbers are told of strategies that have ended (``promises``)."""
    LOCKED = 3
    OWED = 4
    """Settled here; other rollups haven't paid yet what they owe for their legs."""


class Leg(NamedTuple):
    """``IOptionsCombos.Leg``."""

    chain_id: int
    account: int
    underlying: bytes
    expiry: int
    strike: int
    is_call: bool
    quantity: int


class Parts(NamedTuple):
    """A combo as one of its rollups sees it."""

    account: int
    legs: tuple[tuple[int, int], ...]
    """Series and quantity here, ascending."""
    required: int
    pledges: tuple[tuple[int, int, int, int, bool, int], ...]
    """As in the leaf."""
    legs_hash: bytes


def lock(
    world: World, context: Context, arguments: tuple[Any, ...], run: Callable[[World, Context, Call], bytes]
) -> bytes:
    """``lockCombo(legs, snapshot, calls)``; returns its number here.

    Args:
        world: the state.
        context: the block.
        arguments: of the call.
        run: executes a call; of trades that come first. Their account's margin is looked at once, when its legs are locked.
    """
    said, snapshot, calls = arguments
    _require_bundle(context)
    parts = read_parts(world, context, said)
    number = parts.account
    if authorized(world, context, number, 0).flags & LIQUIDATING:
        raise Refused("AccountFrozen", number)
    underlying = world.series[parts.legs[0][0]].underlying
    require_fresh(world, context, underlying)
    heard = world.oracles[underlying].timestamp
    if not heard - context.parameters.max_snapshot_age <= snapshot <= heard:
        raise Refused("SnapshotMissed", snapshot, heard)
    if len(list(combos_of(world, number))) >= context.parameters.max_locks:
        raise Refused("TooMany", number, context.parameters.max_locks)
    trades = [_trade(context, data) for data in calls]

    def both() -> int:
        before, context.deferred = context.deferred, number
        try:
            for trade in trades:
                run(world, context, trade)
        finally:
            context.deferred = before
        return _put(world, context, parts, snapshot)

    return with_relief(world, context, [number], both).to_bytes(32, "big")


def apply_unlock(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``unlockCombo(legs, snapshot, name)``: as it was before; margin must allow it."""
    said, _, name = arguments
    _require_bundle(context)
    number, found = _find(world, context, said, name)
    authorized(world, context, found.account, 0)
    if any(
        world.series[one].status != LIVE or world.series[one].expiry <= context.timestamp
        for one, _ in found.legs
    ):
        raise Refused("SeriesExpired", found.legs[0][0])

    def release() -> None:
        release_legs(world, found.account, found.legs, found.required)
        del world.combos[number]

    with_relief(world, context, [found.account], release)
    context.emit("ComboUnlocked", number, found.account, name)
    return b""


def read_parts(world: World, context: Context, said: Sequence[tuple[Any, ...]]) -> Parts:
    """What the legs of a combo mean here.

    Raises:
        Refused: they are none that can be locked.
    """
    legs = [Leg(*one) for one in said]
    if not 0 < len(legs) <= MAX_LEGS or len({one[:6] for one in legs}) != len(legs):
        raise Refused("NotACombo")
    own, peers = context.parameters.chain_id, context.parameters.peers
    stranger = next((one.chain_id for one in legs if one.chain_id != own and one.chain_id not in peers), None)
    if stranger is not None:
        raise Refused("UnknownRollup", stranger)
    accounts = {one.account for one in legs if one.chain_id == own}
    if (
        len(accounts) != 1
        or len({one.underlying for one in legs}) != 1
        or not all(one.quantity for one in legs)
    ):
        raise Refused("NotACombo")
    underlying, _ = oracle.find(world, context, legs[0].underlying)
    series = {
        place: _series(world, context, underlying, one)
        for place, one in enumerate(legs)
        if one.chain_id == own
    }
    terms = [
        (one.quantity, Terms(series.get(place, 0), underlying, one.expiry, one.strike, one.is_call))
        for place, one in enumerate(legs)
    ]
    found = secure(terms)
    if found is None:
        raise Refused("NotACombo")
    shorts = {place for place in series if legs[place].quantity < 0}
    return Parts(
        account=accounts.pop(),
        legs=tuple(sorted((series[place], legs[place].quantity) for place in series)),
        required=required_together(terms, found.pledges, shorts),
        pledges=tuple(_pledges(legs, series, found)),
        legs_hash=hash_of(said),
    )


def hash_of(said: Sequence[tuple[Any, ...]]) -> bytes:
    """Of a combo's legs: the same on all its rollups."""
    return keccak256(abi.encode(_LEGS, said))


def combos_of(world: World, account: int) -> Iterator[tuple[int, Combo]]:
    """An account's locked and owed combos, the oldest first."""
    for number, found in world.combos.of(account):
        if found.account == account and found.state >= State.LOCKED:
            yield number, found


def give_way(world: World, context: Context, number: int) -> None:
    """Of an account that is being liquidated, let go of locked short legs that ask for more than they would alone: they are sold like others.

    Nobody is worse off by it. Long legs that are pledged stay locked, here and elsewhere, and what they pay comes to where it was to come. Short legs that
    the credit makes cheaper stay locked: what they can lose doesn't grow, and closing them costs more than that.
    """
    if not any(quantity < 0 for _, quantity in world.accounts[number].locks):
        return
    mark, kept = world.mark(), len(context.logs)
    before = margin_of(world, context, number)
    for place, combo in list(combos_of(world, number)):
        if combo.state != State.LOCKED or all(quantity > 0 for _, quantity in combo.legs):
            continue
        outward = tuple(one for one in combo.pledges if one[-1] > 0)
        elsewhere = {series for series, *_ in outward}
        stays = tuple(leg for leg in combo.legs if leg[0] in elsewhere)
        release_legs(world, number, [leg for leg in combo.legs if leg not in stays], combo.required)
        if stays:
            world.combos[place] = replace(combo, legs=stays, required=0, due=0, pledges=outward)
        else:
            del world.combos[place]
        context.emit("ComboBroken", place, number, combo.name)
    after = margin_of(world, context, number)
    if after.maintenance - after.equity > before.maintenance - before.equity:
        world.undo(mark)
        del context.logs[kept:]


def release_legs(world: World, account: int, legs: Sequence[tuple[int, int]], required: int) -> None:
    """Positions are free again, and what they asked for isn't asked for any more."""
    found = world.accounts[account]
    world.accounts[account] = replace(
        found,
        locks=_changed(found.locks, [(one, -quantity) for one, quantity in legs]),
        locked=int128(found.locked - required),
    )


def _require_bundle(context: Context) -> None:
    """Only there are the same words on the other rollups certain; an action could hide them from whoever checks."""
    if context.bundle == NO_BUNDLE or context.bound is not None:
        raise Refused("OnlyInBundle")


def _series(world: World, context: Context, underlying: int, leg: Leg) -> int:
    """Number of a leg's series, which is still traded."""
    wanted = (underlying, leg.expiry, leg.strike, leg.is_call)
    for number, one in sorted(world.series.items(), reverse=True):
        if (one.underlying, one.expiry, one.strike, one.is_call) == wanted:
            if one.status != LIVE or one.expiry <= context.timestamp:
                raise Refused("SeriesExpired", number)
            return number
    raise Refused("UnknownSeries", 0)


def _pledges(
    legs: Sequence[Leg], series: dict[int, int], found: Lock
) -> Iterator[tuple[int, int, int, int, bool, int]]:
    """Pledges between a leg here and one elsewhere; within one account a leg's payoff is where it belongs already."""
    for one in found.pledges:
        long, short = legs[one.long], legs[one.short]
        if long.chain_id == short.chain_id:
            continue
        if one.long in series:
            yield series[one.long], short.chain_id, short.account, long.strike, long.is_call, one.quantity
        elif one.short in series:
            yield series[one.short], long.chain_id, long.account, long.strike, long.is_call, -one.quantity


def _trade(context: Context, data: bytes) -> Call:
    call = decode_call(EXCHANGE, data)
    if call.function.name not in _TRADES:
        raise Refused("UnknownFunction", EXCHANGE, call.function.selector)
    context.gas += call.function.gas
    return call


def _put(world: World, context: Context, parts: Parts, snapshot: int) -> int:
    """Lock the legs."""
    account = world.accounts[parts.account]
    if any(
        (one.name, one.legs_hash) == (context.bundle, parts.legs_hash)
        for _, one in combos_of(world, parts.account)
    ):
        raise Refused("NotACombo")
    for series, quantity in parts.legs:
        buys, sells = promised(world, parts.account, series)
        free = trading.free_of(account, series) + (buys if quantity < 0 else -sells)
        if free * quantity <= 0 or abs(free) < abs(quantity):
            raise Refused("LegMissing", series, quantity, free)
    number = world.globals.next_combo
    if number >> 28:
        raise Refused("LimitReached", 1 << 28)
    world.globals = replace(world.globals, next_combo=number + 1)
    world.combos[number] = Combo(
        context.bundle, parts.account, parts.legs_hash, parts.legs, State.LOCKED, 0, snapshot=snapshot,
        required=parts.required, pledges=parts.pledges,
    )  # fmt: skip
    world.accounts[parts.account] = _locked(account, parts)
    context.emit("ComboLocked", number, parts.account, context.bundle, parts.legs_hash, parts.required)
    return number


def _locked(account: Account, parts: Parts) -> Account:
    return replace(
        account, locks=_changed(account.locks, parts.legs), locked=int128(account.locked + parts.required)
    )


def _changed(
    locks: Sequence[tuple[int, int]], legs: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    found = dict(locks)
    for series, quantity in legs:
        found[series] = int64(found.get(series, 0) + quantity)
    return tuple((series, found[series]) for series in sorted(found) if found[series])


def _find(world: World, context: Context, said: Sequence[tuple[Any, ...]], name: bytes) -> tuple[int, Combo]:
    legs_hash, own = hash_of(said), context.parameters.chain_id
    for account in sorted({leg.account for leg in map(Leg._make, said) if leg.chain_id == own}):
        for number, one in combos_of(world, account):
            if one.state == State.LOCKED and (one.name, one.legs_hash) == (name, legs_hash):
                return number, one
    raise Refused("UnknownCombo", name)
