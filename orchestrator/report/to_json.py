"""``report.json``: the report for programs, with a schema that only grows.

Fields keep their names and meanings within one version of :data:`SCHEMA`; new ones may appear. Durations are integer
nanoseconds, wei are text, shares fractions of 1, unknown is null. A *summary* is ``{n, unfinished, min_ns, max_ns, p50, p90, p99}``,
where ``n`` counts the finished, and a *quantile* is ``{ns, standing, n}`` with ``standing`` one of ``measured``, ``too-few``,
``beyond-drain`` (``ns`` is null unless measured) and ``n`` the samples with the unfinished.

::

    schema, headline, run {name, run, seed, host}, total, violations_total
    outcomes       {kind: {committed, aborted, expired, refused, partial, unknown}}, {message: {executed, finalized, refunded, failed, unknown}}
    latencies      [{kind, outcome, since, summary, unmeasured}]
    stages         [{kind, stage, since, summary}]
    critical_path  [{kind, since, until, traced, messages, total_ns, share, share_at_p99}]
    blocking       [{stage, node, count, joins, margin: quantile}]
    stage_graph    [{since, until, count, summary}]
    slowest, aborted, violations
                   [{key, kind, outcome, legs, end_to_end_ns, reason, failed_leg, failed_rollup, waited_for, waited_ns, alarms}]
    reasons        [{reason, rollup, count}]
    gas            [{purpose, payer, transactions, gas, wei}]
    nodes          [{node, role, boots, restarts, events, lost}]
    faults         [{at_ns, event, node, details, in_flight}]
    evidence       {torn {file: lines}, lost, orphans, skews, worst_skew_ns, repeated}
"""

from dataclasses import asdict
from typing import Any

from orchestrator.report.model import Report
from orchestrator.tracing.percentiles import Quantile, Summary

SCHEMA = "rollnet.report/1"
"""Name and version; the number grows when a field changes its meaning or goes."""


def report_to_json(report: Report) -> dict[str, Any]:
    """The report as plain values, ready for a JSON encoder; drawings are left to ``report.md``."""
    outcomes: dict[str, dict[str, int]] = {}
    for row in report.outcomes:
        outcomes.setdefault(str(row.kind), {})[str(row.outcome)] = row.count
    return {
        "schema": SCHEMA,
        "headline": report.headline,
        "run": asdict(report.meta),
        "total": report.total,
        "violations_total": report.violations_total,
        "outcomes": outcomes,
        "latencies": [
            {
                "kind": str(row.kind),
                "outcome": str(row.outcome),
                "since": row.since,
                "summary": _summary(row.summary),
                "unmeasured": row.unmeasured,
            }
            for row in report.latencies
        ],
        "stages": [
            {"kind": str(row.kind), "stage": row.stage, "since": row.since, "summary": _summary(row.summary)}
            for row in report.stages
        ],
        "critical_path": [asdict(row) for row in report.shares],
        "blocking": [
            {
                "stage": row.stage,
                "node": row.node,
                "count": row.count,
                "joins": row.joins,
                "margin": _quantile(row.margin),
            }
            for row in report.blocking
        ],
        "stage_graph": [
            {"since": row.since, "until": row.until, "count": row.count, "summary": _summary(row.summary)}
            for row in report.stage_graph
        ],
        "slowest": [asdict(row) for row in report.slowest],
        "aborted": [asdict(row) for row in report.aborted],
        "violations": [asdict(row) for row in report.violations],
        "reasons": [asdict(row) for row in report.reasons],
        "gas": [{**asdict(row), "wei": str(row.wei)} for row in report.gas],
        "nodes": [asdict(row) for row in report.nodes],
        "faults": [asdict(row) for row in report.faults],
        "evidence": {**asdict(report.evidence), "torn": dict(report.evidence.torn)},
    }


def _summary(summary: Summary) -> dict[str, Any]:
    return {
        "n": summary.finished,
        "unfinished": summary.unfinished,
        "min_ns": summary.minimum_ns,
        "max_ns": summary.maximum_ns,
        **{f"p{found.per_mille / 10:g}": _quantile(found) for found in summary.quantiles},
    }


def _quantile(found: Quantile) -> dict[str, Any]:
    return {"ns": found.value_ns, "standing": str(found.standing), "n": found.n}
