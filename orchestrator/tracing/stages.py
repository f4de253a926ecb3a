"""How long a message took from stage to stage, by the first occurrence of each.

A stage of the whole message is reached when its first event happens; a stage of legs when the *last* leg reaches it for the first
time. So the stages of a message that came to its end telescope: their durations sum to the end-to-end time. Later rounds
and slots of a bundle that was staged again fall into ``bundle.decided``: the time until the decision.

Over the bridge a single no decides. Then the other legs count for nothing before the decision: they may be anywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing.graph import LEG_STAGES, StageLeg
from orchestrator.tracing.outcome import COMMIT, Outcome, Verdict
from orchestrator.tracing.trace import Kind

_BUNDLE: Mapping[Stage, Stage] = MappingProxyType(
    {
        Stage.ADMITTED: Stage.SUBMITTED,
        Stage.REFUSED: Stage.SUBMITTED,
        Stage.SEQUENCED: Stage.ADMITTED,
        Stage.LEG_STAGED: Stage.SEQUENCED,
        Stage.DECIDED: Stage.LEG_STAGED,
        Stage.LEG_EXECUTED: Stage.DECIDED,
        Stage.LEG_REVERTED: Stage.DECIDED,
        Stage.EXPIRED: Stage.ADMITTED,
        Stage.PUBLISHED: Stage.DECIDED,
        Stage.SETTLED: Stage.PUBLISHED,
    }
)
_WITHDRAWN: Mapping[Stage, Stage] = MappingProxyType(
    {
        Stage.MESSAGE_BATCHED: Stage.MESSAGE_SENT,
        Stage.MESSAGE_PROPOSED: Stage.MESSAGE_BATCHED,
        Stage.MESSAGE_PROVEN: Stage.MESSAGE_PROPOSED,
        Stage.MESSAGE_FINALIZED: Stage.MESSAGE_PROVEN,
    }
)
_BRIDGED: Mapping[Stage, Stage] = MappingProxyType(
    {
        Stage.ADMITTED: Stage.SUBMITTED,
        Stage.REFUSED: Stage.SUBMITTED,
        Stage.LEG_STAGED: Stage.ADMITTED,
        Stage.MESSAGE_SENT: Stage.LEG_STAGED,
        **_WITHDRAWN,
        Stage.DECIDED: Stage.MESSAGE_FINALIZED,
        Stage.LEG_EXECUTED: Stage.DECIDED,
        Stage.LEG_REVERTED: Stage.DECIDED,
        Stage.EXPIRED: Stage.ADMITTED,
    }
)
_MESSAGE: Mapping[Stage, Stage] = MappingProxyType(
    {
        Stage.MESSAGE_SENT: Stage.MESSAGE_SUBMITTED,
        **_WITHDRAWN,
        Stage.MESSAGE_DEPOSITED: Stage.MESSAGE_FINALIZED,
        Stage.MESSAGE_EXECUTED: Stage.MESSAGE_DEPOSITED,
        Stage.MESSAGE_FAILED: Stage.MESSAGE_DEPOSITED,
        Stage.MESSAGE_REFUNDED: Stage.MESSAGE_DEPOSITED,
    }
)
PREDECESSOR: Mapping[Kind, Mapping[Stage, Stage]] = MappingProxyType(
    {Kind.BUNDLE: _BUNDLE, Kind.BRIDGED: _BRIDGED, Kind.MESSAGE: _MESSAGE, Kind.TRANSACTION: _BUNDLE}
)
"""For each kind the stage from which each stage's duration is counted, in reading order."""
START: Mapping[Kind, Stage] = MappingProxyType(
    {kind: Stage.MESSAGE_SUBMITTED if kind is Kind.MESSAGE else Stage.SUBMITTED for kind in Kind}
)
"""Where each kind begins."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long a message took to get to `stage`."""

    stage: Stage
    since: Stage
    duration_ns: int


def stage_times(kind: Kind, first: Mapping[StageLeg, Event], verdict: Verdict) -> tuple[StageTime, ...]:
    """Durations of the stages that the message reached completely, in reading order.

    A stage whose predecessor is not journalled has no duration: it is left out, not counted from further back.
    """
    reached = _reached(kind, first, verdict)
    return tuple(
        StageTime(stage, since, reached[stage] - reached[since])
        for stage, since in PREDECESSOR[kind].items()
        if stage in reached and since in reached
    )


def way_to(kind: Kind, end: Stage) -> tuple[Stage, ...]:
    """The stages whose durations sum to the end-to-end time of a message that ended so, the start left out."""
    way = [end]
    while way[-1] != START[kind]:
        way.append(PREDECESSOR[kind][way[-1]])
    return tuple(way[-2::-1])


