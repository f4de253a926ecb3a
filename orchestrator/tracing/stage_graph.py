"""All messages in one picture: stage → stage, with how often and how long."""

from collections.abc import Iterable

import networkx as nx

from orchestrator.tracing.graph import MessageGraph
from orchestrator.tracing.percentiles import summarize


class StageGraphBuilder:
    """Collapses message graphs edge by edge, so that no message's graph has to stay in memory."""

    def __init__(self) -> None:
        self._durations: dict[tuple[str, str], list[int]] = {}

    def add(self, built: MessageGraph) -> None:
        """Count one message's edges, those of the critical path and all others alike."""
        events = built.events
        for cause, effects in built.graph.adjacency():
            since = events[cause].event
            for effect, edge in effects.items():
                pair = (since, events[effect].event)
                try:
                    self._durations[pair].append(edge["duration_ns"])
                except KeyError:
                    self._durations[pair] = [edge["duration_ns"]]

    def build(self) -> "nx.DiGraph[str]":
        """Nodes are stage names; edges carry ``count`` and ``summary`` (a :class:`~orchestrator.tracing.percentiles.Summary`)."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        for (since, until), durations in sorted(self._durations.items()):
            graph.add_edge(since, until, count=len(durations), summary=summarize(durations))
        return graph


def build_stage_graph(graphs: Iterable[MessageGraph]) -> "nx.DiGraph[str]":
    """The stage graph of some messages; see :class:`StageGraphBuilder`."""
    builder = StageGraphBuilder()
    for built in graphs:
        builder.add(built)
    return builder.build()
