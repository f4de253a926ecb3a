"""How long a message took from stage to stage, by the first occurrence of each.

A stage of the whole bundle is reached when its first event happens; a stage of legs when the *last* leg reaches it for the first
time. So the stages of a committed message telescope: their durations sum to the end-to-end time. Later rounds
and slots of a message that was staged again fall into ``bundle.decided``: the time until the decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing.graph import StageLeg
from orchestrator.tracing.outcome import COMMIT, Outcome, Verdict

PREDECESSOR: Mapping[Stage, Stage] = {
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
"""The stage from which each stage's duration is counted, in reading order."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long a message took to get to `stage`."""

    stage: Stage
    since: Stage
    duration_ns: int


def stage_times(first: Mapping[StageLeg, Event], verdict: Verdict) -> tuple[StageTime, ...]:
    """Durations of the stages that the message reached completely, in reading order.

    A stage whose predecessor is not journalled has no duration: it is left out, not counted from further back.
    """
    reached = _reached(first, verdict)
    return tuple(
        StageTime(stage, since, reached[stage] - reached[since])
        for stage, since in PREDECESSOR.items()
        if stage in reached and since in reached
    )


def stages_awaited(first: Mapping[StageLeg, Event], verdict: Verdict) -> tuple[Stage, ...]:
    """The stages that the message was on its way to when the journals ended.

    They count as unfinished samples of those stages; without them a stage that hangs would look fast.
    ``bundle.settled`` is never awaited here, because only runs with an L1 bridge have it.
    """
    stages = {stage for stage, _ in first}
    awaited: list[Stage] = []
    if verdict.outcome is Outcome.UNKNOWN:
        decided = first.get((Stage.DECIDED, 0))
        if decided is not None:
            awaited += [Stage.LEG_EXECUTED] * (decided.attrs.get("decision") == COMMIT)
        else:
            chain = (Stage.SUBMITTED, Stage.ADMITTED, Stage.SEQUENCED, Stage.LEG_STAGED, Stage.DECIDED)
            met = stages - _half_done(first, verdict)
            furthest = max((place for place, stage in enumerate(chain) if stage in met), default=None)
            if furthest is not None and furthest + 1 < len(chain):
                awaited.append(chain[furthest + 1])
    committed = _is_committed(first, verdict)
    if committed and Stage.PUBLISHED not in stages:
        awaited.append(Stage.PUBLISHED)
    return tuple(awaited)


def _is_committed(first: Mapping[StageLeg, Event], verdict: Verdict) -> bool:
    decided = first.get((Stage.DECIDED, 0))
    return verdict.outcome is Outcome.COMMITTED or (
        decided is not None and decided.attrs.get("decision") == COMMIT
    )


def _half_done(first: Mapping[StageLeg, Event], verdict: Verdict) -> set[str]:
    """Stages of legs that only some legs reached: they have no time yet, or never will."""
    if verdict.outcome is Outcome.PARTIAL:
        return {Stage.LEG_EXECUTED, Stage.LEG_REVERTED}
    if verdict.outcome is not Outcome.UNKNOWN:
        return set()
    staged = sum(stage == Stage.LEG_STAGED for stage, _ in first)
    return {Stage.LEG_EXECUTED, Stage.LEG_REVERTED} | ({Stage.LEG_STAGED} if staged < verdict.legs else set())


def _reached(first: Mapping[StageLeg, Event], verdict: Verdict) -> dict[str, int]:
    """When each stage was complete, monotonic nanoseconds."""
    half_done = _half_done(first, verdict)
    reached: dict[str, int] = {}
    for (stage, _), event in first.items():
        if stage not in half_done:
            reached[stage] = max(reached.get(stage, event.mono_ns), event.mono_ns)
    return reached
