"""Breakers in the block: levels derived from the state, and what each of them refuses.

::

    oracle, risk ─► liquidations ─► settlement ─► moveBreaker(underlying) * ─► moveBreaker(0: the whole rollup) ─► users' sections
                                                     price deviations, age of        deficit of accounts in liquidation against
                                                     the feed, its confidence,       insurance, volume of a window
                                                     signers, open interest

                                     orders       listing, quotes, AMM   transfers, keys   withdrawals        forced from L1
    0 normal                         all          all                    all               all                all
    1 reduce only                    reduce only  none                   all               all                all      (initial margin x 1.5)
    2 cancel only                    cancel       none                   all               all                all
    3 withdrawals capped             cancel       none                   all               up to the cap      all
    4 frozen                         none         none                   none              none               all

Nobody decides a level: it follows from the block, as liquidations do, and liquidations go on at every level, as do the oracle and
settlement. A level rises at once, and falls by one after each cool-off in which nothing asked for it. Maintenance margin isn't touched, so a
breaker never liquidates anybody. What L1 forces is never refused: it only counts against the cap of others.

An underlying's level is in its oracle's leaf, the rollup's in the globals; the greater counts. What a breaker must remember is in a leaf
of its own, written in blocks that change it. All conditions but lost signers are off unless the parameters give them a figure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from rollup_node.engines.options.risk.breakers import (
    Level,
    by_age,
    by_confidence,
    by_deficit,
    by_deviations,
    followed,
    moved,
)
from rollup_node.engines.options.state.leaves import Breaker, Oracle
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.decode import Call
from rollup_node.engines.options.transactions.interfaces import LIQUIDATION, ORACLE
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of
from rollup_node.engines.options.transition.oracle import LIVE, find
from rollup_node.engines.options.values import PARTS, WAD

WHOLE: Final = bytes(32)
"""In place of an underlying's symbol: all of the rollup."""
WHOLE_LEAF: Final = 0
_CARRIERS: Final = frozenset({"act", "actAll"})
"""What they carry is looked at by itself."""


def _of_order(arguments: tuple[Any, ...]) -> Iterable[int]:
    return (arguments[0][1],)


def _of_replacement(arguments: tuple[Any, ...]) -> Iterable[int]:
    return (arguments[2][1],)


def _of_quote(arguments: tuple[Any, ...]) -> Iterable[int]:
    return (leg[0] for leg in arguments[0][4])


def _of_amm(arguments: tuple[Any, ...]) -> Iterable[int]:
    return (arguments[1],)


_TRADING: Final[Mapping[str, Any]] = {
    "placeOrder": _of_order,
    "replaceOrder": _of_replacement,
    "fillQuote": _of_quote,
    "tradeAmm": _of_amm,
}
"""Functions that trade, and the series of their arguments."""


