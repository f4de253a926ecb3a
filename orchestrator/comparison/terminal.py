"""The comparison for a terminal: the same tables as the page; the drawing as bars of text."""

from rich.console import Console
from rich.markup import escape

from orchestrator.comparison.drawing import Chart, charts
from orchestrator.comparison.model import Comparison, Standing
from orchestrator.comparison.tables import (
    BRIDGED,
    METHOD,
    SHARED,
    build_tables,
    headline,
    message_verdict,
    provenance,
    took,
)
from orchestrator.report.terminal import print_table

BAR_COLUMNS = 60
"""Width of the drawing, columns."""
_STYLES = {"l1": "blue", "rollup": "green", "sequencer": "magenta", "client": "dim"}
_VERDICTS = {Standing.WITHIN: "green", Standing.BEYOND: "red", Standing.UNKNOWN: "magenta"}


def print_comparison(found: Comparison, console: Console) -> None:
    """Print headline, verdict, drawing and tables."""
    console.print(f"[bold]{escape(found.strategy)}[/] on {escape(found.topology)}, seed {found.seed}")
    style = "bold green" if found.both_committed else "bold red"
    console.print(headline(found), style=style, markup=False)
    if found.messages is not None:
        console.print(message_verdict(found.messages), style=_VERDICTS[found.messages.standing], markup=False)
    for chart in charts(found.bundle.median, found.bridge.median, (SHARED, BRIDGED)):
        _draw(chart, console)
    for table in build_tables(found):
        print_table(table, console, "compare.md")
    console.print(f"\n[dim]{escape(METHOD)}[/]")
    console.print(f"[dim]{escape(provenance(found))}[/]", soft_wrap=True)


def _draw(chart: Chart, console: Console) -> None:
    console.print(f"\n[bold]Critical path, {escape(chart.title)}[/] [dim]({took(chart.whole_ns)} wide)[/]")
    for bar in chart.bars:
        left = bar.start_ns * BAR_COLUMNS // chart.whole_ns
        width = max(1, round(bar.duration_ns * BAR_COLUMNS / chart.whole_ns))
        left = max(0, min(left, BAR_COLUMNS - 1))
        drawn = f"{' ' * left}[{_STYLES[bar.colour]}]{'█' * min(width, BAR_COLUMNS - left)}[/]"
        pad = " " * max(0, BAR_COLUMNS - left - width)
        name = f"{bar.until} {bar.place}"
        console.print(f"{escape(name[:38]):<38} {took(bar.duration_ns):>8} {drawn}{pad}", highlight=False)
