"""The figures of the margin rules, all in one place: a rollup's topology may choose others. Pure data."""

from dataclasses import dataclass
from typing import Final

from rollup_node.engines.options.values import WAD


@dataclass(frozen=True, slots=True)
class RiskParameters:
    """Shares are parts per million.

    The defaults are the portfolio figures of the issue, and for the standard mode those of Derive's v2
    contracts: an established venue's, in the range of others'.
    """

    initial: int = 1_250_000
    """Initial margin of maintenance margin, portfolio mode; not below one."""
    short_floor: int = 5_000
    """Least margin of a short option, of its forward: for what no scenario has."""
    confidence_limit: int = 55 * WAD // 100
    """Oracle confidence below which initial margin grows, 1e-18."""
    standard_initial: int = 150_000
    """Margin of an isolated short option at the money, of spot, besides its mark."""
    standard_initial_least: int = 130_000
    """The same however far out of the money."""
    standard_maintenance: int = 90_000
    """Maintenance margin of the same; not above ``standard_initial_least``."""


DEFAULT_PARAMETERS: Final = RiskParameters()
