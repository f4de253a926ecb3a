"""One message for the terminal and for programs; the drawing for web pages is in :mod:`orchestrator.tracing.mermaid`."""

from typing import Any

from rich.markup import escape
from rich.tree import Tree

from bridge.wire.journal import Event
from orchestrator.tracing.analysis import Analysis, analyse
from orchestrator.tracing.critical_path import slacks
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import format_ms
from orchestrator.tracing.trace import Kind, Trace, site

SCHEMA = "rollnet.trace/1"
"""Name and version of what :func:`trace_to_json` returns; the number grows when a field changes its meaning."""
COLOURS = {
    Outcome.COMMITTED: "green",
    Outcome.ABORTED: "yellow",
    Outcome.EXPIRED: "yellow",
    Outcome.REFUSED: "yellow",
    Outcome.PARTIAL: "bold red",
    Outcome.EXECUTED: "green",
    Outcome.FINALIZED: "green",
    Outcome.REFUNDED: "yellow",
    Outcome.FAILED: "yellow",
    Outcome.UNKNOWN: "magenta",
}
SHOWN_ATTRS = (
    "slot",
    "round",
    "status",
    "decision",
    "reason",
    "rollup",
    "block",
    "superbatch",
    "l1_block",
    "vote",
    "amount",
    "output",
    "success",
    "by",
    "gas",
    "recovered",
)
"""Attributes worth a place in a tree's line, in this order."""


def render_tree(trace: Trace) -> Tree:
    """Draw one message as a tree of causes; ``●`` marks the critical path.

    An event with several causes hangs below the one that arrived last, the one it waited for. Offsets count from the message's first
    event, ``Δ`` from the cause above.
    """
    analysis = analyse(trace)
    built, origin = analysis.built, _origin(trace, analysis)
    critical = set(analysis.path)
    tree = Tree(_heading(trace, analysis), highlight=False)
    for line in warnings(analysis):
        tree.add(f"[bold red]‼ {escape(line)}[/]")
    if analysis.start is not None and analysis.intended_ns is not None:
        tree.add(f"[dim]sent {format_ms(origin - analysis.intended_ns)} after its schedule[/]")
    if analysis.awaited:
        tree.add(f"[magenta]not journalled yet: {', '.join(analysis.awaited)}[/]")
    branches: dict[str, Tree] = {}
    missing = {effect for effect, _ in built.orphans}
    for identity in _causes_first(analysis):
        event = built.events[identity]
        causes = [(built.events[cause].mono_ns, cause) for cause in built.graph.predecessors(identity)]
        last = max(causes)[1] if causes else None
        mark = "[bold cyan]●[/]" if identity in critical else "○"
        since = "" if last is None else f" [dim]Δ {format_ms(event.mono_ns - built.events[last].mono_ns)}[/]"
        joined = f" [dim](joins {len(causes)})[/]" if len(causes) > 1 else ""
        lost = " [red](a stated cause is in no journal)[/]" if identity in missing else ""
        leg = "" if event.leg is None else f" leg {event.leg}"
        line = (
            f"{mark} {format_ms(event.mono_ns - origin):>9}{since}  [bold]{escape(event.event)}[/]{leg}"
            f" [cyan]{escape(site(event))}[/] {escape(_details(event))}{joined}{lost}"
        )
        branches[identity] = (tree if last is None else branches.get(last, tree)).add(line)
    return tree


