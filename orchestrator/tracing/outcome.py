"""How a message ended, judged from its events alone.

========== =====================================================================================================
committed  every leg was executed
aborted    the decision was abort (or every leg was reverted) and no leg was executed
expired    its time ran out before a decision
refused    the sequencer did not acknowledge it: nothing was promised
partial    **atomicity is broken**: some legs were executed and others reverted, or legs contradict the decision
executed   a message's call succeeded on the rollup that it went to
finalized  a withdrawal that carries nothing else was passed on by L1's portal
refunded   a message expired, and its sender has the value back
failed     a message's call failed, so far: it may be tried again while it is valid, or refunded after
unknown    none of these yet: in flight, or the run ended before it did
========== =====================================================================================================

A strategy over the bridge is judged as a bundle is; the last four are for messages, judged in
:mod:`orchestrator.tracing.message_outcome`.
Which legs there are is known from the ``legs`` attribute of the early stages, if stated, and from the highest leg index seen:
indices count from 0 without gaps, so a bundle whose leg 2 was staged has at least three legs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing.graph import MessageGraph, StageLeg
from orchestrator.tracing.trace import Kind, Trace, event_order

COMMIT, ABORT = "commit", "abort"
"""The values of a decision."""


class Outcome(StrEnum):
    """How a message ended."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    EXPIRED = "expired"
    REFUSED = "refused"
    PARTIAL = "partial"
    EXECUTED = "executed"
    FINALIZED = "finalized"
    REFUNDED = "refunded"
    FAILED = "failed"
    UNKNOWN = "unknown"


OF_BUNDLES = (
    Outcome.COMMITTED,
    Outcome.ABORTED,
    Outcome.EXPIRED,
    Outcome.REFUSED,
    Outcome.PARTIAL,
    Outcome.UNKNOWN,
)
"""How bundles, strategies over the bridge, and single transactions can end."""
OF_MESSAGES = (Outcome.EXECUTED, Outcome.FINALIZED, Outcome.REFUNDED, Outcome.FAILED, Outcome.UNKNOWN)
"""How messages can end."""

WITHOUT_EFFECT = (Outcome.ABORTED, Outcome.EXPIRED, Outcome.REFUSED, Outcome.REFUNDED, Outcome.FAILED)
"""Outcomes that leave everything as it was."""


