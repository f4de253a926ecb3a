"""``compare.md``: the comparison as a page of Markdown, for a job's summary or a pull request."""

from orchestrator.comparison.drawing import charts
from orchestrator.comparison.model import Comparison
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
from orchestrator.report.markdown import cell, render_table

DATA = "compare.json"


def render_markdown(found: Comparison) -> str:
    """The whole page."""
    parts = [
        f"# rollnet compare: {cell(found.strategy)} on {cell(found.topology)}, seed {found.seed}",
        f"**{cell(headline(found))}**",
    ]
    if found.messages is not None:
        parts.append(cell(message_verdict(found.messages)))
    parts += [f"## {cell(table.title)}\n\n{render_table(table, DATA)}" for table in build_tables(found)]
    parts.append("## The two critical paths")
    for chart in charts(found.bundle.median, found.bridge.median, (SHARED, BRIDGED)):
        rows = [
            f"| {bar.until} | {bar.place} | {took(bar.start_ns)} | {took(bar.duration_ns)} |"
            for bar in chart.bars
        ]
        if not chart.enlarged:
            head = "| until | where | from | takes |\n| --- | --- | --- | --- |"
            parts.append("\n".join([f"### {cell(chart.title)}\n", head, *rows]))
    parts.append(METHOD)
    parts.append(f"Made by `{cell(found.command)}`. {cell(provenance(found))}")
    return "\n\n".join(parts) + "\n"
