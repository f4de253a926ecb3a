"""A strategy over the bridge before it is opened: who takes part with which legs, by when it must be decided, what it is called. Pure.

The registry on L1 opens it for *participants*: the rollups, each with its legs, in the order in which the strategy first names them. Two times
bind it. ``decide_by``, on L1's clock, leaves the orders and votes as long as the topology's own waits may take, twice, and some slack;
``refund_after``, on the rollups' clocks, comes the registry's margin later, within which every decision arrives.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from eth_abi.abi import encode

from bridge.wire.keccak import from_hex, keccak256
from orchestrator.bridging.terms import delivery_s, withdrawal_terms
from orchestrator.settlement.funding import amm_owner
from orchestrator.settlement.messages import refund_margin_s
from orchestrator.strategies.errors import ResolutionError
from orchestrator.strategies.model import Strategy
from orchestrator.strategies.resolve import PlacedLeg
from orchestrator.topology.plan import Plan

MAX_PARTICIPANTS: Final = 16
"""Rollups in a strategy (``StrategyRegistry.MAX_PARTICIPANTS``)."""
MAX_LEGS: Final = 8
"""Legs on one rollup (``StrategyRegistry.MAX_LEGS``)."""
MAX_LEGS_IN_ALL: Final = 32
"""Legs in a strategy (``StrategyRegistry.MAX_LEGS_IN_ALL``)."""
MAX_LOCK_S: Final = 7 * 24 * 3600
"""Longest time that legs may be locked, seconds (``StrategyRegistry.MAX_LOCK``)."""
SLACK_S: Final = 30
"""Beyond twice the time that the votes should take, seconds: for nodes that are restarted meanwhile."""

_LEGS = "(bytes32,address,int256,uint256)[]"
_TAG = "STRATEGY.v1"


@dataclass(frozen=True, slots=True)
class Participant:
    """One rollup's part."""

    rollup: str
    chain_id: int
    legs: tuple[int, ...]
    """Places in the strategy, in the order of execution."""
    trades: tuple[tuple[bytes, str, int, int], ...]
    """Series, maker, signed quantity and limit of each leg, as the contracts take them."""

    @property
    def struct(self) -> tuple[Any, ...]:
        """As the registry takes it."""
        return (self.chain_id, list(self.trades))


@dataclass(frozen=True, slots=True)
class Waits:
    """How long each way may take when nothing is wrong, seconds."""

    order_s: float
    """From sending until the last rollup has its order."""
    vote_s: float
    """From then until L1 has the last vote."""
    decision_s: float
    """From then until the last rollup has applied the decision."""

    @property
    def expected_s(self) -> float:
        """From sending to the end."""
        return self.order_s + self.vote_s + self.decision_s


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The times that bind a strategy, unix seconds."""

    decide_by: int
    """On L1's clock."""
    refund_after: int
    """On the rollups' clocks."""


@dataclass(frozen=True, slots=True)
class BridgeStrategy:
    """A strategy with everything decided that goes into the registry."""

    strategy: Strategy
    account: str
    """Who opens and trades, 0x-hex address."""
    price_cap: int
    """1e-6 USD per unit."""
    legs: tuple[PlacedLeg, ...]
    participants: tuple[Participant, ...]
    deadlines: Deadlines
    salt: bytes
    """32 bytes."""
    id: bytes
    """32 bytes: its name on every chain."""

    @property
    def rollups(self) -> tuple[str, ...]:
        """The participants' names."""
        return tuple(part.rollup for part in self.participants)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """Of ``StrategyRegistry.open``."""
        structs = [participant.struct for participant in self.participants]
        return (self.salt, structs, self.deadlines.decide_by, self.deadlines.refund_after)


