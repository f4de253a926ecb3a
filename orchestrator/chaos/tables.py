"""The tables of a scenario's report as rows of text: what the terminal, the Markdown page and the HTML page share."""

from collections.abc import Sequence

from orchestrator.chaos.findings import Findings
from orchestrator.chaos.statistics import QUANTILES, Row, parts_of, rows_of
from orchestrator.checks import CheckResult, Verdict
from orchestrator.comparison.tables import took
from orchestrator.report.tables import Table
from orchestrator.tracing.percentiles import Quantile

METHOD = (
    "Latency counts from the time at which an operation was to be sent, whatever kept it back. Nearest rank; p_q is given from 10/(1-q) "
    "operations on (p50: 20, p95: 200, p99: 1,000), else n/a. Operations without an end (info) count as longer than any other: > drain."
)
"""How the numbers were made; printed under the tables."""
LONGEST_REASON = 200
"""Characters of one reason in the headline."""
NOTES = 3
"""Notes of a check that tables show; all are in ``chaos.json``."""
MARKS = {Verdict.VALID: "✔", Verdict.INVALID: "✘", Verdict.UNKNOWN: "?"}


def headline(found: Findings) -> str:
    """The verdict and why, in one line."""
    words = {
        Verdict.VALID: f"every fault bit, and all {len(found.checks)} checks hold",
        Verdict.INVALID: _because(found.because),
        Verdict.UNKNOWN: _because(found.because),
    }
    return f"{found.verdict.value.upper()}: {words[found.verdict]}"


def build_tables(found: Findings) -> tuple[Table, ...]:
    """All tables, in reading order."""
    parts = parts_of(found.facts)
    rows = rows_of(found.facts, parts)
    tables = (_checks(found.checks), _phases(rows), _faults(found), _by_kind(rows))
    return tuple(table for table in tables if table.rows)


def summary_of(check: CheckResult) -> str:
    """What a check saw, and what is wrong if anything is."""
    if check.counterexample is not None:
        more = f" (and {check.violations - 1:,} more)" if check.violations > 1 else ""
        return f"{check.counterexample.lines[0]}{more}"
    more = f"; and {len(check.notes) - NOTES:,} more" if len(check.notes) > NOTES else ""
    return "; ".join(check.notes[:NOTES]) + more


def _because(checks: Sequence[CheckResult]) -> str:
    said = [f"{check.name}: {_clipped(summary_of(check))}" for check in checks[:2]]
    more = f", and {len(checks) - 2} more" if len(checks) > 2 else ""
    return "; ".join(said) + more


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _checks(checks: Sequence[CheckResult]) -> Table:
    rows = [
        (
            f"{MARKS[check.verdict]} {check.verdict}",
            check.name,
            f"{check.seen:,} {check.of_what}",
            summary_of(check),
        )
        for check in checks
    ]
    return Table("Checks", ("verdict", "check", "seen", "what"), tuple(rows))


def _phases(rows: Sequence[Row]) -> Table:
    columns = ("phase", "lasted", "ok", "fail", "info", "ok/s", *_quantile_names(), "worst")
    return Table(
        "Load by phase", columns, tuple((_named(row), *_numbers(row)) for row in rows if row.group == "all")
    )


def _by_kind(rows: Sequence[Row]) -> Table:
    columns = ("phase", "kind", "lasted", "ok", "fail", "info", "ok/s", *_quantile_names(), "worst")
    some = tuple((_named(row), row.group, *_numbers(row)) for row in rows if row.group != "all")
    return Table("Load by phase and kind", columns, some, folded=True)


def _quantile_names() -> tuple[str, ...]:
    return tuple(f"p{per_mille / 10:g}" for per_mille in QUANTILES)


def _named(row: Row) -> str:
    return f"⚡ {row.part.name}" if row.part.fault else row.part.name


def _numbers(row: Row) -> tuple[str, ...]:
    return (
        f"{row.part.seconds:.1f} s",
        f"{row.ok:,}",
        f"{row.fail:,}",
        f"{row.info:,}",
        f"{row.per_second:.1f}",
        *(_quantile(found) for found in row.quantiles),
        "" if row.worst_ns is None else took(row.worst_ns),
    )


def _quantile(found: Quantile) -> str:
    return took(found.value_ns) if found.value_ns is not None else str(found)


def _faults(found: Findings) -> Table:
    rows = []
    for one in found.struck:
        fault = one.fault
        lasted = "never began" if one.begun_ns is None else took(one.healed_ns - one.begun_ns)
        rows.append(
            (
                fault.name,
                fault.kind,
                ", ".join(fault.strikes),
                str(fault.trigger),
                lasted,
                "yes" if one.bite.bit else "NO",
                one.bite.evidence,
                one.healing.evidence,
            )
        )
    columns = ("fault", "kind", "struck", "when", "lasted", "bit", "evidence", "healed")
    return Table("Faults", columns, tuple(rows))
