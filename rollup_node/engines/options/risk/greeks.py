"""What accounts and books are exposed to: sums of contracts' Greeks. Floats, for monitoring alone.

A vector of Greeks per series (``pricing.vectors``) times a matrix of quantities: one product for all
accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rollup_node.engines.options.pricing.vectors import Floats, Greeks, greeks
from rollup_node.engines.options.risk.rows import OracleState, Terms
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT, SECONDS_PER_YEAR, WAD

_FIGURES: Final = tuple(Greeks.__slots__)


@dataclass(frozen=True, slots=True)
class Side:
    """Open orders of one series as quantities."""

    bids: int
    asks: int


@dataclass(frozen=True, slots=True)
class BookGreeks:
    """What makers of a series would be exposed to if a whole side filled."""

    bought: Greeks
    """All bids."""
    sold: Greeks
    """All offers, as the sellers see it."""


def series_greeks(terms: Sequence[Terms], oracle: OracleState) -> Greeks:
    """Greeks of one contract of each series of an underlying."""
    forwards = [oracle.forwards[one.expiry] / PRICE_UNIT for one in terms]
    years = [max(one.expiry - oracle.timestamp, 0) / SECONDS_PER_YEAR for one in terms]
    return greeks(
        np.array(forwards),
        np.array([one.strike / PRICE_UNIT for one in terms]),
        np.array([oracle.volatilities[one.series] / WAD for one in terms]),
        np.array(years),
        np.full(len(terms), oracle.discount / WAD),
        np.array([one.is_call for one in terms]),
    )


def account_greeks(quantities: npt.NDArray[np.int64], contracts: Greeks) -> Greeks:
    """Greeks of each account; ``price`` is what its positions are worth.

    Args:
        quantities: 1e-4 contracts, a row per account and a column per series.
        contracts: Of the columns' series.
    """
    columns: Floats = np.column_stack([getattr(contracts, figure) for figure in _FIGURES])
    return Greeks(*(quantities / QUANTITY_UNIT @ columns).T)


def book_greeks(sides: Sequence[Side], contracts: Greeks) -> BookGreeks:
    """Greeks of what rests in each series' book."""

    def scaled(quantities: list[int]) -> Greeks:
        amounts = np.array(quantities) / QUANTITY_UNIT
        return Greeks(*(amounts * getattr(contracts, figure) for figure in _FIGURES))

    return BookGreeks(scaled([side.bids for side in sides]), scaled([-side.asks for side in sides]))