def participants_of(name: str, legs: Sequence[PlacedLeg], maker: str) -> tuple[Participant, ...]:
    """The rollups that take part, in the order in which they are first named.

    Raises:
        ResolutionError: more rollups or legs than the registry takes.
    """
    if len(legs) > MAX_LEGS_IN_ALL:
        raise ResolutionError(
            f"{name} has {len(legs)} legs; over the bridge there can be {MAX_LEGS_IN_ALL}",
            "split it into several strategies",
        )
    found: dict[str, list[PlacedLeg]] = {}
    for leg in legs:
        found.setdefault(leg.rollup, []).append(leg)
    if len(found) > MAX_PARTICIPANTS:
        raise ResolutionError(
            f"{name} is on {len(found)} rollups; over the bridge there can be {MAX_PARTICIPANTS}",
            "put several legs on one rollup",
        )
    for rollup, own in found.items():
        if len(own) > MAX_LEGS:
            raise ResolutionError(
                f"{name} has {len(own)} legs on {rollup}; over the bridge a rollup takes {MAX_LEGS}",
                "spread them over more rollups, or split it into several strategies",
            )
    return tuple(
        Participant(
            rollup,
            own[0].chain_id,
            tuple(leg.index for leg in own),
            tuple((leg.series, _other_side(leg, maker), leg.leg.signed_quantity, leg.limit) for leg in own),
        )
        for rollup, own in found.items()
    )


def _other_side(leg: PlacedLeg, maker: str) -> str:
    """Whom a leg trades with: on an EVM rollup the maker, on an options rollup its own market maker."""
    return maker if leg.seat is None else amm_owner()


def waits(plan: Plan, rollups: Sequence[str]) -> Waits:
    """How long the ways between L1 and some rollups may take."""
    block_s = plan.l1.block_time_s
    # The L1 block that takes the deposit may be one later than wished.
    down = block_s + max(delivery_s(plan, rollup) for rollup in rollups)
    up = max(withdrawal_terms(plan, rollup).expected_s for rollup in rollups)
    return Waits(order_s=block_s + down, vote_s=up, decision_s=down)


def deadlines(plan: Plan, rollups: Sequence[str], now: int, lifetime_s: int | None = None) -> Deadlines:
    """When a strategy must be decided and may be refunded.

    Args:
        plan: the devnet.
        rollups: that take part.
        now: L1's time, unix seconds.
        lifetime_s: how long the decision may take; by default as long as the topology's waits ask for.

    Raises:
        ResolutionError: legs would be locked longer than the registry allows.
    """
    way = waits(plan, rollups)
    decide_s = lifetime_s or math.ceil(2 * (way.order_s + way.vote_s)) + SLACK_S
    refund_s = decide_s + refund_margin_s(plan)
    if refund_s >= MAX_LOCK_S:
        raise ResolutionError(
            f"over the bridge this could lock legs for {refund_s} s; the registry allows less than {MAX_LOCK_S} s",
            "shorten settlement.challenge_period, messaging.sequencing_window or --lifetime",
        )
    return Deadlines(now + decide_s, now + refund_s)


def require_expiries(name: str, legs: Sequence[PlacedLeg], times: Deadlines) -> None:
    """Hold that no series expires while its leg may be locked: an escrow would refuse it.

    Raises:
        ResolutionError: one does.
    """
    for leg in legs:
        if leg.expiry <= times.refund_after:
            raise ResolutionError(
                f"leg {leg.index} of {name} expires on {leg.rollup} at {leg.expiry}, but over the bridge it may be "
                f"locked until {times.refund_after}",
                "choose a later expiry, a shorter --lifetime, or --execution bundle",
            )


def strategy_id(
    l1_chain_id: int, registry: str, opener: str, salt: bytes, parts: Sequence[Participant], times: Deadlines
) -> bytes:
    """A strategy's name, 32 bytes, before it is opened (``StrategyRegistry.strategyId``)."""
    types = (
        "string",
        "uint256",
        "address",
        "address",
        "bytes32",
        f"(uint64,{_LEGS})[]",
        "uint64",
        "uint64",
    )
    structs = [part.struct for part in parts]
    addresses = (from_hex(registry, 20), from_hex(opener, 20))
    values = (_TAG, l1_chain_id, *addresses, salt, structs, times.decide_by, times.refund_after)
    return keccak256(encode(types, values))
