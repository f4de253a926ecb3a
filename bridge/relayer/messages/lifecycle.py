"""What is true of a message between rollups, and what has to be done about it. Pure.

::

    SENT ──► FORWARDED ──► EXECUTED
      │          │            ▲ replay
      │          └──► FAILED ─┤
      │                 │ validUntil passes
      │                 ▼     │
      │              EXPIRED ─┼─ export ──► RETURNING ──► REFUNDED
      └── no such rollup, or its word came first ─┘

Between any two of these either end's messenger may have failed to make the call; it then keeps call and value until somebody replays it
there. A state is a reading of the facts, never a promise: every round reads it anew, and whoever did what it takes, it counts.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeAlias

from bridge.wire.keccak import keccak256, to_hex


class State(StrEnum):
    """How far a message came."""

    SENT = "sent"
    """Its withdrawal is on the way to L1, or the messenger holds it there."""
    FORWARDED = "forwarded"
    """The router on L1 passed it on: it is a deposit, or the destination's messenger holds it."""
    FAILED = "failed"
    """The destination holds it, for its call failed; it may be tried again."""
    EXECUTED = "executed"
    """Its call succeeded. Nothing executes or refunds it any more."""
    EXPIRED = "expired"
    """The destination holds it, and may not execute it any more."""
    RETURNING = "returning"
    """It will never be executed; word of that, or its value, is on the way back."""
    REFUNDED = "refunded"
    """Its sender has the value, or can claim it. Nothing executes it any more."""
    DROPPED = "dropped"
    """Its source no longer knows it: the block was reorganised away."""


FINISHED: tuple[State, ...] = (State.EXECUTED, State.REFUNDED)
"""The two ends, of which a message has exactly one."""
TOLD: tuple[State, ...] = (
    State.FORWARDED,
    State.FAILED,
    State.EXECUTED,
    State.RETURNING,
    State.REFUNDED,
)
"""States that are told of, in their order; what is before is told of the message's withdrawal."""


class Outgoing(IntEnum):
    """What the source's mailbox says, numbered as there."""

    NONE = 0
    SENT = 1
    EXPIRED = 2
    REFUNDED = 3


class Route(IntEnum):
    """What the router says, numbered as there."""

    NONE = 0
    FORWARDED = 1
    RETURNED = 2
    CANCELLED = 3


class Incoming(IntEnum):
    """What the destination's mailbox says, numbered as there."""

    NONE = 0
    FAILED = 1
    EXECUTED = 2
    EXPIRED = 3
    LATE = 4
    EXPORTED = 5


class Hop(StrEnum):
    """One of the four ways from chain to chain."""

    FORWARD = "forward"
    """From the source to L1."""
    DELIVERY = "delivery"
    """From L1 to the destination."""
    RETURN = "return"
    """From the destination to L1."""
    REFUND = "refund"
    """From L1 to the source."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a messenger makes, or holds, for the other chain's."""

    hop: Hop
    data: bytes
    """``relayMessage(…)``: what to call the messenger with, the first time and any other."""

    @property
    def hash(self) -> str:
        """The messengers' name for it (``Hashing.hashCrossDomainMessageV1``)."""
        return to_hex(keccak256(self.data))


@dataclass(frozen=True, slots=True)
class Facts:
    """What the chains say at one moment."""

    outgoing: Outgoing
    route: Route
    incoming: Incoming
    """``NONE`` as well when there is no such rollup."""
    clock: int
    """Time of the destination's newest block, unix seconds; 0 when there is no such rollup."""
    paused: bool
    """Whether the guardian stopped the messengers on L1."""
    held: tuple[Call, ...]
    """Calls that failed in a messenger, which keeps them; in the order of their hops."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before something else happens."""

    reason: str


@dataclass(frozen=True, slots=True)
class ReplayOnL1:
    """Make a messenger on L1 make the call that it holds."""

    call: Call


@dataclass(frozen=True, slots=True)
class RedeliverOnL2:
    """Make a rollup's messenger make the call that it holds."""

    call: Call


@dataclass(frozen=True, slots=True)
class Replay:
    """Make the destination's mailbox execute it again."""


@dataclass(frozen=True, slots=True)
class Export:
    """Make the destination's mailbox send it back."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


Action: TypeAlias = ReplayOnL1 | RedeliverOnL2 | Replay | Export
"""What takes a transaction."""
Step: TypeAlias = Action | Wait | Done

_WAITS = {
    State.SENT: "its withdrawal is on the way to L1",
    State.FORWARDED: "its deposit is on the way to the destination",
    State.EXPIRED: "its destination's clock went back: it is not time to export it",
    State.RETURNING: "it is on the way back to its source",
    State.DROPPED: "its source does not know it any more",
}


def judge(valid_until: int, facts: Facts) -> tuple[State, Step]:
    """The state of a message that may be executed until then, and the next step.

    The conditions are those of CrossRollupMailbox, MessageRouter and the messengers, read so that no transaction is sent that
    they would refuse.
    """
    state = _state(valid_until, facts)
    if state in FINISHED:
        return state, Done()
    if facts.held:
        return state, _unhold(facts.held[0], paused=facts.paused)
    match state:
        case State.FAILED:
            return state, Replay()
        case State.EXPIRED if facts.clock > valid_until:
            return state, Export()
    return state, Wait(_WAITS[state])


def _unhold(call: Call, *, paused: bool) -> Step:
    if call.hop in (Hop.DELIVERY, Hop.REFUND):
        return RedeliverOnL2(call)
    return Wait("the guardian has paused the messengers") if paused else ReplayOnL1(call)


def _state(valid_until: int, facts: Facts) -> State:
    """The furthest that any chain knows of: later stations count before earlier ones."""
    if facts.outgoing is Outgoing.REFUNDED:
        return State.REFUNDED
    late = facts.clock > valid_until
    at_destination = {
        Incoming.EXECUTED: State.EXECUTED,
        Incoming.FAILED: State.EXPIRED if late else State.FAILED,
        Incoming.LATE: State.EXPIRED,
        Incoming.EXPIRED: State.RETURNING,
        Incoming.EXPORTED: State.RETURNING,
    }
    on_l1 = {
        Route.FORWARDED: State.FORWARDED,
        Route.RETURNED: State.RETURNING,
        Route.CANCELLED: State.RETURNING,
    }
    at_source = {Outgoing.NONE: State.DROPPED, Outgoing.EXPIRED: State.RETURNING}
    found = at_destination.get(facts.incoming) or on_l1.get(facts.route) or at_source.get(facts.outgoing)
    return found or State.SENT
