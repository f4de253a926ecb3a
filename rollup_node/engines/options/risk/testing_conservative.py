"""For tests: what a custodian asks who doesn't trust the engine, more than its maintenance margin for every portfolio, by bounds instead of scenarios.

By expiry of an underlying, the lesser of two; micro-USD that cash and marks must come to::

    bounded (no more calls sold than bought)
        marks + the most that can be lost at any settlement price + what a crooked smile can hide of longs
    naked
        marks of longs + for each short: max(worth after a shock of the spot, mark + a share of spot)
        worth after a shock  <=  D (intrinsic value there + P min(strike, spot there)),   P: worth of an option at the money, of its strike

and by underlying at least the floor of shorts. A stale oracle doubles the shock. The naked rule is Opyn's, with its table of time values
replaced by what they bound: an option's time value is greatest at the money. The engine never asks for more (I12), in either mode, whatever
the oracle says, because

* a scenario is a price of the forward within the shock and a volatility not above the risen one; there no short is worth more than ``naked``
  says, and no long less than nothing. Weights make losses smaller.
* at one volatility for all strikes a portfolio is worth no less than its worst payoff, discounted. Strikes with a volatility of their own
  lessen that by what longs lose against the highest of them: at most ``0.4 D min(strike, spot) (w_highest - w)``, with ``w`` the standard
  deviation at expiry; 0.4 is above the normal density's peak.
* the standard mode asks for the lesser of all shorts alone (mark and a share of spot) and the same maximum loss.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from rollup_node.engines.options.pricing.black76 import call_put, width
from rollup_node.engines.options.pricing.normal import BITS
from rollup_node.engines.options.risk.combos import lowest_payoff
from rollup_node.engines.options.risk.grid import risen_volatility
from rollup_node.engines.options.risk.rows import OracleState, SeriesRisk
from rollup_node.engines.options.values import PARTS, QUANTITY_UNIT, WAD, ceil_divide, int128

SHOCK: Final = 500_000
"""Of the forward, parts per million: the farthest scenario, without its weight."""
_ROUNDING: Final = 4
"""Micro-USD per contract: two prices, each rounded and good to one unit, and a change rounded down."""

_Held = Sequence[tuple[int, SeriesRisk]]


def requirement(
    positions: Iterable[tuple[int, int]],
    risks: Mapping[int, SeriesRisk],
    oracles: Mapping[int, OracleState],
    *,
    stale: bool = False,
) -> int:
    """What equity must be, micro-USD.

    Args:
        positions: Series and signed quantity; each series once.
        risks: Of every series in them.
        oracles: By underlying, those that the risks were made from.
        stale: Whether the oracle's word is old.

    Raises:
        Overflow: a bound isn't defined, or doesn't fit 128 bits.
    """
    held = [(quantity, risks[series]) for series, quantity in positions]
    total = 0
    for underlying, some in _grouped(held, lambda one: one.underlying):
        asked = sum(
            _of_expiry(part, oracles[underlying], 2 * SHOCK if stale else SHOCK)
            for _, part in _grouped(some, lambda one: one.terms.expiry)
        )
        total += max(asked, _floor(some), 0)
    return int128(ceil_divide(total, QUANTITY_UNIT))


def _of_expiry(held: _Held, oracle: OracleState, shock: int) -> int:
    """Micro-USD times quantity; so are all below but :func:`_worth`."""
    value = sum(quantity * risk.mark for quantity, risk in held)
    rounding = sum(abs(quantity) * _ROUNDING for quantity, _ in held)
    naked = sum(-quantity * _worth(risk, oracle, shock) for quantity, risk in held if quantity < 0)
    lowest, slope = lowest_payoff([(quantity, risk.terms) for quantity, risk in held])
    if slope < 0:
        return value + naked + rounding
    most = ceil_divide(max(-lowest, 0) * max(oracle.discount, WAD), WAD)
    return value + min(naked, most + _hidden(held, oracle, shock)) + rounding


def _worth(risk: SeriesRisk, oracle: OracleState, shock: int) -> int:
    """The most that a short contract may cost to buy back, micro-USD."""
    alone = risk.mark + risk.isolated_maintenance
    if _is_fixed(risk):
        return alone
    forward, strike = oracle.forwards[risk.terms.expiry], risk.terms.strike
    moved = ceil_divide(forward * (PARTS + shock), PARTS)
    if not risk.terms.is_call:
        moved = max(forward * (PARTS - shock) // PARTS, 0)
    seconds, volatility = _time_and_volatility(risk, oracle)
    middle = max(min(strike, moved), 1)
    time_value = call_put(middle, middle, volatility, seconds, oracle.discount).call
    intrinsic = max(moved - strike if risk.terms.is_call else strike - moved, 0)
    return max(alone, time_value + ceil_divide(intrinsic * oracle.discount, WAD))


def _hidden(held: _Held, oracle: OracleState, shock: int) -> int:
    """What longs may be worth less than at the highest volatility of their expiry."""
    live = [(quantity, risk) for quantity, risk in held if not _is_fixed(risk)]
    widths = [width(*_time_and_volatility(risk, oracle)[::-1]) for _, risk in live]
    total = 0
    for (quantity, risk), its in zip(live, widths, strict=True):
        moved = ceil_divide(oracle.forwards[risk.terms.expiry] * (PARTS + shock), PARTS)
        most = min(risk.terms.strike, moved) * oracle.discount * (max(widths) - its) * 2
        total += max(quantity, 0) * ceil_divide(most, 5 * WAD << BITS)
    return total


def _floor(held: _Held) -> int:
    return sum(-quantity * risk.short_floor for quantity, risk in held if quantity < 0)


def _is_fixed(risk: SeriesRisk) -> bool:
    """Whether its settlement price is known: a live one has a forward, and so a floor."""
    return risk.short_floor == 0


def _time_and_volatility(risk: SeriesRisk, oracle: OracleState) -> tuple[int, int]:
    """Seconds left, and the highest volatility of any scenario."""
    seconds = max(risk.terms.expiry - oracle.timestamp, 0)
    return seconds, risen_volatility(oracle.volatilities[risk.terms.series], seconds)


def _grouped(
    held: _Held, key: Callable[[SeriesRisk], int]
) -> Iterable[tuple[int, list[tuple[int, SeriesRisk]]]]:
    """By a property of the series."""
    ordered = sorted(held, key=lambda one: key(one[1]))
    return ((name, list(some)) for name, some in groupby(ordered, key=lambda one: key(one[1])))
