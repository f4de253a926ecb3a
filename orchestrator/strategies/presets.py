"""Strategies by name, drawn from the market: strikes by their distance from the spot, the last expiry. Pure.

A distance counts listed strikes from the one nearest to the spot, so a preset works on any market that lists enough.
Buying is what the field calls the long side of the structure; ``side: sell`` turns every leg round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from orchestrator.market.units import PRICE_SCALE, price_units, quantity_units
from orchestrator.strategies.errors import PresetError
from orchestrator.strategies.model import Kind, Leg, Side, Strategy
from orchestrator.strategies.parameters import Parameters, read_parameters
from orchestrator.topology.plan import MarketPlan

_BUY, _SELL, _CALL, _PUT = Side.BUY, Side.SELL, Kind.CALL, Kind.PUT
_COMMON = ("strikes", "quantity", "expiry", "rollups")
_DEFAULTS = Parameters()

Shape: TypeAlias = Sequence[tuple[Side, Kind, int, int]]
"""Legs of a structure: side when bought, kind, which of its strikes (from 0, ascending), quantity ratio."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named way to make a strategy."""

    name: str
    summary: str
    distances: Callable[[Parameters], tuple[int, ...]]
    """Distances of the strikes from the spot, ascending."""
    shape: Callable[[Kind], Shape]
    """The legs; the kind only matters to presets that have it as a parameter."""
    own: tuple[str, ...]
    """Parameters besides those that all presets have."""
    defaults: Parameters = _DEFAULTS
    equal_spacing: bool = False
    """Whether the strikes must lie equally far apart."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that the preset uses."""
        return ("side", *self.own, *_COMMON)


_ALL = (
    Preset(
        "vertical",
        "Bounded bet on a direction: bought, a bull spread of calls or a bear spread of puts.",
        lambda chosen: (0, chosen.width),
        lambda kind: (
            ((_BUY, _CALL, 0, 1), (_SELL, _CALL, 1, 1))
            if kind is _CALL
            else ((_BUY, _PUT, 1, 1), (_SELL, _PUT, 0, 1))
        ),
        ("kind", "width"),
    ),
    Preset(
        "straddle",
        "Bet on movement either way: a call and a put of one strike.",
        lambda _: (0,),
        lambda _: ((_BUY, _CALL, 0, 1), (_BUY, _PUT, 0, 1)),
        (),
    ),
    Preset(
        "strangle",
        "Cheaper bet on a large movement: a put below and a call above the spot.",
        lambda chosen: (-chosen.width, chosen.width),
        lambda _: ((_BUY, _PUT, 0, 1), (_BUY, _CALL, 1, 1)),
        ("width",),
    ),
    Preset(
        "butterfly",
        "Bet on a price: pays most at the middle of three equally spaced strikes, and never less than nothing.",
        lambda chosen: (-chosen.width, 0, chosen.width),
        lambda kind: ((_BUY, kind, 0, 1), (_SELL, kind, 1, 2), (_BUY, kind, 2, 1)),
        ("kind", "width"),
        equal_spacing=True,
    ),
    Preset(
        "iron_condor",
        "Bounded bet on calm (sold, the default): a put spread below and a call spread above the spot.",
        lambda chosen: (-chosen.body - chosen.wing, -chosen.body, chosen.body, chosen.body + chosen.wing),
        lambda _: ((_SELL, _PUT, 0, 1), (_BUY, _PUT, 1, 1), (_BUY, _CALL, 2, 1), (_SELL, _CALL, 3, 1)),
        ("body", "wing"),
        defaults=Parameters(side=_SELL),
    ),
    Preset(
        "collar",
        "Protection of a holding, paid with its upside: a put below, a sold call above; the holding isn't traded.",
        lambda chosen: (-chosen.width, chosen.width),
        lambda _: ((_BUY, _PUT, 0, 1), (_SELL, _CALL, 1, 1)),
        ("width",),
    ),
    Preset(
        "box",
        "A loan made of options: pays the distance of its strikes whatever happens.",
        lambda chosen: (-chosen.width, chosen.width),
        lambda _: ((_BUY, _CALL, 0, 1), (_SELL, _CALL, 1, 1), (_BUY, _PUT, 1, 1), (_SELL, _PUT, 0, 1)),
        ("width",),
    ),
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ALL}
"""By name, in the order in which a reader meets them."""


def build(name: str, market: MarketPlan, **given: object) -> Strategy:
    """Make a strategy from a preset.

    Args:
        name: a key of ``PRESETS``.
        market: what is listed.
        given: parameters by name (``parameters.MEANINGS``), as Python objects or as text.

    Raises:
        PresetError: no such preset or parameter, a value of the wrong kind, or strikes that aren't listed.
        UnitError: a quantity that the market can't express.
        StrategyError: the resulting legs make no sense.
    """
    preset = PRESETS.get(name)
    if preset is None:
        raise PresetError(f"no preset is called {name!r}", f"the presets are {', '.join(PRESETS)}")
    chosen = read_parameters(name, preset.parameters, preset.defaults, given)
    if chosen.expiry is not None and chosen.expiry not in market.expiries_s:
        raise PresetError(
            f"no series expires {chosen.expiry:g} s after the start", f"there are {list(market.expiries_s)}"
        )
    strikes = _strikes(preset, market, chosen)
    size = quantity_units(chosen.quantity)
    legs = tuple(
        Leg(
            side=side if chosen.side is _BUY else side.opposite,
            kind=kind,
            underlying=market.underlying,
            strike=price_units(strikes[place]),
            quantity=size * ratio,
            expiry_s=chosen.expiry,
            rollup=chosen.rollups[index % len(chosen.rollups)],
        )
        for index, (side, kind, place, ratio) in enumerate(preset.shape(chosen.kind))
    )
    return Strategy(name, legs, preset.summary)


def _strikes(preset: Preset, market: MarketPlan, chosen: Parameters) -> tuple[float, ...]:
    """The explicit strikes, or those at the chosen distances from the one nearest to the spot; in USD."""
    distances = preset.distances(chosen)
    strikes = (
        _at(market, distances)
        if chosen.strikes is None
        else _explicit(market, len(distances), chosen.strikes)
    )
    gaps = {price_units(high) - price_units(low) for low, high in pairwise(strikes)}
    if preset.equal_spacing and len(gaps) > 1:
        raise PresetError(
            f"a {preset.name} needs equally spaced strikes, not {list(strikes)} "
            f"(gaps {sorted(gap / PRICE_SCALE for gap in gaps)})",
            "choose another width or give strikes",
        )
    return strikes


def _at(market: MarketPlan, distances: Sequence[int]) -> tuple[float, ...]:
    listed = sorted(market.strikes)
    nearest = min(range(len(listed)), key=lambda index: abs(listed[index] - market.spot))
    places = [nearest + distance for distance in distances]
    if places[0] < 0 or places[-1] >= len(listed):
        raise PresetError(
            f"too few strikes are listed around {market.spot:g} for distances {list(distances)}: {listed}",
            "choose smaller distances, give strikes, or list more in the topology",
        )
    return tuple(listed[place] for place in places)


def _explicit(market: MarketPlan, count: int, strikes: tuple[float, ...]) -> tuple[float, ...]:
    if len(strikes) != count or list(strikes) != sorted(set(strikes)):
        raise PresetError(f"this preset takes {count} ascending strikes, got {list(strikes)}", "mend strikes")
    missing = [strike for strike in strikes if strike not in market.strikes]
    if missing:
        raise PresetError(f"strike {missing[0]:g} isn't listed", f"the market lists {list(market.strikes)}")
    return strikes
