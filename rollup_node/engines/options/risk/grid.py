"""Sixteen scenarios of spot and volatility, as in CME's SPAN, with the sizes of crypto markets. Pure.

====================  ==================  ========
spot                  volatility          weight
====================  ==================  ========
same                  up, down            all
5, 10, 15 % up/down   up, down            all
50 % up/down          up                  32 %
====================  ==================  ========

Volatility moves by 45 % up and 25 % down at thirty days, and by the root of the time left otherwise: near
expiries swing more. The last two are weighted, for a move that large is rare and has warning.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from typing import Final

from rollup_node.engines.options.pricing.black76 import Priced, call_put
from rollup_node.engines.options.values import PARTS, SECONDS_PER_DAY


@dataclass(frozen=True, slots=True)
class Scenario:
    """One move; parts per million."""

    spot: int
    """Change of the forward, of itself."""
    volatility_rises: bool
    weight: int = PARTS
    """Of the loss that counts."""


SCENARIOS: Final = (
    *(Scenario(spot, rises) for spot in (0, 50_000, -50_000, 100_000, -100_000) for rises in (True, False)),
    *(Scenario(spot, rises) for spot in (150_000, -150_000) for rises in (True, False)),
    *(Scenario(spot, True, 320_000) for spot in (500_000, -500_000)),
)
"""In the order of a risk row's changes."""

_RISE: Final = 450_000
_FALL: Final = 250_000
_LEAST_VOLATILITY: Final = 50_000
"""Of itself, after a fall."""
_REFERENCE_S: Final = 30 * SECONDS_PER_DAY
_CACHED: Final = 4_096
"""Strikes; a call and its put share one."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """One strike at its own market and in each scenario."""

    mark: Priced
    moved: tuple[Priced, ...]


@lru_cache(maxsize=_CACHED)
def ladder(forward: int, strike: int, volatility: int, seconds: int, discount: int) -> Ladder:
    """Price a strike in all scenarios; arguments as of ``call_put``.

    Raises:
        Overflow: a price of it isn't defined.
    """
    root, risen = _root(seconds), risen_volatility(volatility, seconds)
    fallen = volatility * max(PARTS - _FALL * root // PARTS, _LEAST_VOLATILITY) // PARTS
    moved = (
        call_put(
            max(forward * (PARTS + scenario.spot) // PARTS, 1),
            strike,
            risen if scenario.volatility_rises else fallen,
            seconds,
            discount,
        )
        for scenario in SCENARIOS
    )
    return Ladder(call_put(forward, strike, volatility, seconds, discount), tuple(moved))


def risen_volatility(volatility: int, seconds: int) -> int:
    """The highest of any scenario, 1e-18.

    Args:
        volatility: The strike's own.
        seconds: To expiry.
    """
    return volatility * (PARTS + _RISE * _root(seconds) // PARTS) // PARTS


def _root(seconds: int) -> int:
    """Of thirty days in the time left, parts per million."""
    return isqrt(_REFERENCE_S * PARTS * PARTS // max(seconds, SECONDS_PER_DAY))
