"""``report.md``: the page that a CI job shows as its summary and that a browser folds.

A job summary may hold 1,024 KiB and is dropped whole beyond that, so every part is bounded: tables in rows, cells in
characters, drawings in Mermaid's own limit.
"""

from orchestrator.report.model import Report
from orchestrator.report.tables import METHOD, Table, build_tables

CELL_LIMIT = 200
"""Characters of one cell; longer reasons are cut."""
ROW_LIMIT = 200
"""Rows of one table."""
SIZE_LIMIT = 1024 * 1024
"""Bytes that a CI job summary may hold."""


def render_markdown(report: Report) -> str:
    """The whole page; below :data:`SIZE_LIMIT` bytes for any run."""
    meta = report.meta
    seed = "" if meta.seed is None else f", seed {meta.seed}"
    parts = [f"# rollnet report: {cell(meta.name)}{seed}", f"**{cell(report.headline)}**"]
    for table in build_tables(report):
        drawn = render_table(table)
        parts.append(_folded(table.title, drawn) if table.folded else f"## {cell(table.title)}\n\n{drawn}")
    parts += [_folded(title, f"```mermaid\n{drawing}```") for title, drawing in report.drawings]
    parts.append(f"Run `{cell(meta.run)}` on {cell(meta.host)}. {METHOD}")
    return "\n\n".join(parts) + "\n"


def cell(text: str) -> str:
    """Text from a node or a user, made harmless: one line, no table or HTML syntax, bounded."""
    line = " ".join(text.split())
    cut = line if len(line) <= CELL_LIMIT else line[: CELL_LIMIT - 1] + "…"
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("`", "'")


def render_table(table: Table, data: str = "report.json") -> str:
    """One table; rows that are left out are in the file of data of this name."""
    lines = [
        "| " + " | ".join(table.columns) + " |",
        "|" + " --- |" * len(table.columns),
        *("| " + " | ".join(cell(text) for text in row) + " |" for row in table.rows[:ROW_LIMIT]),
    ]
    left = len(table.rows) - ROW_LIMIT
    if left > 0:
        lines += ["", f"{left:,} more rows are in {data}."]
    return "\n".join(lines)


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{cell(title)}</summary>\n\n{content}\n\n</details>"
