"""What is true of a withdrawal, and what has to be done about it. Pure.

::

    SENT ──► BATCHED ──► PROPOSED ──prove──► PROVEN ──finalize──► FINALIZED
      │ its block was       ▲                   │ the output was deleted, or L1 reorganised
      ▼ reorganised away    └───────────────────┘
    DROPPED

A state is a reading of the facts, never a promise: every round reads it anew, and whoever did what it takes, it counts.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class State(StrEnum):
    """How far a withdrawal came."""

    SENT = "sent"
    """In a block of its rollup."""
    BATCHED = "batched"
    """L1 holds the block: it is safe."""
    PROPOSED = "proposed"
    """An output on L1 covers the block."""
    PROVEN = "proven"
    """The portal accepted a proof, against an output that stands."""
    FINALIZED = "finalized"
    """The portal made the call. It never makes it again, whether or not it succeeded."""
    DROPPED = "dropped"
    """Its block is no longer on the rollup's chain, and nobody proved it before."""


ORDER: tuple[State, ...] = (State.SENT, State.BATCHED, State.PROPOSED, State.PROVEN, State.FINALIZED)
"""The way from the rollup to L1."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output root on L1."""

    index: int
    root: str
    timestamp: int
    """Of the L1 block that it was proposed in, unix seconds."""
    block: int
    """L2 block that it is of."""


@dataclass(frozen=True, slots=True)
class Proven:
    """What the portal remembers of a proof."""

    root: str
    timestamp: int
    """Of the L1 block that it was proven in, unix seconds."""
    index: int
    """Of the output."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rollup and L1 say at one moment."""

    now: int
    """Time of the next L1 block, unix seconds."""
    period: int
    """Challenge period, seconds."""
    paused: bool
    """Whether the guardian stopped the portal."""
    safe: int
    """The rollup's safe head."""
    covering: Output | None
    """The first output of the withdrawal's block or a later one."""
    proven: Proven | None
    standing: Output | None
    """The output that now has the index of the proof's."""
    finalized: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done before something else happens."""

    reason: str
    until: int = 0
    """Time of an L1 block, unix seconds, if that is what it takes."""


@dataclass(frozen=True, slots=True)
class Prove:
    """Send a proof."""

    output: Output
    replaces: Proven | None
    """The proof whose output is gone."""


@dataclass(frozen=True, slots=True)
class Finalize:
    """Make the portal make the call."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


Step: TypeAlias = Wait | Prove | Finalize | Done


def judge(block: int, facts: Facts) -> tuple[State, Step]:
    """The state of a withdrawal of L2 block `block`, and the next step.

    The conditions are those of OptimismPortal 2.8, read so that no transaction is sent that it would refuse.
    """
    if facts.finalized:
        return State.FINALIZED, Done()
    proven, standing = facts.proven, facts.standing
    if proven is not None and standing is not None and standing.root == proven.root:
        ready = max(proven.timestamp, standing.timestamp) + facts.period + 1
        if facts.now < ready:
            return State.PROVEN, Wait("the challenge period runs", ready)
        return State.PROVEN, _unless_paused(facts, Finalize())
    return _unproven(block, facts)


def reached(before: State | None, now: State) -> tuple[State, ...]:
    """The states that were passed on the way from one to another, the last included; none if the way went back."""
    if now not in ORDER:
        return ()
    start = ORDER.index(before) + 1 if before in ORDER else 0
    return ORDER[start : ORDER.index(now) + 1]


def _unproven(block: int, facts: Facts) -> tuple[State, Step]:
    if facts.safe < block:
        return State.SENT, Wait(f"block {block} is not safe yet")
    if facts.covering is None:
        return State.BATCHED, Wait(f"no output covers block {block} yet")
    if facts.proven is not None and facts.standing is None:
        # The portal asks the oracle for the old proof's output, which fails until there is one of that index again.
        return State.PROPOSED, Wait(f"output {facts.proven.index}, proven against, was deleted")
    return State.PROPOSED, _unless_paused(facts, Prove(facts.covering, facts.proven))


def _unless_paused(facts: Facts, step: Step) -> Step:
    return Wait("the guardian has paused the portal") if facts.paused else step