def trace_to_json(trace: Trace) -> dict[str, Any]:
    """Everything known about one message, ready for a JSON encoder.

    ``schema, key, kind, outcome, reason, failed_leg, failed_rollup, legs, end_to_end_ns, service_ns, intended_ns, start_mono_ns,
    stages [{stage, since, duration_ns}], awaited [stage], critical_path [{since, until, node, leg, duration_ns, traced}],
    critical_path_events [id], blocking [{stage, node, leg, margin_ns}], slacks [{join, cause, slack_ns}], repeated [id],
    orphans [{event, missing}], skews [{cause, effect, by_ns}], alarms [text], events [{id, … the journal's fields}]``.
    Times are nanoseconds on the host's monotonic clock; what is not known is null.
    """
    analysis = analyse(trace)
    verdict, built = analysis.verdict, analysis.built
    return {
        "schema": SCHEMA,
        "key": trace.key,
        "kind": str(trace.kind),
        "outcome": str(verdict.outcome),
        "reason": verdict.reason,
        "failed_leg": verdict.failed_leg,
        "failed_rollup": verdict.failed_rollup,
        "legs": verdict.legs,
        "end_to_end_ns": analysis.end_to_end_ns,
        "service_ns": analysis.service_ns,
        "intended_ns": analysis.intended_ns,
        "start_mono_ns": None if analysis.start is None else analysis.start.mono_ns,
        "stages": [
            {"stage": str(time.stage), "since": str(time.since), "duration_ns": time.duration_ns}
            for time in analysis.stage_times
        ],
        "awaited": [str(stage) for stage in analysis.awaited],
        "critical_path": [
            {
                "since": part.since,
                "until": part.until,
                "node": part.node,
                "leg": part.leg,
                "duration_ns": part.duration_ns,
                "traced": part.traced,
            }
            for part in analysis.segments
        ],
        "critical_path_events": list(analysis.path),
        "blocking": [
            {"stage": block.stage, "node": block.node, "leg": block.leg, "margin_ns": block.margin_ns}
            for block in analysis.blocking
        ],
        "slacks": [
            {"join": slack.join, "cause": slack.cause, "slack_ns": slack.slack_ns} for slack in slacks(built)
        ],
        "repeated": [event.id for event in built.repeated],
        "orphans": [{"event": effect, "missing": cause} for effect, cause in built.orphans],
        "skews": [
            {"cause": skew.cause, "effect": skew.effect, "by_ns": skew.by_ns} for skew in analysis.skews
        ],
        "alarms": list(analysis.alarms),
        "events": [_event_to_json(event) for event in trace.events],
    }


def warnings(analysis: Analysis) -> list[str]:
    """What a reader must know before believing the picture, worst first."""
    found = list(analysis.alarms)
    if analysis.outcome is Outcome.PARTIAL:
        found.insert(0, "PARTIAL: this bundle is not atomic")
    if analysis.start is None:
        found.append("no journal holds its submission: no end-to-end time")
    found += [
        f"{skew.effect} is {format_ms(skew.by_ns)} older than its cause {skew.cause}"
        for skew in analysis.skews
    ]
    return found


def _heading(trace: Trace, analysis: Analysis) -> str:
    verdict = analysis.verdict
    took = "" if analysis.end_to_end_ns is None else f" in {format_ms(analysis.end_to_end_ns)}"
    legs = "" if trace.kind is Kind.MESSAGE else f", {verdict.legs} leg{'s' * (verdict.legs != 1)}"
    blame = [
        f"leg {verdict.failed_leg}" if verdict.failed_leg is not None else "",
        f"on {verdict.failed_rollup}" if verdict.failed_rollup else "",
        verdict.reason or "",
    ]
    why = " ".join(part for part in blame if part)
    colour = COLOURS[verdict.outcome]
    return (
        f"{trace.kind} [bold]{escape(trace.key)}[/]: [{colour}]{verdict.outcome}[/]{took}{legs}"
        f"{f' ({escape(why)})' if why else ''}"
    )


def _origin(trace: Trace, analysis: Analysis) -> int:
    """What offsets count from: the submission, or the first event if that is lost."""
    return trace.events[0].mono_ns if analysis.start is None else analysis.start.mono_ns


def _causes_first(analysis: Analysis) -> list[str]:
    """Ids so that each stands after the cause that it hangs below, even under clock skew or a cycle of causes."""
    built = analysis.built
    parent = {
        identity: max(
            ((built.events[cause].mono_ns, cause) for cause in built.graph.predecessors(identity)),
            default=(0, ""),
        )[1]
        for identity in built.events
    }
    ordered: dict[str, None] = {}
    for identity in built.events:
        chain = [identity]
        while (above := parent[chain[-1]]) and above not in ordered and above not in chain:
            chain.append(above)
        for link in reversed(chain):
            ordered.setdefault(link)
    return list(ordered)


def _details(event: Event) -> str:
    shown = {name: event.attrs[name] for name in SHOWN_ATTRS if event.attrs.get(name) is not None}
    return " ".join(
        f"{name}={value}" for name, value in shown.items() if value is not True and value != site(event)
    )


def _event_to_json(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "event": event.event,
        "msg_id": event.msg_id,
        "bundle_id": event.bundle_id,
        "leg": event.leg,
        "node": event.node,
        "role": event.role,
        "boot": event.boot,
        "seq": event.seq,
        "mono_ns": event.mono_ns,
        "wall_ns": event.wall_ns,
        "cause": list(event.cause),
        "attrs": event.attrs,
    }