def steps(world: World, context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Derived: one for each breaker that changes, the whole rollup's last."""
    for underlying, oracle in sorted(world.oracles.items()):
        if _of_underlying(world, context, underlying) != (oracle.level, _memory(world, underlying + 1)):
            yield "moveBreaker", (context.parameters.markets[underlying].symbol,)
    if _of_whole(world, context) != (world.globals.level, _memory(world, WHOLE_LEAF)):
        yield "moveBreaker", (WHOLE,)


def apply_move(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``moveBreaker(underlying)``: to where it has to be in this block."""
    (symbol,) = arguments
    if symbol == WHOLE:
        before = world.globals.level
        level, world.breakers[WHOLE_LEAF] = _of_whole(world, context)
        world.globals = replace(world.globals, level=level)
    else:
        number, oracle = find(world, context, symbol)
        before = oracle.level
        level, world.breakers[number + 1] = _of_underlying(world, context, number)
        world.oracles[number] = replace(oracle, level=level)
    if level != before:
        context.emit("BreakerMoved", symbol, level)
    return b""


def highest(world: World) -> int:
    """The greatest level of all: that of what concerns the whole rollup."""
    level = world.globals.level
    for oracle in world.oracles.values():
        if oracle.level > level:  # noqa: PLR1730 - every call asks, and this takes a third of the time
            level = oracle.level
    return level


def require_allowed(world: World, context: Context, call: Call) -> None:
    """Refuse what the breakers don't allow now.

    What adds risk is refused from the first level on by :func:`rollup_node.engines.options.transition.oracle.require_fresh`.

    Raises:
        Refused: ``BreakerOpen``.
    """
    level = highest(world)
    if level < Level.CANCEL_ONLY or context.from_l1 or call.function.system:
        return
    if call.function.name in _TRADING:
        for series in _TRADING[call.function.name](call.arguments):
            found = world.series.get(series)
            if found is not None:
                _require(world, context, found.underlying, Level.CANCEL_ONLY)
    elif call.function.target not in (ORACLE, LIQUIDATION) and call.function.name not in _CARRIERS:
        require_thawed(world, context)


def require_thawed(world: World, context: Context) -> None:
    """Refuse what a frozen rollup doesn't do.

    Raises:
        Refused: ``BreakerOpen``.
    """
    level = highest(world)
    if level >= Level.FROZEN and not context.from_l1:
        raise Refused("BreakerOpen", WHOLE, level)


def count_withdrawal(world: World, context: Context, amount: int) -> None:
    """Count what leaves for L1 against the cap, where there is one.

    Raises:
        Refused: ``WithdrawalCapped``: it is more than what may still leave in this window. Never where L1 forces it.
    """
    if highest(world) < Level.WITHDRAWALS_CAPPED:
        return
    parameters, now = context.parameters, _memory(world, WHOLE_LEAF)
    if context.timestamp - now.capped >= parameters.withdrawal_window:
        held = world.globals.vault // WEI_PER_CASH
        now = replace(
            now,
            capped=context.timestamp,
            allowed=held * parameters.withdrawal_cap_ppm // PARTS,
            withdrawn=0,
        )
    left = max(0, now.allowed - now.withdrawn)
    if amount > left and not context.from_l1:
        raise Refused("WithdrawalCapped", amount, left)
    world.breakers[WHOLE_LEAF] = replace(now, withdrawn=now.withdrawn + amount)


def _require(world: World, context: Context, underlying: int, below: Level) -> None:
    level = max(world.globals.level, world.oracles[underlying].level)
    if level >= below:
        raise Refused("BreakerOpen", context.parameters.markets[underlying].symbol, level)


def _memory(world: World, leaf: int) -> Breaker:
    return world.breakers.get(leaf) or Breaker()


def _of_underlying(world: World, context: Context, underlying: int) -> tuple[int, Breaker]:
    """Level and memory that an underlying's breaker has in this block."""
    parameters, oracle = context.parameters, world.oracles[underlying]
    now, demand = _memory(world, underlying + 1), Level.NORMAL
    if oracle.sequence:
        if parameters.breaker_deviation_ppm:
            now = _heard(context, oracle, now)
            figures = now.spot, now.previous, now.fast, now.slow
            demand = max(demand, by_deviations(*figures, parameters.breaker_deviation_ppm))
        if parameters.breaker_heartbeat:
            age = context.timestamp - oracle.timestamp
            longest = max(parameters.breaker_heartbeat, parameters.max_oracle_age)
            demand = max(demand, by_age(age, parameters.breaker_heartbeat, longest))
        least = WAD * parameters.breaker_confidence_ppm // PARTS
        demand = max(demand, by_confidence(oracle.confidence, least))
        if (
            parameters.breaker_open_interest
            and _interest(world, underlying) > parameters.breaker_open_interest
        ):
            demand = max(demand, Level.REDUCE_ONLY)
    level, held = moved(oracle.level, now.held, demand, context.timestamp, parameters.breaker_cool_off)
    if level < Level.REDUCE_ONLY <= oracle.level and len(oracle.signers) < parameters.signers_needed:
        level, held = Level.REDUCE_ONLY, now.held  # too few are left to say anything, and none comes back
    return level, replace(now, held=held)


def _heard(context: Context, oracle: Oracle, before: Breaker) -> Breaker:
    """What is remembered once the feed has spoken: the averages are of the price that held until then."""
    if oracle.sequence == before.sequence:
        return before
    spot, seconds = before.spot or oracle.spot, oracle.timestamp - before.timestamp
    parameters = context.parameters
    return replace(
        before,
        sequence=oracle.sequence,
        timestamp=oracle.timestamp,
        spot=oracle.spot,
        previous=spot,
        fast=followed(before.fast or spot, spot, seconds, parameters.breaker_fast_seconds),
        slow=followed(before.slow or spot, spot, seconds, parameters.breaker_slow_seconds),
    )


def _interest(world: World, underlying: int) -> int:
    """Contracts of an underlying that are held long, 1e-4."""
    live = (
        one.open_interest
        for one in world.series.values()
        if one.underlying == underlying and one.status == LIVE
    )
    return sum(live) // 2


def _of_whole(world: World, context: Context) -> tuple[int, Breaker]:
    """Level and memory that the rollup's own breaker has in this block."""
    parameters, now, demand = context.parameters, _memory(world, WHOLE_LEAF), Level.NORMAL
    if parameters.breaker_insolvency:
        held = world.globals.vault // WEI_PER_CASH
        freeze = parameters.breaker_freeze_ppm
        bearable = held * freeze // PARTS if freeze else None
        demand = by_deficit(deficit(world, context), world.globals.insurance, bearable)
    if parameters.breaker_volume:
        total = world.earnings.volume
        if context.timestamp - now.window >= parameters.breaker_window:
            now = replace(now, window=context.timestamp, volume=total)
        elif total - now.volume > parameters.breaker_volume:
            demand = max(demand, Level.REDUCE_ONLY)
    level, held_at = moved(
        world.globals.level, now.held, demand, context.timestamp, parameters.breaker_cool_off
    )
    return level, replace(now, held=held_at)


def deficit(world: World, context: Context) -> int:
    """What accounts in liquidation owe beyond all that they have, micro-USD."""
    flagged = [number for number, account in world.accounts.items() if account.flags & LIQUIDATING]
    return sum(max(0, -margin_of(world, context, number).equity) for number in flagged)
