"""One message as a graph: nodes are event ids, edges are the causes that the journals state.

Nothing is inferred from timestamps. Where a client tells a chain, no event id can travel along: what was sent is then the cause of
what was seen, by the meaning of the stages (:data:`IMPLIED`), unless a journal states another. A cause that no journal of the message holds is listed as missing, an effect
that is older than its cause is listed as skew; neither is repaired, because a repaired trace proves nothing.

**Repeats.** After a crash a node tells again what it decided or executed. The earliest event of one (stage, leg) counts;
a repeat is no node of the graph, and what it caused is joined to the first telling, so the path through a
crash keeps its whole length. ``bundle.sequenced``, ``leg.staged`` and ``message.failed`` happen once per attempt and are never repeats.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

from bridge.wire.journal import Event
from bridge.wire.stages import MESSAGE_STAGES, Stage
from orchestrator.tracing.trace import Kind, Trace

LEG_STAGES: frozenset[str] = frozenset(
    {Stage.LEG_STAGED, Stage.LEG_EXECUTED, Stage.LEG_REVERTED, Stage.SETTLED, *MESSAGE_STAGES}
)
"""Stages that each leg reaches on its own; over the bridge its vote's stages too."""
IMPLIED: Mapping[tuple[Kind, str], Stage] = {
    (Kind.MESSAGE, Stage.MESSAGE_SENT): Stage.MESSAGE_SUBMITTED,
    (Kind.BUNDLE, Stage.SETTLED): Stage.PUBLISHED,
    (Kind.TRANSACTION, Stage.SETTLED): Stage.PUBLISHED,
    (Kind.BRIDGED, Stage.ADMITTED): Stage.SUBMITTED,
    (Kind.BRIDGED, Stage.MESSAGE_SENT): Stage.LEG_STAGED,
}
"""By kind and stage: what caused it, the same leg's, where its journal states nothing."""
ONCE_STAGES: frozenset[str] = frozenset(Stage) - {Stage.SEQUENCED, Stage.LEG_STAGED, Stage.MESSAGE_FAILED}
"""Stages that can only be told again, not happen again; the others come once per round or slot, and a node's
own events about a message as often as they like."""

StageLeg = tuple[str, int]
"""A stage and the leg that reached it; leg 0 for what concerns the whole message."""


@dataclass(frozen=True, slots=True)
class Skew:
    """An effect with an older timestamp than its cause: the clocks disagree, or a journal lies."""

    cause: str
    effect: str
    """Event ids."""
    by_ns: int
    """How much too early the effect is, nanoseconds, positive."""


@dataclass(frozen=True, slots=True)
class MessageGraph:
    """The happens-before graph of one message, with what doesn't fit into it."""

    graph: "nx.DiGraph[str]"
    """Node attributes ``stage``, ``node``, ``leg``, ``mono_ns``; edge attribute ``duration_ns``."""
    events: Mapping[str, Event]
    """The events behind the nodes, in order of time."""
    first: Mapping[StageLeg, Event]
    """The earliest event of each stage and leg."""
    repeated: tuple[Event, ...]
    """Events that told again what was known."""
    orphans: tuple[tuple[str, str], ...]
    """(event, missing cause) by id."""
    skews: tuple[Skew, ...]


def build_graph(trace: Trace) -> MessageGraph:
    """Build the graph of one message; pure."""
    first: dict[StageLeg, Event] = {}
    events: dict[str, Event] = {}
    told_by: dict[str, str] = {}
    repeated: list[Event] = []
    for event in trace.events:
        stage, identity = event.event, event.id
        place = _place(event)
        earliest = first.setdefault(place, event)
        if earliest is not event and stage in ONCE_STAGES:
            told_by[identity] = earliest.id
            repeated.append(event)
        else:
            events[identity] = event
    edges, orphans, skews = [], [], []
    for identity, event in events.items():
        for stated in event.cause or _implied(trace.kind, event, first):
            cause = told_by.get(stated, stated)
            if cause not in events:
                orphans.append((identity, stated))
                continue
            duration = event.mono_ns - events[cause].mono_ns
            edges.append((cause, identity, {"duration_ns": duration}))
            if duration < 0:
                skews.append(Skew(cause, identity, -duration))
    graph: nx.DiGraph[str] = nx.DiGraph()
    for identity, event in events.items():
        graph.add_node(identity, stage=event.event, node=event.node, leg=event.leg, mono_ns=event.mono_ns)
    graph.add_edges_from(edges)
    return MessageGraph(graph, events, first, tuple(repeated), tuple(orphans), tuple(skews))


def _place(event: Event) -> StageLeg:
    return event.event, (event.leg or 0) if event.event in LEG_STAGES else 0


def _implied(kind: Kind, event: Event, first: Mapping[StageLeg, Event]) -> tuple[str, ...]:
    stage = IMPLIED.get((kind, event.event))
    if stage is None:
        return ()
    sent = first.get((stage, (event.leg or 0) if stage in LEG_STAGES else 0))
    return () if sent is None else (sent.id,)
