"""From traces to the report: one pass over the messages, no I/O.

Each message is analysed once and its graph dropped again, so a hundred thousand messages need only their
numbers in memory. The few messages that the report shows in full are analysed a second time.
"""

import heapq
from collections import Counter

from orchestrator.report.faults import fault_rows
from orchestrator.report.latency import LatencyTables
from orchestrator.report.model import (
    Evidence,
    GasRow,
    MessageRow,
    NodeRow,
    OutcomeCount,
    ReasonRow,
    Report,
    RunMeta,
    StageEdge,
)
from orchestrator.report.shares import BlockingTable, ShareTable
from orchestrator.tracing.analysis import Analysis, analyse
from orchestrator.tracing.gas import account_gas
from orchestrator.tracing.mermaid import render_mermaid, render_stage_graph
from orchestrator.tracing.outcome import WITHOUT_EFFECT, Outcome, possible
from orchestrator.tracing.stage_graph import StageGraphBuilder
from orchestrator.tracing.trace import Kind, NodeJournal, TraceSet

SLOWEST_SHOWN = 10
"""Messages in the table of the slowest."""
ABORTED_SHOWN = 50
"""Messages in the table of the aborted and expired; the reasons are counted over all of them."""
VIOLATIONS_SHOWN = 50
"""Messages in the table of violations; the headline counts all."""
REASONS_SHOWN = 20
"""Different reasons in their table, the most frequent."""
COMMANDS = frozenset({"client", "orchestrator"})
"""Roles whose every invocation is a new boot."""


def build_report(traces: TraceSet, meta: RunMeta) -> Report:
    """Count and measure a run; pure, and the same for the same journals."""
    outcomes: Counter[tuple[Kind, Outcome]] = Counter()
    reasons: Counter[tuple[str, str | None]] = Counter()
    latency, shares, blocking, stages = LatencyTables(), ShareTable(), BlockingTable(), StageGraphBuilder()
    ended: list[tuple[int, str]] = []
    aborted: list[str] = []
    violations: list[str] = []
    spans: list[tuple[int, int | None]] = []
    orphans = repeated = skewed = worst_skew = 0
    for trace in traces.traces.values():
        found = analyse(trace)
        outcomes[found.kind, found.outcome] += 1
        latency.add(found)
        shares.add(found)
        blocking.add(found)
        stages.add(found.built)
        spans.append(_span(found))
        if found.end_to_end_ns is not None:
            ended.append((found.end_to_end_ns, found.key))
        if found.outcome in WITHOUT_EFFECT:
            aborted.append(found.key)
            reasons[found.verdict.reason or str(found.outcome), found.verdict.failed_rollup] += 1
        if found.outcome is Outcome.PARTIAL or found.alarms:
            violations.append(found.key)
        orphans += len(found.built.orphans)
        repeated += len(found.built.repeated)
        skewed += len(found.skews)
        for skew in found.skews:
            worst_skew = max(worst_skew, skew.by_ns)
    slowest = [key for _, key in heapq.nlargest(SLOWEST_SHOWN, ended)]
    stage_graph = stages.build()
    return Report(
        meta=meta,
        outcomes=tuple(
            OutcomeCount(kind, outcome, outcomes[kind, outcome])
            for kind in Kind
            if any(seen is kind for seen, _ in outcomes)
            for outcome in possible(kind)
        ),
        latencies=latency.latency_rows(),
        stages=latency.stage_rows(),
        shares=shares.rows(),
        blocking=blocking.rows(),
        stage_graph=tuple(
            StageEdge(since, until, edge["count"], edge["summary"])
            for since, until, edge in stage_graph.edges(data=True)
        ),
        slowest=_message_rows(traces, slowest),
        aborted=_message_rows(traces, aborted[:ABORTED_SHOWN]),
        reasons=_reason_rows(reasons),
        violations=_message_rows(traces, violations[:VIOLATIONS_SHOWN]),
        violations_total=len(violations),
        gas=tuple(
            GasRow(purpose, payer, count, cost.gas, cost.wei)
            for purpose, payer, count, cost in account_gas(traces).rows()
        ),
        nodes=tuple(_node_row(journal) for journal in traces.journals),
        faults=fault_rows(traces, spans),
        evidence=Evidence(
            torn=tuple(traces.torn.items()),
            lost=sum(journal.lost for journal in traces.journals),
            orphans=orphans,
            skews=skewed,
            worst_skew_ns=worst_skew,
            repeated=repeated,
        ),
        drawings=(
            *((f"First violation: {key}", render_mermaid(traces.traces[key])) for key in violations[:1]),
            *((f"Slowest message: {key}", render_mermaid(traces.traces[key])) for key in slowest[:1]),
            *([("All messages by stage", render_stage_graph(stage_graph))] if len(stage_graph) else []),
        ),
    )


def _span(found: Analysis) -> tuple[int, int | None]:
    """When a message was in flight, monotonic nanoseconds; no end while it has none."""
    events = found.built.events
    start = found.start or next(iter(events.values()))
    sink = found.verdict.sink
    return start.mono_ns, None if sink is None else sink.mono_ns


def _message_rows(traces: TraceSet, keys: list[str]) -> tuple[MessageRow, ...]:
    return tuple(_message_row(analyse(traces.traces[key])) for key in keys)


def _message_row(found: Analysis) -> MessageRow:
    longest = max(found.segments, key=lambda part: part.duration_ns, default=None)
    verdict = found.verdict
    return MessageRow(
        key=found.key,
        kind=found.kind,
        outcome=verdict.outcome,
        legs=verdict.legs,
        end_to_end_ns=found.end_to_end_ns,
        reason=verdict.reason,
        failed_leg=verdict.failed_leg,
        failed_rollup=verdict.failed_rollup,
        waited_for="" if longest is None else f"{longest.since} → {longest.until} ({longest.node})",
        waited_ns=0 if longest is None else longest.duration_ns,
        alarms=found.alarms,
    )


def _reason_rows(reasons: Counter[tuple[str, str | None]]) -> tuple[ReasonRow, ...]:
    ranked = sorted(reasons.items(), key=lambda item: (-item[1], item[0][0], item[0][1] or ""))
    return tuple(ReasonRow(reason, rollup, count) for (reason, rollup), count in ranked[:REASONS_SHOWN])


def _node_row(journal: NodeJournal) -> NodeRow:
    restarts = 0 if journal.role in COMMANDS else journal.boots - 1
    return NodeRow(journal.node, journal.role, journal.boots, restarts, journal.events, journal.lost)
