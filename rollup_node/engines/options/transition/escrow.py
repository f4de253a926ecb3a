"""Legs of strategies that are decided on L1: what ``LegEscrow`` does on EVM rollups, at the same address, in the same words.

::

    NONE ─lock─► LOCKED ─commit──► COMMITTED     the trades are made
                 LOCKED ─abort───► RELEASED      pledges are free, orders go back into the book
                 LOCKED ─refund──► REFUNDED      the same, by anyone, after `refundAfter`: the decision never came
    NONE ─lock─► REFUSED                         a vote of no; nothing was set aside
    NONE ─abort► RELEASED                        the decision overtook the lock, which is refused when it comes

Who trades is the primary account of the address that opened the strategy on L1. What is set aside, and with which pledges, is
``reservations``; a lock changes nothing else than that, all of it or nothing. The combo's leaf lasts as long as the legs are locked: how they
ended is the strategy's letter's to say, for ever, so no name is locked twice and nobody pays for what is over.

A commit is never refused for anything that happened since. It comes too late only once the legs are given up, or a series of theirs has
expired, which is after ``refundAfter``: then the strategy has come apart, and ``CommitMissed`` says so.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.leaves import Combo, Letter
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import ESCROW, STRATEGY_LEG
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.letters import Box, find, put
from rollup_node.engines.options.transition.mailbox import MAX_REASON
from rollup_node.engines.options.transition.messenger import send_message
from rollup_node.engines.options.transition.oracle import LIVE
from rollup_node.engines.options.transition.outward import VOTE
from rollup_node.engines.options.transition.promises import PREPARED, Fill
from rollup_node.engines.options.transition.reservations import (
    Leg,
    legs_of,
    put_back,
    reserve,
    trade,
    unpledge,
)
from rollup_node.engines.options.values import Overflow

_COUNT_SHIFT: Final = 64
"""A strategy's letter says the combo's number, and above these bits how many legs it has."""
_LEGS: Final = abi.parse(f"({STRATEGY_LEG}[])")


class Lock(IntEnum):
    """What became of a strategy's legs here, numbered as in the contract."""

    NONE = 0
    LOCKED = 1
    REFUSED = 2
    COMMITTED = 3
    RELEASED = 4
    REFUNDED = 5


def lock_legs(world: World, context: Context, speaker: bytes, wei: int, arguments: tuple[Any, ...]) -> None:
    """``lockLegs(strategy, account, decideBy, refundAfter, voteGas, legs)`` from the registry: set the legs aside and vote."""
    strategy, address, decide_by, refund_after, gas, said = arguments
    _require_registry(context, speaker, wei)
    if lock_of(world, strategy).state != Lock.NONE:
        return
    legs, mark, kept = legs_of(said), world.mark(), len(context.logs)
    reason = b""
    try:
        if context.timestamp >= decide_by:
            raise Refused("TooLate", decide_by, context.timestamp)
        number = prepare(world, context, strategy, address, refund_after, legs)
        _put(world, strategy, Lock.LOCKED, address, refund_after, len(legs) << _COUNT_SHIFT | number)
    except (Refused, Overflow) as exc:
        if context.is_spent:  # what there isn't gas to look at may well be had: the order stays with the messenger, for anyone to repeat with more
            raise
        world.undo(mark)
        del context.logs[kept:]
        reason = (exc.data if isinstance(exc, Refused) else Refused("OutOfRange").data)[:MAX_REASON]
        _put(world, strategy, Lock.REFUSED, address, refund_after, len(legs) << _COUNT_SHIFT)
        context.emit("LegRefused", strategy, address, reason)
    vote = VOTE.call(strategy, not reason, reason)
    send_message(world, context, ESCROW, context.parameters.l1.registry, vote, gas, 0)


