"""``compare.html``: the comparison as one page that opens anywhere: no script, no font, nothing fetched.

The drawing is a grid of rows. Names and times are text of the page, which flows and scales with the screen; only the bars are drawings (SVG),
stretched to whatever width is left. So it can be read on a telephone, printed, and heard.
"""

from collections.abc import Iterator
from html import escape

from orchestrator.comparison.drawing import Bar, Chart, charts
from orchestrator.comparison.model import Comparison, Standing
from orchestrator.comparison.style import STYLE
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
from orchestrator.report.tables import Table
from orchestrator.report.terminal import PLAIN_COLUMNS

WIDE = 1000
"""Units across a drawing, whatever its width on the screen."""
_LEGEND = {
    "client": "client",
    "sequencer": "sequencer",
    "rollup": "rollups",
    "l1": "L1 and the waits that it imposes",
}
_GOOD = {Standing.WITHIN: "good", Standing.BEYOND: "bad", Standing.UNKNOWN: "unknown"}


def render_html(found: Comparison) -> str:
    """The whole page."""
    return "\n".join(_page(found)) + "\n"


def _page(found: Comparison) -> Iterator[str]:
    title = f"rollnet compare: {found.strategy} on {found.topology}"
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
    yield f"<h1>{escape(found.strategy)}, both ways</h1>"
    yield f'<p class="where">on {escape(found.topology)}, seed {found.seed}</p>'
    good = "good" if found.both_committed else "bad"
    yield f'<p class="verdict {good}">{escape(headline(found))}</p>'
    if found.messages is not None:
        standing = _GOOD[found.messages.standing]
        yield f'<p class="verdict {standing}">{escape(message_verdict(found.messages))}</p>'
    yield from _drawings(found)
    for table in build_tables(found):
        yield from _table(table)
    yield f"<footer><p>{escape(METHOD)}</p><p>Made by <code>{escape(found.command)}</code></p><p>{escape(provenance(found))}</p></footer>"
    yield "</main></body></html>"


def _drawings(found: Comparison) -> Iterator[str]:
    drawn = charts(found.bundle.median, found.bridge.median, (SHARED, BRIDGED))
    if not drawn:
        return
    yield "<section><h2>The two critical paths</h2>"
    yield (
        "<p>What the strategy at the median waited for, from its submission to its last leg. The first drawings share one scale of time. "
        "A bar that would be thinner than a hair is drawn as a hair.</p>"
    )
    used = {bar.colour for chart in drawn for bar in chart.bars}
    legend = "".join(
        f'<li><i class="{colour}"></i>{escape(word)}</li>'
        for colour, word in _LEGEND.items()
        if colour in used
    )
    yield f'<ul class="legend">{legend}</ul>'
    for chart in drawn:
        yield from _chart(chart)
    yield "</section>"


def _chart(chart: Chart) -> Iterator[str]:
    total = sum(bar.duration_ns for bar in chart.bars)
    yield f'<figure><figcaption>{escape(chart.title)}: <b>{took(total)}</b></figcaption><div class="chart">'
    marks = "".join(
        f'<span style="left:{_percent(tick, chart.whole_ns)}%">{took(tick)}</span>' for tick in chart.ticks_ns
    )
    yield f'<div class="row axis" aria-hidden="true"><span class="what"></span><div class="marks">{marks}</div><span class="took"></span></div>'
    for bar in chart.bars:
        yield (
            f'<div class="row"><span class="what"><b>{escape(bar.until)}</b> <small>{escape(bar.place)}</small></span>'
            f'{_bar(bar, chart)}<span class="took">{took(bar.duration_ns)}</span></div>'
        )
    yield "</div></figure>"


def _bar(bar: Bar, chart: Chart) -> str:
    lines = "".join(
        f'<line class="tick" x1="{place}" x2="{place}" y1="0" y2="10"/>'
        for place in (_place(tick, chart.whole_ns) for tick in chart.ticks_ns)
    )
    start = min(bar.start_ns, bar.start_ns + bar.duration_ns)
    left, width = _place(start, chart.whole_ns), _place(abs(bar.duration_ns), chart.whole_ns)
    return (
        f'<svg viewBox="0 0 {WIDE} 10" preserveAspectRatio="none" role="img" aria-label="from {took(bar.start_ns)} for {took(bar.duration_ns)}">'
        f'{lines}<rect class="{bar.colour}" x="{left}" y="1.5" width="{width}" height="7"/></svg>'
    )


def _table(table: Table) -> Iterator[str]:
    yield f'<section><h2>{escape(table.title)}</h2><div class="scroll"><table><thead><tr>'
    kinds = [' class="words"' if column in PLAIN_COLUMNS else "" for column in table.columns]
    heads = zip(table.columns, kinds, strict=True)
    yield "".join(f"<th{kind}>{escape(column)}</th>" for column, kind in heads)
    yield "</tr></thead><tbody>"
    for row in table.rows:
        first, *rest = zip(row, kinds, strict=True)
        cells = "".join(f"<td{kind}>{escape(text)}</td>" for text, kind in rest)
        yield f"<tr><th>{escape(first[0])}</th>{cells}</tr>"
    yield "</tbody></table></div></section>"


def _place(at_ns: int, whole_ns: int) -> str:
    return f"{at_ns * WIDE / whole_ns:.2f}"


def _percent(at_ns: int, whole_ns: int) -> str:
    return f"{at_ns * 100 / whole_ns:.2f}"
