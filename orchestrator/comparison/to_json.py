"""``compare.json``: the comparison for programs, with a schema that only grows.

Durations are integer nanoseconds, cash 1e-6 USD, ratios thousandths; wei and ``cash_seconds`` (1e-6 USD x seconds) are text, for they can be
beyond 64 bits; unknown is null. *times* is ``{n, unfinished, min_ns, max_ns, p50, p95}`` with quantiles ``{ns, standing, n}`` as in
``report.json``; *cost* is ``{gas, wei}``, *stages* is ``[{stage, since, on_the_way, times}]``, and *path* is
``[{since, until, node, leg, duration_ns, traced}]``, whose durations sum to ``end_to_end_ns``.

::

    schema, headline, strategy, topology, seed, host, command, both_committed, slower_per_mille
    sides     {bundle, bridge: {mode, run_dir, ready_s, worked_s, strategies, outcomes {outcome: count}, reasons {reason: count}, end_to_end: times, stages,
              gas {rows [{purpose, payers, transactions, cost}], strategies_own, strategies_shared, messages_own, messages_shared, overhead},
              locked {times, cash, cash_seconds, bound}, median {key, end_to_end_ns, path}, alarms}}
    messages  {count, outcomes, end_to_end: times, stages, waits [{until, seconds, why}], waits_s, ratio_per_mille, limit_per_mille, standing, verdict}
"""

from dataclasses import asdict
from typing import Any

from orchestrator.comparison.model import LIMIT, Comparison, Distribution, Messages, Side, StageRow
from orchestrator.comparison.tables import headline, message_verdict
from orchestrator.tracing.gas import Cost
from orchestrator.tracing.percentiles import Quantile

SCHEMA = "rollnet.compare/1"
"""Name and version; the number grows when a field changes its meaning or goes."""


def comparison_to_json(found: Comparison) -> dict[str, Any]:
    """The comparison as plain values, ready for a JSON encoder."""
    return {
        "schema": SCHEMA,
        "headline": headline(found),
        "strategy": found.strategy,
        "topology": found.topology,
        "seed": found.seed,
        "host": found.host,
        "command": found.command,
        "both_committed": found.both_committed,
        "slower_per_mille": None if found.slower is None else round(found.slower * 1000),
        "sides": {"bundle": _side(found.bundle), "bridge": _side(found.bridge)},
        "messages": None if found.messages is None else _messages(found.messages),
    }


def _side(side: Side) -> dict[str, Any]:
    gas, locked, median = side.gas, side.locked, side.median
    return {
        "mode": side.mode,
        "run_dir": side.run_dir,
        "ready_s": round(side.ready_s, 3),
        "worked_s": round(side.worked_s, 3),
        "strategies": side.strategies,
        "outcomes": {str(outcome): count for outcome, count in side.outcomes},
        "reasons": dict(side.reasons),
        "end_to_end": _times(side.end_to_end),
        "stages": _stages(side.stages),
        "gas": {
            "rows": [
                {
                    "purpose": str(row.purpose),
                    "payers": list(row.payers),
                    "transactions": row.transactions,
                    "cost": _cost(row.cost),
                }
                for row in gas.rows
            ],
            "strategies_own": _cost(gas.strategies_own),
            "strategies_shared": _cost(gas.strategies_shared),
            "messages_own": _cost(gas.messages_own),
            "messages_shared": _cost(gas.messages_shared),
            "overhead": _cost(gas.overhead),
        },
        "locked": {
            "times": _times(locked.times),
            "cash": locked.cash,
            "cash_seconds": None if locked.cash_ns is None else str(locked.cash_ns // 10**9),
            "bound": locked.bound,
        },
        "median": None
        if median is None
        else {
            "key": median.key,
            "end_to_end_ns": median.end_to_end_ns,
            "path": [asdict(part) for part in median.segments],
        },
        "alarms": list(side.alarms),
    }


def _messages(found: Messages) -> dict[str, Any]:
    return {
        "count": found.count,
        "outcomes": {str(outcome): count for outcome, count in found.outcomes},
        "end_to_end": _times(found.end_to_end),
        "stages": _stages(found.stages),
        "waits": [asdict(wait) for wait in found.waits],
        "waits_s": found.waits_s,
        "ratio_per_mille": found.ratio_per_mille.value_ns,
        "limit_per_mille": round(LIMIT * 1000),
        "standing": str(found.standing),
        "verdict": message_verdict(found),
    }


def _stages(rows: tuple[StageRow, ...]) -> list[dict[str, Any]]:
    return [
        {
            "stage": str(row.stage),
            "since": str(row.since),
            "on_the_way": row.on_the_way,
            "times": _times(row.times),
        }
        for row in rows
    ]


def _times(found: Distribution) -> dict[str, Any]:
    return {
        "n": found.finished,
        "unfinished": found.unfinished,
        "min_ns": found.minimum_ns,
        "max_ns": found.maximum_ns,
        "p50": _quantile(found.p50),
        "p95": _quantile(found.p95),
    }


def _quantile(found: Quantile) -> dict[str, Any]:
    return {"ns": found.value_ns, "standing": str(found.standing), "n": found.n}


def _cost(cost: Cost) -> dict[str, Any]:
    return {"gas": cost.gas, "wei": str(cost.wei)}