def apply_reserve(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``reserveLegs(strategy, account, refundAfter, legs)``: what the lock would do, for those who ask which leg can't be had."""
    strategy, address, refund_after, legs = arguments
    if context.actor != ESCROW:
        raise Refused("NotSelf", context.actor)
    prepare(world, context, strategy, address, refund_after, legs_of(legs))
    return b""


def decide_legs(world: World, context: Context, speaker: bytes, wei: int, arguments: tuple[Any, ...]) -> None:
    """``decideLegs(strategy, commit)`` from the registry; again, or late, it changes nothing."""
    strategy, commit = arguments
    _require_registry(context, speaker, wei)
    known = lock_of(world, strategy)
    if known.state == Lock.LOCKED and commit and not _is_over(world, context, combo_of(world, known)):
        _commit(world, context, known)
        context.emit("LegCommitted", strategy)
    elif known.state == Lock.LOCKED:
        _give_up(world, context, known, Lock.REFUNDED if commit else Lock.RELEASED)
        if commit:  # what was to be traded isn't any more: the same as if somebody had taken it back in time
            context.emit("LegRefunded", strategy)
            context.emit("CommitMissed", strategy, Lock.REFUNDED)
        else:
            context.emit("LegReleased", strategy)
    elif commit and known.state != Lock.COMMITTED:
        context.emit("CommitMissed", strategy, known.state)
    elif known.state == Lock.NONE:
        put(world, replace(known, state=Lock.RELEASED))
        context.emit("LegReleased", strategy)


def apply_refund(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``refundLegs(strategy)``: anybody, when the decision is too long in coming."""
    (strategy,) = arguments
    known = lock_of(world, strategy)
    if known.state != Lock.LOCKED:
        raise Refused("NotLocked", strategy, known.state)
    if context.timestamp <= known.valid_until:
        raise Refused("StillWaiting", known.valid_until, context.timestamp)
    _give_up(world, context, known, Lock.REFUNDED)
    context.emit("LegRefunded", strategy)
    return b""


def prepare(
    world: World,
    context: Context,
    strategy: bytes,
    address: bytes,
    refund_after: int,
    legs: Sequence[Leg],
) -> int:
    """Make a prepared combo of a strategy's legs; its number.

    Raises:
        Refused: they can't be had; the caller undoes.
    """
    owner = owner_of(world, address)
    if owner is None or not owner.accounts:
        raise Refused("InsufficientCash", 0, 1, 0)
    number = world.globals.next_combo
    world.globals = replace(world.globals, next_combo=number + 1)
    net: dict[int, int] = {}
    for leg in legs:
        series = int.from_bytes(leg.series[-4:], "big")
        net[series] = net.get(series, 0) + leg.quantity
    digest = keccak256(abi.encode(_LEGS, (tuple(legs),)))
    held = tuple((series, quantity) for series, quantity in sorted(net.items()) if quantity)
    world.combos[number] = Combo(strategy, owner.accounts[0], digest, held, PREPARED, refund_after)
    reserve(world, context, number, legs)
    for place in range(len(legs)):
        context.emit("LegLocked", strategy, place, address)
    return number


def lock_of(world: World, strategy: bytes) -> Letter:
    """What became of a strategy here: account's address, refundAfter, and the combo's number."""
    return find(world, Box.STRATEGY, strategy) or Letter(strategy, Box.STRATEGY, Lock.NONE)


def legs_count(known: Letter) -> int:
    """How many legs it has here."""
    return known.value >> _COUNT_SHIFT


def combo_of(world: World, known: Letter) -> Combo:
    """The combo of a strategy that is locked."""
    return world.combos[combo_number(known)]


def combo_number(known: Letter) -> int:
    """Number of the combo of a strategy that was locked here; zero if it wasn't."""
    return known.value & (1 << _COUNT_SHIFT) - 1


def _put(world: World, strategy: bytes, state: Lock, address: bytes, refund_after: int, value: int) -> None:
    put(world, Letter(strategy, Box.STRATEGY, state, address, refund_after, value))


def _commit(world: World, context: Context, known: Letter) -> None:
    combo = _end(world, known, Lock.COMMITTED)
    trade(world, context, combo.account, tuple(map(Fill._make, combo.fills)))


def _give_up(world: World, context: Context, known: Letter, state: Lock) -> None:
    combo = _end(world, known, state)
    for fill in map(Fill._make, combo.fills):
        put_back(world, context, fill)


def _end(world: World, known: Letter, state: Lock) -> Combo:
    """Free all pledges, and say how it ended; the combo as it was, which is no more."""
    combo = combo_of(world, known)
    unpledge(world, combo.account, combo.pledge)
    for fill in map(Fill._make, combo.fills):
        unpledge(world, fill.maker, fill.pledge)
    del world.combos[combo_number(known)]
    put(world, replace(known, state=state))
    return combo


def _is_over(world: World, context: Context, combo: Combo) -> bool:
    """Whether a series isn't traded any more; never before the deadline."""
    found = [world.series[fill[1]] for fill in combo.fills]
    return any(one.status != LIVE or one.expiry <= context.timestamp for one in found)


def _require_registry(context: Context, speaker: bytes, wei: int) -> None:
    if speaker != context.parameters.l1.registry:
        raise Refused("NotRegistry", speaker)
    if wei:
        raise Refused("ValueRefused", wei)
