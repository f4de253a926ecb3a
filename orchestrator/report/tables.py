"""The report's tables as rows of text: what the terminal and the Markdown page share, so that they can't disagree."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.bridging.terms import ether
from orchestrator.report.model import MessageRow, Report, ShareRow
from orchestrator.tracing.outcome import WITHOUT_EFFECT, possible
from orchestrator.tracing.percentiles import Summary, format_ms

METHOD = (
    "Nearest rank on nanoseconds of the host's monotonic clock. p_q is given from 10/(1-q) messages on "
    "(p50: 20, p90: 100, p99: 1,000), else n/a. Unfinished messages count as longer than any other: > drain. "
    "Percentiles of stages do not add up."
)
"""How the numbers were made; printed under the tables."""
QUANTILE_COLUMNS = ("n", "unfinished", "p50", "p90", "p99", "min", "max")


@dataclass(frozen=True, slots=True)
class Table:
    """One table, ready to print."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False
    """Whether a page shows it closed."""


def build_tables(report: Report) -> tuple[Table, ...]:
    """All tables that have something to say, in reading order."""
    tables = (
        _outcomes(report),
        _violations(report),
        _latencies(report),
        _stages(report),
        _shares(report),
        _blocking(report),
        _messages("Slowest messages", report.slowest),
        _reasons(report),
        _messages("Messages without effect", report.aborted, total=_not_committed(report), folded=True),
        _gas(report),
        _faults(report),
        _stage_graph(report),
        _nodes(report),
        _evidence(report),
    )
    return tuple(table for table in tables if table.rows)


def _outcomes(report: Report) -> Table:
    kinds = list(dict.fromkeys(row.kind for row in report.outcomes))
    rows = [
        (
            str(kind),
            *(
                f"{report.count(outcome, kind):,}" if outcome in possible(kind) else ""
                for outcome in report.endings
            ),
            f"{sum(report.count(outcome, kind) for outcome in report.endings):,}",
        )
        for kind in kinds
    ]
    return Table("Outcomes", ("kind", *(str(outcome) for outcome in report.endings), "all"), tuple(rows))


def _violations(report: Report) -> Table:
    rows = [
        (row.key, str(row.outcome), "; ".join(row.alarms) or "legs disagree", row.reason or "")
        for row in report.violations
    ]
    title = f"‼ Violations ({_shown(len(rows), report.violations_total)})"
    return Table(title, ("message", "outcome", "what contradicts", "stated reason"), tuple(rows))


def _latencies(report: Report) -> Table:
    rows = [
        (str(row.kind), str(row.outcome), row.since, *_summary(row.summary), f"{row.unmeasured:,}")
        for row in report.latencies
    ]
    columns = ("kind", "outcome", "since", *QUANTILE_COLUMNS, "start unknown")
    return Table("End to end", columns, tuple(rows))


def _stages(report: Report) -> Table:
    rows = [(str(row.kind), row.since, row.stage, *_summary(row.summary)) for row in report.stages]
    return Table("By stage", ("kind", "since", "stage", *QUANTILE_COLUMNS), tuple(rows))


def _shares(report: Report) -> Table:
    rows = [
        (
            str(row.kind),
            _edge(row),
            f"{row.messages:,}",
            f"{row.share:.1%}",
            "n/a" if row.share_at_p99 is None else f"{row.share_at_p99:.1%}",
        )
        for row in report.shares
    ]
    columns = ("kind", "edge", "messages", "share of end to end", "share near p99")
    return Table("Critical path of messages that ended well", columns, tuple(rows))


def _edge(row: ShareRow) -> str:
    return f"{row.since} → {row.until}" + ("" if row.traced else " (untraced)")


def _blocking(report: Report) -> Table:
    rows = [
        (row.stage, row.node, f"{row.count:,}", f"{row.count / row.joins:.1%}", str(row.margin))
        for row in report.blocking
    ]
    columns = ("stage", "last rollup", "times", "of joins", "p50 margin")
    return Table("Who was waited for", columns, tuple(rows))


def _messages(
    title: str, found: Sequence[MessageRow], total: int | None = None, *, folded: bool = False
) -> Table:
    rows = [
        (
            row.key,
            str(row.outcome),
            str(row.legs),
            "" if row.end_to_end_ns is None else format_ms(row.end_to_end_ns),
            f"{row.waited_for} {format_ms(row.waited_ns)}" if row.waited_for else "",
            _blame(row),
        )
        for row in found
    ]
    if total is not None:
        title = f"{title} ({_shown(len(rows), total)})"
    return Table(
        title, ("message", "outcome", "legs", "end to end", "longest wait", "reason"), tuple(rows), folded
    )


def _blame(row: MessageRow) -> str:
    leg = "" if row.failed_leg is None else f"leg {row.failed_leg}"
    rollup = "" if row.failed_rollup is None else f"on {row.failed_rollup}"
    where = " ".join(part for part in (leg, rollup) if part)
    return ": ".join(part for part in (where, row.reason) if part)


def _reasons(report: Report) -> Table:
    rows = [(row.reason, row.rollup or "", f"{row.count:,}") for row in report.reasons]
    return Table("Why messages had no effect", ("reason", "rollup", "messages"), tuple(rows))


def _gas(report: Report) -> Table:
    rows = [
        (str(row.purpose), row.payer, f"{row.transactions:,}", f"{row.gas:,}", ether(row.wei))
        for row in report.gas
    ]
    return Table("Paid on L1", ("purpose", "payer", "transactions", "gas", "ETH"), tuple(rows))


def _faults(report: Report) -> Table:
    rows = [
        (f"{row.at_ns / 1e9:.3f} s", row.event, row.node, f"{row.in_flight:,}", row.details)
        for row in report.faults
    ]
    return Table("Faults", ("at", "fault", "node", "in flight", "details"), tuple(rows))


def _stage_graph(report: Report) -> Table:
    rows = [(row.since, row.until, *_summary(row.summary)) for row in report.stage_graph]
    return Table("All causes by stage", ("cause", "effect", *QUANTILE_COLUMNS), tuple(rows), folded=True)


def _nodes(report: Report) -> Table:
    rows = [
        (row.node, row.role, f"{row.boots:,}", f"{row.restarts:,}", f"{row.events:,}", f"{row.lost:,}")
        for row in report.nodes
    ]
    columns = ("node", "role", "boots", "restarts", "events", "lost")
    return Table("Nodes", columns, tuple(rows), folded=True)


def _evidence(report: Report) -> Table:
    found = report.evidence
    worst = f", worst {format_ms(found.worst_skew_ns)}" if found.skews else ""
    rows = [
        ("torn journal lines", ", ".join(f"{name}: {lines:,}" for name, lines in found.torn) or "0"),
        ("numbers without a line", f"{found.lost:,}"),
        ("stated causes that are missing", f"{found.orphans:,}"),
        ("effects older than their causes", f"{found.skews:,}{worst}"),
        ("events told again", f"{found.repeated:,}"),
    ]
    return Table("Evidence", ("what", "how many"), tuple(rows), folded=True)


def _summary(summary: Summary) -> tuple[str, ...]:
    bounds = (summary.minimum_ns, summary.maximum_ns)
    return (
        f"{summary.finished:,}",
        f"{summary.unfinished:,}",
        *(str(found) for found in summary.quantiles),
        *("" if bound is None else format_ms(bound) for bound in bounds),
    )


def _not_committed(report: Report) -> int:
    return sum(report.count(outcome) for outcome in WITHOUT_EFFECT)


def _shown(shown: int, total: int) -> str:
    return f"{total:,}" if shown == total else f"first {shown:,} of {total:,}"
