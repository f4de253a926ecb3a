"""The report for a terminal: the same tables as the page, without drawings."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from orchestrator.report.model import Report
from orchestrator.report.tables import METHOD, Table, build_tables
from orchestrator.tracing.outcome import Outcome

PLAIN_COLUMNS = frozenset(
    {
        "kind",
        "outcome",
        "since",
        "stage",
        "message",
        "edge",
        "reason",
        "what",
        "node",
        "role",
        "cause",
        "effect",
        "purpose",
        "payer",
        "until",
        "because of",
        "way",
        "verdict",
        "check",
        "seen",
        "phase",
        "fault",
        "struck",
        "when",
        "bit",
        "evidence",
        "healed",
    }
)
"""Columns of words, set flush left; all others are numbers."""

FOLDED_ROWS = 10
"""Rows shown of a table that the page folds; a terminal can't."""


def print_report(report: Report, console: Console) -> None:
    """Print the headline and every table; a violation is white on red, an open end magenta."""
    style = "bold green"
    if not report.total or report.count(Outcome.UNKNOWN):
        style = "bold magenta"
    if report.violations_total:
        style = "bold white on red"
    seed = "" if report.meta.seed is None else f", seed {report.meta.seed}"
    console.print(f"[bold]{escape(report.meta.name)}[/]{seed} [dim]({escape(report.meta.run)})[/]")
    console.print(escape(report.headline), style=style)
    for table in build_tables(report):
        print_table(table, console, "report.md")
    console.print(f"\n[dim]{escape(METHOD)} Host: {escape(report.meta.host)}.[/]")


def print_table(table: Table, console: Console, page: str) -> None:
    """Print one table; rows that are left out are in the page of this name."""
    drawn = RichTable(title=escape(table.title), title_justify="left", title_style="bold", pad_edge=False)
    for column in table.columns:
        drawn.add_column(column, justify="left" if column in PLAIN_COLUMNS else "right", overflow="fold")
    shown = table.rows[:FOLDED_ROWS] if table.folded else table.rows
    for row in shown:
        drawn.add_row(*(escape(text) for text in row))
    console.print()
    console.print(drawn)
    if len(shown) < len(table.rows):
        console.print(f"[dim]{len(table.rows) - len(shown):,} more rows are in {page}[/]")
