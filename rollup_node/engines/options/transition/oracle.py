"""What the feed's signers say of a market: taken k of n, in order, fresh; and what happens to a signer who says two things at once."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from rollup_node.engines.options.risk.rows import risk_row
from rollup_node.engines.options.state.leaves import Oracle
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.actions import signer_of, update_digest
from rollup_node.engines.options.transactions.interfaces import BY_NAME
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import terms_of
from rollup_node.engines.options.values import INT64_MAX, WAD

LIVE: Final = 0
"""Status of a series that is traded."""
REDUCE_ONLY: Final = 1
"""Breaker: only what reduces risk is accepted."""


def find(world: World, context: Context, symbol: bytes) -> tuple[int, Oracle]:
    """Id and state of an underlying's oracle, by symbol."""
    for number, market in context.parameters.markets.items():
        if market.symbol == symbol and number in world.oracles:
            return number, world.oracles[number]
    raise Refused("UnknownUnderlying", symbol)


def require_fresh(world: World, context: Context, underlying: int) -> None:
    """Refuse what adds risk on old marks, or while the breaker is open."""
    oracle = world.oracles[underlying]
    symbol = context.parameters.markets[underlying].symbol
    level = max(oracle.level, world.globals.level)
    if level >= REDUCE_ONLY:
        raise Refused("BreakerOpen", symbol, level)
    if context.timestamp - oracle.timestamp > context.parameters.max_oracle_age:
        raise Refused("StaleOracle", symbol, oracle.timestamp)


def apply_update(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``update(value, signatures)``; before the block's rows are made, or not at all.

    One that comes later (its sender has done something else before in the block) would make marks look fresh that are as old as ever.
    """
    update, signatures = arguments
    if context.marked:
        raise Refused("WrongSection", BY_NAME["update"].selector)
    symbol, sequence, timestamp, spot, discount, confidence, forwards, volatilities = update
    number, oracle = find(world, context, symbol)
    latest = context.timestamp + context.parameters.future_seconds
    if sequence <= oracle.sequence or not oracle.timestamp < timestamp <= latest:
        raise Refused("UpdateOutOfOrder", sequence, timestamp)
    if timestamp < context.timestamp - context.parameters.max_oracle_age:
        raise Refused("StaleOracle", symbol, timestamp)
    _require_sound(update)
    _require_complete(world, number, timestamp, forwards, volatilities)
    _require_signers(oracle, context, update, signatures)
    windows, prices = _observed(world, context, number, timestamp)
    world.oracles[number] = replace(
        oracle,
        windows=windows,
        prices=prices,
        sequence=sequence,
        timestamp=timestamp,
        spot=spot,
        discount=discount,
        confidence=confidence,
        forwards=tuple(map(tuple, forwards)),
        volatilities=tuple(map(tuple, volatilities)),
        accumulated=_accumulated(oracle, timestamp),
    )
    context.risks.forget(number)
    _require_priced(world, context, number)
    context.emit("OracleUpdated", symbol, sequence, timestamp, spot)
    return b""


def apply_equivocation(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``proveEquivocation(one, oneSignature, other, otherSignature)``: the signer leaves; with too few left, only reducing goes on."""
    one, one_signature, other, other_signature = arguments
    number, oracle = find(world, context, one[0])
    signer = signer_of(update_digest(context.parameters.chain_id, one), one_signature)
    twice = signer == signer_of(update_digest(context.parameters.chain_id, other), other_signature)
    if not twice or one == other or one[:2] != other[:2] or signer not in oracle.signers:
        raise Refused("NoEquivocation")
    left = tuple(address for address in oracle.signers if address != signer)
    level = max(oracle.level, REDUCE_ONLY) if len(left) < context.parameters.signers_needed else oracle.level
    world.oracles[number] = replace(oracle, signers=left, level=level)
    context.emit("SignerRemoved", signer, one[0], one[1])
    if level != oracle.level:
        context.emit("BreakerMoved", one[0], level)
    return b""


def settlement_price(context: Context, oracle: Oracle, expiry: int) -> int | None:
    """The average spot before an expiry; None while it isn't known.

    It is known with the first update at or after the expiry. A feed that has gone silent doesn't hold up settlement for ever: after
    the longest age of its word, its last word counts until the expiry.
    """
    for known, price in oracle.prices:
        if known == expiry:
            return price
    if context.timestamp >= expiry + context.parameters.max_oracle_age:
        return _average(oracle, {one: rest for one, *rest in oracle.windows}.get(expiry), expiry)
    return None


def _accumulated(oracle: Oracle, time: int) -> int:
    """Sum of the spot times how long it held, until a time not before the last update; differences of it give every average."""
    return oracle.accumulated + oracle.spot * (time - oracle.timestamp) if oracle.timestamp else 0


def _average(oracle: Oracle, begun: Sequence[int] | None, expiry: int) -> int:
    """Average spot from where an expiry's window begun, rounded down."""
    if begun is None or begun[0] >= expiry:
        return oracle.spot
    start, accumulated = begun
    return (_accumulated(oracle, max(expiry, oracle.timestamp)) - accumulated) // (expiry - start)


def _observed(
    world: World, context: Context, number: int, timestamp: int
) -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int], ...]]:
    """What an update at a time means for expiries: windows that begin (expiry, start, sum until then), prices that are known now."""
    oracle = world.oracles[number]
    windows = {expiry: (start, total) for expiry, start, total in oracle.windows}
    prices = dict(oracle.prices)
    waiting = {one.expiry for one in world.series.values() if one.underlying == number and one.status == LIVE}
    for expiry in waiting:
        begin = max(expiry - context.parameters.twap_seconds, oracle.timestamp or timestamp)
        if expiry not in windows and begin <= timestamp:
            windows[expiry] = (begin, _accumulated(oracle, begin))
        if expiry <= timestamp and expiry not in prices:
            prices[expiry] = _average(oracle, windows.get(expiry), expiry)
    return (
        tuple((expiry, *windows[expiry]) for expiry in sorted(windows) if expiry in waiting),
        tuple((expiry, prices[expiry]) for expiry in sorted(prices) if expiry in waiting),
    )


