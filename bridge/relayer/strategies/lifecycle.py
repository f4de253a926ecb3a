"""What is true of a strategy over the bridge, and what anybody may do about it. Pure.

::

    LOCKING ──► VOTING ──all yes──────────► COMMITTING ──► COMMITTED
        │          │                                 └───► APART     a leg was refunded before the commit came
        └──────────┴─one no, or too late──► ABORTING ────► ABORTED

A state is a reading of the facts, never a promise: every round reads it anew, and whoever did what it takes, it counts. The contracts need nobody
for the way that goes well: votes are withdrawals and decisions are deposits. The steps here are for the other ways.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, TypeAlias

from bridge.relayer.messages.lifecycle import Call

LATE_S: Final = 30
"""A decision that a rollup hasn't applied so many seconds after it was sent is sent again; after that it is waited for twice as long
each time, since what delays it is hardly that it was not sent."""


class Decision(IntEnum):
    """What the registry on L1 says, numbered as there."""

    NONE = 0
    COMMIT = 1
    ABORT = 2


class Vote(IntEnum):
    """What the registry on L1 was answered by a rollup, numbered as there."""

    NONE = 0
    YES = 1
    NO = 2


class Lock(IntEnum):
    """What a rollup's escrow says, numbered as there."""

    NONE = 0
    LOCKED = 1
    REFUSED = 2
    COMMITTED = 3
    RELEASED = 4
    REFUNDED = 5


GIVEN_UP: Final = frozenset({Lock.REFUSED, Lock.RELEASED, Lock.REFUNDED})
"""Nothing is locked, and nothing was traded."""


class State(StrEnum):
    """How far a strategy is."""

    LOCKING = "locking"
    """Not every rollup has answered the order."""
    VOTING = "voting"
    """Every rollup has answered; the answers are on their way to L1."""
    COMMITTING = "committing"
    """Decided: every leg is to be traded."""
    ABORTING = "aborting"
    """Decided: every leg is to be given up."""
    COMMITTED = "committed"
    """Every leg was traded."""
    ABORTED = "aborted"
    """No leg was traded, and nothing is locked."""
    APART = "apart"
    """Some legs were traded and others given up: a commit came after somebody had refunded."""


ENDS: Final = frozenset({State.COMMITTED, State.ABORTED, State.APART})
"""From here nothing changes any more."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the registry on L1 says of a strategy."""

    account: str
    """Who trades on every rollup, lower case."""
    decide_by: int
    """By L1's clock, unix seconds."""
    refund_after: int
    """By the rollups' clocks, unix seconds."""
    decision: Decision
    votes: Mapping[int, Vote]
    """By chain id, in the order of the strategy's participants."""
    legs: Mapping[int, int]
    """How many legs a rollup has, by chain id."""

    @property
    def chains(self) -> tuple[int, ...]:
        """The participants."""
        return tuple(self.votes)


@dataclass(frozen=True, slots=True)
class Side:
    """One rollup's side of a strategy."""

    lock: Lock | None
    """None when the rollup doesn't answer."""
    clock: int = 0
    """Time of its newest block, unix seconds."""
    held: tuple[Call, ...] = ()
    """Orders and decisions that its messenger holds."""
    held_on_l1: tuple[Call, ...] = ()
    """Votes of it that the messenger on L1 holds."""
    sent: int = 0
    """How often the decision was sent to it."""
    sent_at: int = 0
    """When last, by L1's clock, unix seconds."""
    unsent: bool = False
    """The registry could not send the decision, and nobody has since."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Make the registry decide what it didn't decide in time."""


@dataclass(frozen=True, slots=True)
class Send:
    """Make the registry send its decision to a rollup again."""

    chain_id: int
    again: int
    """How often it was sent before."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """Make a rollup's messenger make a call that it holds."""

    chain_id: int
    call: Call


@dataclass(frozen=True, slots=True)
class Count:
    """Make a rollup's messenger on L1 make the call that votes."""

    chain_id: int
    call: Call


@dataclass(frozen=True, slots=True)
class Refund:
    """Make an escrow give legs up that no commit can be on its way for."""

    chain_id: int


Action: TypeAlias = Abort | Send | Deliver | Count | Refund
"""What takes a transaction."""


def state_of(decision: Decision, locks: Sequence[Lock]) -> State:
    """How far a strategy is, by the word of L1 and of each rollup."""
    traded, waiting = Lock.COMMITTED in locks, set(locks) - GIVEN_UP - {Lock.COMMITTED}
    if traded and not GIVEN_UP.isdisjoint(locks):
        return State.APART
    if decision is Decision.NONE:
        return State.LOCKING if Lock.NONE in locks else State.VOTING
    if waiting:
        return State.COMMITTING if decision is Decision.COMMIT else State.ABORTING
    return State.COMMITTED if traded else State.ABORTED


def judge(standing: Standing, sides: Mapping[int, Side], now: int) -> tuple[Action, ...]:
    """What can be done about a strategy now.

    The conditions are those of StrategyRegistry, LegEscrow and the messengers, read so that no transaction is sent that they would refuse, and
    none that could take a strategy apart: legs are refunded only once L1 says abort. (They may be refunded earlier, by whoever
    dares; a commit could then still be on its way.)

    Args:
        standing: L1's word.
        sides: by chain id, for all participants.
        now: time of the next L1 block, unix seconds.
    """
    found: list[Action] = []
    for chain_id, side in sides.items():
        found += [Count(chain_id, call) for call in side.held_on_l1]
        found += [Deliver(chain_id, call) for call in side.held]
    if standing.decision is Decision.NONE:
        return (*found, Abort()) if now >= standing.decide_by else tuple(found)
    for chain_id, side in sides.items():
        if side.lock not in (Lock.NONE, Lock.LOCKED):
            continue
        aborted = standing.decision is Decision.ABORT
        if aborted and side.lock is Lock.LOCKED and side.clock > standing.refund_after:
            found.append(Refund(chain_id))
        elif side.unsent or now >= side.sent_at + LATE_S * 2 ** max(0, side.sent - 1):
            found.append(Send(chain_id, side.sent))
    return tuple(found)
