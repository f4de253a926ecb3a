"""What a strategy is: named legs, in the market's integer units. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from bridge.wire.bundle import MAX_LEGS
from orchestrator.strategies.errors import StrategyError

AUTO: Final = "auto"
"""Rollup of a leg that may go anywhere: such legs are spread over the rollups in the order of their names."""


class Kind(StrEnum):
    """Which right an option gives."""

    CALL = "call"
    PUT = "put"


class Side(StrEnum):
    """Which end of a trade one is on."""

    BUY = "buy"
    SELL = "sell"

    @property
    def opposite(self) -> "Side":
        """The other end."""
        return Side.SELL if self is Side.BUY else Side.BUY


class ExecutionMode(StrEnum):
    """How the legs of a strategy are made to happen together."""

    AUTO = "auto"
    """As a bundle where one sequencer orders all the legs, else over the bridge."""
    BUNDLE = "bundle"
    """One atomic bundle at a sequencer."""
    BRIDGE = "bridge"
    """Escrow two-phase commit over L1."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One trade of a strategy.

    Raises:
        StrategyError: a quantity or strike that isn't positive, or a negative limit.
    """

    side: Side
    kind: Kind
    underlying: str
    """Symbol, such as ``ETH``."""
    strike: int
    """1e-6 USD per unit."""
    quantity: int
    """1e-4 units; positive."""
    expiry_s: float | None = None
    """One of the market's ``expiries_s``, seconds from the devnet's start; None means the last."""
    rollup: str = AUTO
    """A rollup's name, or ``auto``."""
    limit: int | None = None
    """Highest price to pay or lowest to accept, 1e-6 USD per unit; None means the quote with a tolerance."""

    def __post_init__(self) -> None:
        if self.quantity <= 0:
            raise StrategyError(
                f"a leg's quantity must be positive, got {self.quantity}", "say sell for a short leg"
            )
        if self.strike <= 0:
            raise StrategyError(
                f"a leg's strike must be positive, got {self.strike}", "choose a listed strike"
            )
        if self.limit is not None and self.limit < 0:
            raise StrategyError(
                f"a leg's limit can't be negative, got {self.limit}", "leave it out for a market order"
            )

    @property
    def signed_quantity(self) -> int:
        """1e-4 units; positive for a bought leg, negative for a sold one."""
        return self.quantity if self.side is Side.BUY else -self.quantity


@dataclass(frozen=True, slots=True)
class Strategy:
    """Legs that only make sense together.

    Raises:
        StrategyError: no legs, or more than a bundle holds.
    """

    name: str
    legs: tuple[Leg, ...]
    """In order of execution on each rollup."""
    summary: str = ""
    """One sentence for humans."""
    execution: ExecutionMode = ExecutionMode.AUTO
    """How its legs are made to happen together, unless whoever runs it says otherwise."""

    def __post_init__(self) -> None:
        if not 0 < len(self.legs) <= MAX_LEGS:
            raise StrategyError(
                f"strategy {self.name} has {len(self.legs)} legs; a bundle has 1 to {MAX_LEGS}",
                "split it into several strategies",
            )
