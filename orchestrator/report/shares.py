"""Where the time of messages that ended well went: shares of the critical path, and who was waited for."""

from collections import Counter, defaultdict

from bridge.wire.stages import Stage
from orchestrator.report.model import BlockingRow, ShareRow
from orchestrator.tracing.analysis import Analysis
from orchestrator.tracing.critical_path import Segment
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import nearest_rank, quantile, samples_needed
from orchestrator.tracing.trace import Kind

Edge = tuple[str, str, bool]
"""since, until, traced."""
BAND_PER_MILLE = (985, 995)
"""The neighbourhood of p99 whose paths explain it: percentiles of stages don't add, means of shares do."""

ENDED_WELL = (Outcome.COMMITTED, Outcome.EXECUTED, Outcome.FINALIZED)


class ShareTable:
    """Sums critical-path segments over the messages that ended well."""

    def __init__(self) -> None:
        self._paths: defaultdict[Kind, list[tuple[int, tuple[Segment, ...]]]] = defaultdict(list)

    def add(self, found: Analysis) -> None:
        """Count one message, if it ended well and its time is known."""
        if found.outcome in ENDED_WELL and found.end_to_end_ns is not None:
            self._paths[found.kind].append((found.end_to_end_ns, found.segments))

    def rows(self) -> tuple[ShareRow, ...]:
        """Largest share first within each kind."""
        return tuple(row for kind in Kind for row in _share_rows(kind, self._paths[kind]))


class BlockingTable:
    """Counts the last arrivals at joins, and by how much they were last."""

    def __init__(self) -> None:
        self._margins: defaultdict[tuple[str, str], list[int]] = defaultdict(list)

    def add(self, found: Analysis) -> None:
        """Count one message's joins."""
        for block in found.blocking:
            self._margins[block.stage, block.node].append(block.margin_ns)

    def rows(self) -> tuple[BlockingRow, ...]:
        """By stage, most frequent first."""
        joins: Counter[str] = Counter()
        for (stage, _), margins in self._margins.items():
            joins[stage] += len(margins)
        rows = [
            BlockingRow(stage, node, len(margins), joins[stage], quantile(sorted(margins), 500))
            for (stage, node), margins in self._margins.items()
        ]
        return tuple(sorted(rows, key=lambda row: (row.stage == Stage.LEG_EXECUTED, -row.count, row.node)))


def _share_rows(kind: Kind, paths: list[tuple[int, tuple[Segment, ...]]]) -> list[ShareRow]:
    totals: Counter[Edge] = Counter()
    messages: Counter[Edge] = Counter()
    for _, parts in paths:
        spent = _by_edge(parts)
        totals.update(spent)
        messages.update(spent.keys())
    whole = sum(end_to_end for end_to_end, _ in paths)
    at_p99 = _mean_shares_at_p99(paths)
    rows = [
        ShareRow(
            kind=kind,
            since=since,
            until=until,
            traced=traced,
            messages=messages[since, until, traced],
            total_ns=total,
            share=total / whole if whole else 0.0,
            share_at_p99=None if at_p99 is None else at_p99.get((since, until, traced), 0.0),
        )
        for (since, until, traced), total in totals.items()
    ]
    return sorted(rows, key=lambda row: (-row.total_ns, row.since, row.until))


def _by_edge(parts: tuple[Segment, ...]) -> dict[Edge, int]:
    spent: dict[Edge, int] = {}
    for part in parts:
        edge = (part.since, part.until, part.traced)
        spent[edge] = spent.get(edge, 0) + part.duration_ns
    return spent


def _mean_shares_at_p99(paths: list[tuple[int, tuple[Segment, ...]]]) -> dict[Edge, float] | None:
    if len(paths) < samples_needed(990):
        return None
    ordered = sorted(paths, key=lambda path: path[0])
    low, high = (nearest_rank(len(ordered), per_mille) for per_mille in BAND_PER_MILLE)
    band = [path for path in ordered[low - 1 : high] if path[0] > 0]
    means: dict[Edge, float] = {}
    for end_to_end, parts in band:
        for edge, spent in _by_edge(parts).items():
            means[edge] = means.get(edge, 0.0) + spent / end_to_end / len(band)
    return means
