"""What is booked, and what comes of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from enum import StrEnum
from functools import reduce
from types import MappingProxyType

EXACT = Context(prec=80)
"""More digits than any sum of wei times a price has."""


def total_of(amounts: Iterable[Decimal]) -> Decimal:
    """Their exact sum."""
    return reduce(EXACT.add, amounts, Decimal(0))


class Purpose(StrEnum):
    """What an L1 transaction of the operator is for."""

    BATCH = "batch"
    PROPOSAL = "proposal"


class FeeGroup(StrEnum):
    """Kinds of fees as a table has room for them."""

    TRADING = "trading"
    GAS = "gas"
    LIQUIDATION = "liquidation"
    WITHDRAWAL = "withdrawal"
    OTHER = "other"


GROUPS = MappingProxyType(
    {
        "maker": FeeGroup.TRADING,
        "taker": FeeGroup.TRADING,
        "amm": FeeGroup.TRADING,
        "combo": FeeGroup.TRADING,
        "gas": FeeGroup.GAS,
        "base": FeeGroup.GAS,
        "priority": FeeGroup.GAS,
        "l1_data": FeeGroup.GAS,
        "liquidation": FeeGroup.LIQUIDATION,
        "withdrawal": FeeGroup.WITHDRAWAL,
    }
)
"""By kind, of options rollups and of EVM rollups; what isn't here is flat and small: :attr:`FeeGroup.OTHER`."""


@dataclass(frozen=True, slots=True)
class Paid:
    """A transaction that the operator has paid for on L1."""

    hash: str
    block: int
    purpose: Purpose
    weights: Mapping[str, int]
    """By rollup: how much of it is whose. All zero: everybody's alike."""
    gas: int
    wei: int
    """For gas and blob gas."""
    blob_gas: int = 0
    succeeded: bool = True


@dataclass(frozen=True, slots=True)
class Earned:
    """What a rollup has taken in, as it counts itself."""

    rollup: str
    engine: str
    unit: int
    """Of its amounts, in a whole coin: 10^18 where it is ether, 10^6 where it is dollars."""
    dollars: bool
    """Whether its coin is the dollar; otherwise ether."""
    kinds: Mapping[str, int]
    """Gross, by kind."""
    insurance: int = 0
    """What of it the insurance fund has got."""
    block: int = 0
    """As of which block."""


@dataclass(frozen=True, slots=True)
class Row:
    """One rollup's account, or that of all; in the statement's currency."""

    name: str
    engine: str
    kinds: Mapping[str, Decimal]
    """Gross fees by kind."""
    insurance: Decimal
    """The fund's share."""
    batches: Decimal
    """L1 cost of batches."""
    proposals: Decimal
    """L1 cost of proposals."""
    subsidy: Decimal
    """What the operator has put in."""
    count: Mapping[Purpose, int] = field(default_factory=dict)
    """L1 transactions that were, at least in part, this rollup's."""
    block: int | None = None
    """As of which of its blocks."""

    @property
    def groups(self) -> dict[FeeGroup, Decimal]:
        """Gross fees as a table has them."""
        found = dict.fromkeys(FeeGroup, Decimal(0))
        for kind, amount in self.kinds.items():
            group = GROUPS.get(kind, FeeGroup.OTHER)
            found[group] = EXACT.add(found[group], amount)
        return found

    @property
    def fees(self) -> Decimal:
        """What the sequencer has earned."""
        return EXACT.subtract(total_of(self.kinds.values()), self.insurance)

    @property
    def cost(self) -> Decimal:
        """What L1 has cost."""
        return EXACT.add(self.batches, self.proposals)

    @property
    def result(self) -> Decimal:
        """Profit, or loss below zero, before the subsidy."""
        return EXACT.subtract(self.fees, self.cost)


@dataclass(frozen=True, slots=True)
class Statement:
    """All of a devnet."""

    devnet: str
    currency: str
    """``USD``, or ``ETH`` where there is no market to say what that is worth."""
    spot: Decimal | None
    """Dollars for an ether."""
    l1_block: int
    """Costs are those up to it."""
    rows: tuple[Row, ...]
    """By rollup."""
    total: Row
    gas: Mapping[Purpose, int]
    """Used on L1."""
    failed: int
    """Transactions that failed there; they cost as well."""