def _require_sound(update: Any) -> None:
    """Numbers that no market has are refused; expiries and strikes come in order, each once."""
    _, _, _, spot, discount, confidence, forwards, volatilities = update
    expiries = [expiry for expiry, _ in forwards]
    places = [entry[:2] for entry in volatilities]
    if (
        not 0 < spot <= INT64_MAX  # a settlement price becomes a mark
        or not 0 < discount <= WAD
        or confidence > WAD
        or any(not price for _, price in forwards)
        or any(not volatility for _, _, volatility in volatilities)
        or expiries != sorted(set(expiries))
        or places != sorted(set(places))
    ):
        raise Refused("OutOfRange")


def _require_complete(world: World, number: int, timestamp: int, forwards: Any, volatilities: Any) -> None:
    """Every live series stays quoted: positions in one that isn't could not be margined."""
    expiries, places = {expiry for expiry, _ in forwards}, {entry[:2] for entry in volatilities}
    for one, series in sorted(world.series.items()):
        quoted = series.expiry in expiries and (series.expiry, series.strike) in places
        waits = series.underlying == number and series.status == LIVE and series.expiry > timestamp
        if waits and not quoted:
            raise Refused("SeriesUnquoted", one)


def _require_priced(world: World, context: Context, number: int) -> None:
    """Every live series has a price at these numbers (``Overflow`` otherwise): rows that can't be made would stop the section after this.

    It costs nothing twice: prices are remembered, and the rows that follow ask for the same ones.
    """
    said = context.risks.oracle(number)
    for one, series in sorted(world.series.items()):
        if series.underlying == number and series.status == LIVE and series.expiry > said.timestamp:
            risk_row(terms_of(world, one), said)


def _require_signers(oracle: Oracle, context: Context, update: Any, signatures: Any) -> None:
    needed = context.parameters.signers_needed
    if len(signatures) > len(oracle.signers):
        raise Refused("TooFewSigners", 0, needed)
    digest = update_digest(context.parameters.chain_id, update)
    signers = [signer_of(digest, signature) for signature in signatures]
    if signers != sorted(set(signers)) or not set(signers) <= set(oracle.signers) or len(signers) < needed:
        raise Refused("TooFewSigners", len(set(signers) & set(oracle.signers)), needed)
