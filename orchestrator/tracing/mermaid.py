"""Drawings as Mermaid text, which GitHub and most editors render: one message in time, and all messages by stage.

Mermaid refuses texts over 50,000 characters and graphs over 500 edges, so one drawing shows one message, never a run, and a
message that is still too long is cut off with a note that says so.
"""

import networkx as nx

from bridge.wire.journal import Event
from orchestrator.tracing.analysis import Analysis, analyse
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import Summary, format_ms
from orchestrator.tracing.trace import Trace, site

TEXT_LIMIT = 50_000
"""Characters that Mermaid accepts (``maxTextSize``)."""
EDGE_LIMIT = 500
"""Edges that Mermaid accepts (``maxEdges``)."""
LABEL_LIMIT = 120
"""Characters of one label; longer reasons are cut."""
RESERVED = 400
"""Characters kept free for the notes at the end."""


def render_mermaid(trace: Trace) -> str:
    """One message as a ``sequenceDiagram``: a lifeline per node, an arrow per cause that crosses nodes.

    What the relayer tells stands on the lifeline of the chain where it saw it.

    Solid arrows are the causes that arrived last, dashed ones had slack; ``★`` marks the critical path. Times count
    from the submission.
    """
    analysis = analyse(trace)
    events = analysis.built.events
    origin = trace.events[0].mono_ns if analysis.start is None else analysis.start.mono_ns
    lanes: dict[str, str] = {}
    participants: list[str] = []
    body: list[str] = []
    size = 0
    for drawn, (identity, event) in enumerate(events.items()):
        drawing = _draw(analysis, identity, event, lanes, origin)
        entering = [f"    participant {lane} as {plain(node)}" for node, lane in lanes.items()][
            len(participants) :
        ]
        size += sum(len(line) + 1 for line in (*drawing, *entering))
        if size > TEXT_LIMIT - RESERVED or len(body) + len(drawing) > EDGE_LIMIT:
            body.append(f"    Note over n0: {len(events) - drawn} more events are not drawn")
            break
        participants += entering
        body += drawing
    ending = f"    Note over n0: {plain(_ending(analysis))}"
    return "\n".join(["sequenceDiagram", *participants, *body, ending]) + "\n"


def render_stage_graph(stage_graph: "nx.DiGraph[str]") -> str:
    """The aggregate stage graph as a ``flowchart``: each edge with its count, p50 and p99."""
    names = {stage: f"s{place}" for place, stage in enumerate(stage_graph)}
    lines = ["flowchart TD"]
    lines += [f'    {name}["{plain(stage)}"]' for stage, name in names.items()]
    for since, until, edge in list(stage_graph.edges(data=True))[:EDGE_LIMIT]:
        summary: Summary = edge["summary"]
        middle, high = summary.quantiles[0], summary.quantiles[-1]
        label = f"{edge['count']} times, p50 {middle} p99 {high}"
        lines.append(f'    {names[since]} -->|"{plain(label)}"| {names[until]}')
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Text that can't end a label or a statement: what Mermaid reads as syntax becomes a blank, long text is cut."""
    cut = text if len(text) <= LABEL_LIMIT else text[: LABEL_LIMIT - 1] + "…"
    return "".join(sign if sign.isprintable() and sign not in '#;"<>|`{}[]%' else " " for sign in cut)


def _draw(analysis: Analysis, identity: str, event: Event, lanes: dict[str, str], origin: int) -> list[str]:
    """The lines of one event; nodes that appear for the first time are given a lane."""
    built = analysis.built
    star = "★ " if identity in analysis.path else ""
    leg = "" if event.leg is None else f" leg {event.leg}"
    said = event.attrs.get("decision") or event.attrs.get("status") or ""
    verdict = f" {said}" if said else ""
    label = plain(f"{star}{event.event}{leg}{verdict} +{format_ms(event.mono_ns - origin)}")
    causes = sorted((built.events[cause].mono_ns, cause) for cause in built.graph.predecessors(identity))
    last = causes[-1] if causes else None
    drawing = []
    for arrived, cause in causes:
        source = built.events[cause]
        if site(source) == site(event):
            continue
        here, there = _lane(lanes, site(source)), _lane(lanes, site(event))
        if last == (arrived, cause):
            drawing.append(f"    {here}->>{there}: {label}")
        else:
            slack = format_ms(last[0] - arrived) if last else ""
            drawing.append(f"    {here}-->>{there}: {plain(f'{source.event} slack {slack}')}")
    if last is None or site(built.events[last[1]]) == site(event):
        drawing.append(f"    Note over {_lane(lanes, site(event))}: {label}")
    return drawing


def _lane(lanes: dict[str, str], node: str) -> str:
    return lanes.setdefault(node, f"n{len(lanes)}")


def _ending(analysis: Analysis) -> str:
    if analysis.outcome is Outcome.UNKNOWN:
        return "unknown, no end is journalled"
    took = "" if analysis.end_to_end_ns is None else f" after {format_ms(analysis.end_to_end_ns)}"
    why = f", {analysis.verdict.reason}" if analysis.verdict.reason else ""
    return f"{analysis.outcome}{took}{why}"
