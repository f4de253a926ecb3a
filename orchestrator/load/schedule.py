"""What is sent when: independent streams of arrivals, one for each kind of work. Pure and seeded.

The load is *open loop*: arrivals are a Poisson process that does not care how the devnet fares, so an outage shows as what it is, many
operations that waited, and not as one (coordinated omission). Every stream draws from a generator of its own: more deposits do
not move a single bundle.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum


class Work(StrEnum):
    """Kinds of work."""

    STRATEGY = "strategy"
    """A bundle of option trades on several rollups; about a third has a leg that must fail."""
    TRANSFERS = "transfers"
    """A bundle of two transfers on two rollups."""
    LOCAL = "local"
    """A transfer on one rollup."""
    WITHDRAWAL = "withdrawal"
    DEPOSIT = "deposit"


BUNDLES = (Work.STRATEGY, Work.TRANSFERS)
"""Work that is sent as a bundle."""


@dataclass(frozen=True, slots=True)
class Mix:
    """How much of each kind of work there is, in operations for each bundle of the load's rate.

    Raises:
        ValueError: a share is negative.
    """

    strategy: float = 0.5
    transfers: float = 0.5
    local: float = 0.4
    withdrawal: float = 0.02
    deposit: float = 0.04

    def __post_init__(self) -> None:
        if wrong := [field.name for field in fields(self) if getattr(self, field.name) < 0]:
            raise ValueError(f"shares of a load can't be negative: {', '.join(wrong)}")

    def share(self, work: Work) -> float:
        """Operations of a kind for each bundle of the rate."""
        return float(getattr(self, work.value))


def arrivals(rate: float, seed: object) -> Iterator[float]:
    """Seconds from the beginning at which operations are to be sent, ascending, without end; none if the rate is zero.

    Args:
        rate: operations per second on average.
        seed: of the stream.
    """
    rng = random.Random(str(seed))
    moment = 0.0
    while rate > 0:
        moment += rng.expovariate(rate)
        yield moment