def possible(kind: Kind) -> tuple[Outcome, ...]:
    """How messages of a kind can end."""
    return OF_MESSAGES if kind is Kind.MESSAGE else OF_BUNDLES


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one message and what it rests on."""

    outcome: Outcome
    legs: int
    """Number of legs, as far as the journals tell."""
    sink: Event | None
    """The event that ended it; None while unknown."""
    reason: str | None
    """Why it was aborted, as the sequencer or the relayer said; of a message, why its call failed."""
    failed_leg: int | None
    failed_rollup: str | None
    """Where the abort came from."""
    alarms: tuple[str, ...]
    """Contradictions between events, one sentence each; any of them is a bug in a node or a lost journal."""


def judge_bundle(trace: Trace, built: MessageGraph) -> Verdict:
    """Judge a bundle, a strategy over the bridge or a single transaction; pure."""
    executed = _by_leg(built.first, Stage.LEG_EXECUTED)
    reverted = _by_leg(built.first, Stage.LEG_REVERTED)
    decided = built.first.get((Stage.DECIDED, 0))
    expired = built.first.get((Stage.EXPIRED, 0))
    decisions = _decisions(decided, built)
    legs = _count_legs(built.first)
    alarms = [*_contradictions(trace, executed, reverted, decisions, expired), *_executed_again(built)]

    outcome, sink = Outcome.UNKNOWN, None
    if trace.kind.has_legs and _is_partial(executed, reverted, decisions, expired):
        outcome, sink = (
            Outcome.PARTIAL,
            _latest(executed | {-1 - leg: event for leg, event in reverted.items()}),
        )
    elif len(executed) == legs:
        outcome, sink = Outcome.COMMITTED, _latest(executed)
    elif executed:
        pass
    elif decided is not None and ABORT in decisions:
        outcome, sink = Outcome.ABORTED, decided
    elif len(reverted) == legs:
        outcome, sink = Outcome.ABORTED, _latest(reverted)
    elif expired is not None:
        outcome, sink = Outcome.EXPIRED, expired
    elif (refused := built.first.get((Stage.REFUSED, 0))) and (Stage.ADMITTED, 0) not in built.first:
        outcome, sink = Outcome.REFUSED, refused
    return Verdict(outcome, legs, sink, *_blame(outcome, sink, decided, expired), tuple(alarms))


def _decisions(decided: Event | None, built: MessageGraph) -> set[str | None]:
    """All decisions told, so that a change of mind after a crash is seen."""
    again = {event.attrs.get("decision") for event in built.repeated if event.event == Stage.DECIDED}
    return again if decided is None else again | {decided.attrs.get("decision")}


def _by_leg(first: Mapping[StageLeg, Event], stage: Stage) -> dict[int, Event]:
    return {leg: event for (name, leg), event in first.items() if name == stage}


def _latest(events: Mapping[int, Event]) -> Event | None:
    return max(events.values(), key=event_order, default=None)


def _count_legs(first: Mapping[StageLeg, Event]) -> int:
    stated = 0
    for stage in (Stage.SUBMITTED, Stage.ADMITTED, Stage.SEQUENCED):
        event = first.get((stage, 0))
        claim = event.attrs.get("legs") if event is not None else None
        if isinstance(claim, list):
            claim = len(claim)
        if isinstance(claim, int):
            stated = max(stated, claim)
    return max(stated, 1 + max((leg for _, leg in first), default=0))


def _is_partial(
    executed: Mapping[int, Event],
    reverted: Mapping[int, Event],
    decisions: set[str | None],
    expired: Event | None,
) -> bool:
    if executed:
        return bool(reverted) or ABORT in decisions or (expired is not None and COMMIT not in decisions)
    return bool(reverted) and COMMIT in decisions


def _contradictions(
    trace: Trace,
    executed: Mapping[int, Event],
    reverted: Mapping[int, Event],
    decisions: set[str | None],
    expired: Event | None,
) -> list[str]:
    found = []
    if executed and reverted:
        found.append(f"legs {_listed(executed)} executed, legs {_listed(reverted)} reverted")
    if decisions >= {COMMIT, ABORT}:
        found.append("both commit and abort were decided")
    if executed and ABORT in decisions:
        found.append(f"legs {_listed(executed)} executed although abort was decided")
    if reverted and COMMIT in decisions and trace.kind.has_legs:
        found.append(f"legs {_listed(reverted)} reverted although commit was decided")
    if expired is not None and (executed or COMMIT in decisions):
        found.append("expired although it was committed")
    return found


def _executed_again(built: MessageGraph) -> list[str]:
    """A repeat after a crash tells the same block again; another block means that the leg ran twice."""
    found = []
    for event in built.repeated:
        if event.event != Stage.LEG_EXECUTED:
            continue
        leg = event.leg or 0
        earlier = built.first[(event.event, leg)]
        then, now = earlier.attrs.get("block"), event.attrs.get("block")
        if None not in (then, now) and then != now:
            found.append(f"leg {leg} executed in block {then} and again in block {now}")
    return found


def _listed(legs: Mapping[int, Event]) -> str:
    return ", ".join(f"{leg} ({legs[leg].node})" for leg in sorted(legs))


def _blame(
    outcome: Outcome, sink: Event | None, decided: Event | None, expired: Event | None
) -> tuple[str | None, int | None, str | None]:
    source = {
        Outcome.EXPIRED: expired,
        Outcome.REFUSED: sink,
        Outcome.ABORTED: decided or sink,
        Outcome.PARTIAL: decided,
    }.get(outcome)
    if source is None:
        return None, None, None
    leg = source.leg if source.leg is not None else source.attrs.get("failed_leg")
    rollup = source.attrs.get("rollup")
    reason = source.attrs.get("reason")
    return None if reason is None else str(reason), leg, rollup
