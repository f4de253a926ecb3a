"""Risk rows: what the margin rules need to know of a series, made from the oracle's state alone. Pure.

::

    OracleState, Terms ─► grid.ladder ─► RiskRow (held in state, one leaf) ─┐
    OracleState, Terms, RiskParameters ─────────────────────────────────────┴► SeriesRisk (derived, kept while both last)

A ``RiskRow`` is what a fraud proof shows: seventeen numbers of 64 bits. A ``SeriesRisk`` adds what follows
from it: the surcharges of shorts, and the sixteen changes packed as lanes of one large integer, so that a dot
product over positions takes one multiplication for each, exact at any size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from rollup_node.engines.options.risk.grid import SCENARIOS, ladder
from rollup_node.engines.options.risk.parameters import DEFAULT_PARAMETERS, RiskParameters
from rollup_node.engines.options.values import PARTS, WAD, Overflow, ceil_divide, int64

LANE_BITS: Final = 192
"""Two factors of 64 bits and 2**64 of them summed."""
FLOOR_LANE: Final = len(SCENARIOS)
"""After those of the scenarios."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a series is."""

    series: int
    underlying: int
    expiry: int
    """Unix seconds."""
    strike: int
    """Micro-USD."""
    is_call: bool

    def payoff(self, price: int) -> int:
        """What one contract pays at a settlement price, micro-USD."""
        return max(price - self.strike if self.is_call else self.strike - price, 0)


@dataclass(frozen=True, slots=True)
class OracleState:
    """What the feed's signers said last of one underlying."""

    underlying: int
    spot: int
    """Micro-USD."""
    forwards: Mapping[int, int]
    """Micro-USD by expiry."""
    volatilities: Mapping[int, int]
    """1e-18 per year by series; those of a strike's call and put are one number, or parity makes no sense."""
    discount: int
    """Of all expiries, 1e-18."""
    confidence: int
    """1e-18; one is certain."""
    sequence: int
    timestamp: int
    """Unix seconds; the time that options are priced at."""


@dataclass(frozen=True, slots=True)
class RiskRow:
    """One series as the margin rules see it."""

    mark: int
    """Micro-USD per contract."""
    changes: tuple[int, ...]
    """By scenario: weighted change of the mark, micro-USD, rounded down."""
    sequence: int
    """The oracle's, that this was made from."""


@dataclass(frozen=True, slots=True)
class SeriesRisk:
    """A risk row and what follows from it."""

    terms: Terms
    row: RiskRow
    underlying: int
    mark: int
    lanes: int
    """The changes, ``LANE_BITS`` apart."""
    short_lanes: int
    """The same with the floor as one more change: what a short contract loses at least."""
    falls: int
    """Lanes of what a bid's contract loses: the changes below zero, without their sign."""
    rises: int
    """Lanes of what an offered contract loses: the changes above zero."""
    short_floor: int
    """Least margin per short contract, micro-USD."""
    contingency: int
    """Added to initial margin per short contract while the oracle isn't sure."""
    isolated_initial: int
    """Standard mode: per short contract besides its mark, micro-USD."""
    isolated_maintenance: int


def risk_row(terms: Terms, oracle: OracleState) -> RiskRow:
    """Turn the oracle's state into a series' risk row.

    Raises:
        Overflow: the oracle says nothing of this series, or its prices aren't defined.
    """
    forward, volatility = _known(terms, oracle)
    seconds = max(terms.expiry - oracle.timestamp, 0)
    found = ladder(forward, terms.strike, volatility, seconds, oracle.discount)
    side = "call" if terms.is_call else "put"
    mark: int = getattr(found.mark, side)
    changes = (
        int64((getattr(moved, side) - mark) * scenario.weight // PARTS)
        for moved, scenario in zip(found.moved, SCENARIOS, strict=True)
    )
    return RiskRow(mark, tuple(changes), oracle.sequence)


def series_risk(
    terms: Terms, row: RiskRow, oracle: OracleState, parameters: RiskParameters = DEFAULT_PARAMETERS
) -> SeriesRisk:
    """Derive what margin needs from a row and the oracle's state.

    Raises:
        Overflow: the oracle says nothing of this series.
    """
    forward, _ = _known(terms, oracle)
    doubt = WAD - oracle.confidence if oracle.confidence < parameters.confidence_limit else 0
    away = max(terms.strike - oracle.spot if terms.is_call else oracle.spot - terms.strike, 0)
    short_floor = ceil_divide(forward * parameters.short_floor, PARTS)
    return SeriesRisk(
        terms=terms,
        row=row,
        underlying=terms.underlying,
        mark=row.mark,
        lanes=packed(row.changes),
        short_lanes=packed((*row.changes, short_floor)),
        falls=packed(tuple(max(-change, 0) for change in row.changes)),
        rises=packed(tuple(max(change, 0) for change in row.changes)),
        short_floor=short_floor,
        contingency=ceil_divide(forward * doubt, WAD),
        isolated_initial=max(
            ceil_divide(oracle.spot * parameters.standard_initial, PARTS) - away,
            ceil_divide(oracle.spot * parameters.standard_initial_least, PARTS),
        ),
        isolated_maintenance=ceil_divide(oracle.spot * parameters.standard_maintenance, PARTS),
    )


def packed(numbers: tuple[int, ...]) -> int:
    """Signed numbers as lanes of one integer; the first is the lowest."""
    return sum(number << LANE_BITS * lane for lane, number in enumerate(numbers))


def _known(terms: Terms, oracle: OracleState) -> tuple[int, int]:
    forward, volatility = oracle.forwards.get(terms.expiry), oracle.volatilities.get(terms.series)
    if forward is None or volatility is None or oracle.underlying != terms.underlying:
        raise Overflow(
            f"the oracle of underlying {oracle.underlying} has no forward or volatility of series {terms.series} "
            f"(underlying {terms.underlying}, expiry {terms.expiry}); it must say one before the series is priced"
        )
    return forward, volatility