def stages_awaited(kind: Kind, first: Mapping[StageLeg, Event], verdict: Verdict) -> tuple[Stage, ...]:
    """The stages that the message was on its way to when the journals ended.

    They count as unfinished samples of those stages; without them a stage that hangs would look fast.
    ``bundle.settled`` is never awaited here: it takes a challenge period, which few runs last for all of their bundles.
    """
    if kind is Kind.MESSAGE:
        return _awaited_of_message(first, verdict)
    stages = {stage for stage, _ in first}
    awaited: list[Stage] = []
    if verdict.outcome is Outcome.UNKNOWN:
        decided = first.get((Stage.DECIDED, 0))
        if decided is not None:
            awaited += [Stage.LEG_EXECUTED] * (decided.attrs.get("decision") == COMMIT)
        else:
            awaited += _next(
                way_to(kind, Stage.DECIDED), START[kind], stages - _half_done(kind, first, verdict)
            )
    committed = _is_committed(first, verdict)
    if committed and kind is not Kind.BRIDGED and Stage.PUBLISHED not in stages:
        awaited.append(Stage.PUBLISHED)
    return tuple(awaited)


def _awaited_of_message(first: Mapping[StageLeg, Event], verdict: Verdict) -> tuple[Stage, ...]:
    if verdict.outcome is Outcome.FAILED and verdict.sink is None:
        return (Stage.MESSAGE_EXECUTED,)
    if verdict.outcome is not Outcome.UNKNOWN:
        return ()
    way = way_to(Kind.MESSAGE, Stage.MESSAGE_EXECUTED)
    return tuple(_next(way, START[Kind.MESSAGE], {stage for stage, _ in first}))


def _next(way: tuple[Stage, ...], start: Stage, met: set[str]) -> list[Stage]:
    """The stage after the furthest one met."""
    line = (start, *way)
    furthest = max((place for place, stage in enumerate(line) if stage in met), default=None)
    return [] if furthest is None else list(line[furthest + 1 : furthest + 2])


def _is_committed(first: Mapping[StageLeg, Event], verdict: Verdict) -> bool:
    decided = first.get((Stage.DECIDED, 0))
    return verdict.outcome is Outcome.COMMITTED or (
        decided is not None and decided.attrs.get("decision") == COMMIT
    )


def _half_done(kind: Kind, first: Mapping[StageLeg, Event], verdict: Verdict) -> set[str]:
    """Stages of legs that only some legs reached: they have no time yet, or never will."""
    if kind is Kind.MESSAGE:
        return set()
    settled = sum(met == Stage.SETTLED for met, _ in first)
    waiting = {str(Stage.SETTLED)} if settled < verdict.legs else set()
    if verdict.outcome is Outcome.PARTIAL:
        return {Stage.LEG_EXECUTED, Stage.LEG_REVERTED} | waiting
    if verdict.outcome is not Outcome.UNKNOWN:
        return waiting
    short = {stage for stage in LEG_STAGES if sum(met == stage for met, _ in first) < verdict.legs}
    return {Stage.LEG_EXECUTED, Stage.LEG_REVERTED} | short


def _reached(kind: Kind, first: Mapping[StageLeg, Event], verdict: Verdict) -> dict[str, int]:
    """When each stage was complete, monotonic nanoseconds."""
    half_done = _half_done(kind, first, verdict)
    voting = _voting(kind, first, verdict)
    reached: dict[str, int] = {}
    for (stage, leg), event in first.items():
        if stage in half_done or (stage in _VOTING and leg not in voting):
            continue
        reached[stage] = max(reached.get(stage, event.mono_ns), event.mono_ns)
    return reached


_VOTING: frozenset[str] = frozenset({Stage.LEG_STAGED, Stage.MESSAGE_SENT, *_WITHDRAWN})
"""Stages of legs that lead to the decision."""


def _voting(kind: Kind, first: Mapping[StageLeg, Event], verdict: Verdict) -> set[int]:
    """The legs that the decision waited for: all, but over the bridge a no decides alone, and a deadline waits for none that is late."""
    legs = {leg for stage, leg in first if stage in _VOTING}
    decided = first.get((Stage.DECIDED, 0))
    if kind is not Kind.BRIDGED or verdict.outcome is not Outcome.ABORTED or decided is None:
        return legs
    if verdict.failed_leg is not None:
        return legs & {verdict.failed_leg}
    last = ((leg, first.get((Stage.MESSAGE_FINALIZED, leg))) for leg in legs)
    return {leg for leg, vote in last if vote is not None and vote.mono_ns <= decided.mono_ns}
