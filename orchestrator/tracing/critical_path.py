"""What a message waited for: the walk back from its end through the cause that arrived last.

Weighing edges by time differences and asking for the longest path would be wrong twice: every path from
source to sink has the same length, because the differences telescope, so the answer is an arbitrary tie; and one negative edge
(clock skew) makes the algorithm cut the path without a word. The event that let a join go on is the last of its
causes, so the walk back through last-arriving causes is the path that mattered, and its edges sum exactly
to the time from its root to its sink.

Two segments complete the sum to the end-to-end time. *Schedule lag*, from the intended to the real time of sending,
when the load was open-loop. *Untraced* time, when the causes end before the submission (a cause was lost, or not
stated): it is shown as such, never filled with a guess.
"""

from dataclasses import dataclass
from itertools import pairwise

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing.graph import MessageGraph
from orchestrator.tracing.trace import event_order, rollup_of, site

INTENDED = "intended"
"""The pseudo-stage before ``bundle.submitted``: when the schedule wanted the message sent."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One edge of a critical path."""

    since: str
    until: str
    """Stage names; the time is what it took to get from one to the other."""
    node: str
    """Where `until` happened: a node, or the chain on which the relayer saw it."""
    leg: int | None
    duration_ns: int
    """Negative only under clock skew."""
    traced: bool
    """Whether the journals state this cause, or the meaning of the stages implies it."""


@dataclass(frozen=True, slots=True)
class Blocking:
    """A join: who let the others wait."""

    stage: str
    """``leg.staged`` or, over the bridge, ``message.finalized`` (the decision waited for a vote), ``leg.executed`` (the end waited)."""
    node: str
    """The rollup that came last."""
    leg: int | None
    margin_ns: int
    """How long before it the last of the others was ready: what a faster rollup would have won."""


@dataclass(frozen=True, slots=True)
class Slack:
    """A cause that could have come later without delaying the join."""

    join: str
    cause: str
    """Event ids."""
    slack_ns: int
    """Arrival of the last cause minus arrival of this one; 0 for the last."""


def critical_path(built: MessageGraph, sink: str) -> tuple[list[str], bool]:
    """Event ids from the root to `sink`, through whichever cause arrived last, and whether the causes form a cycle.

    Ties are broken by id, so that equal journals give equal paths. Causes that form a cycle can only come from
    corrupt journals; the walk stops where it would bite its tail.

    Raises:
        networkx.NetworkXError: `sink` is not in the graph.
    """
    events = built.events
    path, seen = [sink], {sink}
    while True:
        causes = list(built.graph.predecessors(path[-1]))
        if not causes:
            return path[::-1], False
        last = (
            causes[0] if len(causes) == 1 else max(causes, key=lambda cause: (events[cause].mono_ns, cause))
        )
        if last in seen:
            return path[::-1], True
        seen.add(last)
        path.append(last)


def segments(path: list[Event], start: Event, intended_ns: int | None) -> tuple[Segment, ...]:
    """The path as durations that sum to ``path[-1].mono_ns - (intended_ns or start.mono_ns)``, exactly."""
    found = []
    if intended_ns is not None:
        lag = start.mono_ns - intended_ns
        found.append(Segment(INTENDED, start.event, site(start), None, lag, traced=True))
    root = path[0]
    if root is not start:
        gap = root.mono_ns - start.mono_ns
        found.append(Segment(start.event, root.event, site(root), root.leg, gap, traced=False))
    for cause, effect in pairwise(path):
        spent = effect.mono_ns - cause.mono_ns
        found.append(Segment(cause.event, effect.event, site(effect), effect.leg, spent, traced=True))
    return tuple(found)


def slacks(built: MessageGraph) -> tuple[Slack, ...]:
    """The slack of every cause at every join."""
    found: list[Slack] = []
    for join in built.graph:
        arrivals = {cause: built.events[cause].mono_ns for cause in built.graph.predecessors(join)}
        if len(arrivals) < 2:
            continue
        last = max(arrivals.values())
        found.extend(Slack(join, cause, last - arrival) for cause, arrival in arrivals.items())
    return tuple(found)


def blocking(built: MessageGraph) -> tuple[Blocking, ...]:
    """The rollups that the decision and the end waited for; nothing where there was no one to wait for."""
    decided = built.first.get((Stage.DECIDED, 0))
    votes: list[Event] = []
    if decided is not None:
        causes = [built.events[cause] for cause in built.graph.predecessors(decided.id)]
        votes = [event for event in causes if event.event in (Stage.LEG_STAGED, Stage.MESSAGE_FINALIZED)]
    executed = [event for (stage, _), event in built.first.items() if stage == Stage.LEG_EXECUTED]
    return tuple(block for block in (_last(votes), _last(executed)) if block is not None)


def _last(events: list[Event]) -> Blocking | None:
    if len(events) < 2:
        return None
    events.sort(key=event_order)
    runner_up, last = events[-2:]
    return Blocking(last.event, rollup_of(last), last.leg, last.mono_ns - runner_up.mono_ns)
