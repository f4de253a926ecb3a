"""``report.html`` of a scenario: one page that opens anywhere: no script, no font, nothing fetched.

Text of the page is text, also on the axes: it flows and scales with the screen; only dots and bands are drawn, stretched to the width there is.
"""

from collections.abc import Iterator
from html import escape

from orchestrator.chaos.counterexamples import drawn_counterexample
from orchestrator.chaos.findings import Findings
from orchestrator.chaos.html_style import STYLE
from orchestrator.chaos.plot import HIGH, LANE, LEGEND, WIDE, Plot, plot_of
from orchestrator.chaos.svg import bands, dots
from orchestrator.chaos.tables import METHOD, build_tables, headline
from orchestrator.checks import CheckResult, Verdict
from orchestrator.comparison.style import STYLE as COMMON_STYLE
from orchestrator.report.tables import Table
from orchestrator.report.terminal import PLAIN_COLUMNS

_GOOD = {Verdict.VALID: "good", Verdict.INVALID: "bad", Verdict.UNKNOWN: "unknown"}


def render_html(found: Findings) -> str:
    """The whole page."""
    return "\n".join(_page(found)) + "\n"


def _page(found: Findings) -> Iterator[str]:
    plan = found.plan
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>rollnet chaos: {escape(plan.name)}: {found.verdict.value}</title>"
    yield f"<style>{COMMON_STYLE}{STYLE}</style></head><body><main>"
    yield f"<h1>{escape(plan.name)}</h1>"
    mutant = f", mutant {escape(found.mutant)}" if found.mutant else ""
    yield f'<p class="where">on {escape(plan.devnet.name)} ({plan.runtime}), seed {plan.seed}{mutant}, {plan.rate:g} bundles/s</p>'
    yield f'<p class="verdict {_GOOD[found.verdict]}">{escape(headline(found))}</p>'
    for check in found.checks:
        if check.counterexample is not None:
            yield from _counterexample(found, check)
    drawing = plot_of(found.facts)
    if drawing is not None:
        yield from _plot(drawing)
    for table in build_tables(found):
        yield from _table(table)
    yield f"<footer><p>{escape(METHOD)}</p><p>Run directory {escape(str(found.directory))}; judge it again with <code>rollnet check</code>.</p></footer>"
    yield "</main></body></html>"


def _counterexample(found: Findings, check: CheckResult) -> Iterator[str]:
    assert check.counterexample is not None, "asked for by the caller"
    yield f"<section><h2>Counter-example: {escape(check.name)}</h2>"
    lines = "\n".join(check.counterexample.lines)
    yield f'<div class="scroll"><pre class="bad">{escape(lines)}</pre></div>'
    drawing = drawn_counterexample(found.facts, check.counterexample)
    if drawing:
        yield "<details><summary>its message in time, as Mermaid text</summary>"
        yield f'<div class="scroll"><pre>{escape(drawing)}</pre></div></details>'
    yield "</section>"


def _plot(plot: Plot) -> Iterator[str]:
    yield "<section><h2>Latency over time</h2>"
    yield (
        f"<p>{plot.shown:,} operations, each at the time at which it was to be sent; faults are shaded. "
        "An outage is a slope: what was to be sent earlier waited longer. Dotted lines: the warm-up ends, the last phase begins.</p>"
    )
    used = {dot.colour for dot in plot.dots}
    legend = "".join(
        f'<li><i class="dot {colour}"></i>{word}</li>' for colour, word in LEGEND.items() if colour in used
    )
    yield f'<ul class="legend">{legend}<li><i class="window"></i>fault</li></ul>'
    lanes = 1 + max((band.lane or 0 for band in plot.bands), default=0)
    yield '<figure class="plot">'
    yield f'<div class="labels" style="height:{lanes * LANE:.0f}px">'
    for band in plot.bands:
        if band.lane is not None:
            place = f"left:{band.label / WIDE:.2%};top:{band.lane * LANE:.0f}px"
            yield f'<span style="{place}">{escape(band.name)}{"" if band.bit else " ✗"}</span>'
    yield '</div><div class="field">'
    marks = "".join(f'<span style="top:{tick.at / HIGH:.2%}">{tick.label}</span>' for tick in plot.latencies)
    yield f'<div class="levels" aria-hidden="true">{marks}</div>'
    yield from _field(plot)
    yield "</div>"
    times = "".join(f'<span style="left:{tick.at / WIDE:.2%}">{tick.label}</span>' for tick in plot.seconds)
    yield f'<div class="times" aria-hidden="true">{times}</div>'
    yield from _throughput(plot)
    yield "</figure></section>"


def _field(plot: Plot) -> Iterator[str]:
    yield (
        f'<svg viewBox="0 0 {WIDE:g} {HIGH:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="latency of {plot.shown} operations over time">'
    )
    yield from bands(plot, HIGH)
    for tick in plot.latencies:
        yield f'<line class="tick" x1="0" x2="{WIDE:g}" y1="{tick.at:.1f}" y2="{tick.at:.1f}"/>'
    for tick in plot.phases:
        yield f'<line class="phase" x1="{tick.at:.1f}" x2="{tick.at:.1f}" y1="0" y2="{HIGH:g}"/>'
    yield from dots(plot)
    yield "</svg>"


def _throughput(plot: Plot) -> Iterator[str]:
    if not plot.throughput:
        return
    high = 60.0
    yield f"<figcaption>Operations that ended well, by the time of their end: up to {plot.greatest_rate:.0f} a second</figcaption>"
    yield f'<svg class="rate" viewBox="0 0 {WIDE:g} {high:g}" preserveAspectRatio="none" role="img" aria-label="throughput over time">'
    yield from bands(plot, high)
    line = " ".join(f"{x:.1f},{high - share * (high - 4):.1f}" for x, share in plot.throughput)
    yield f'<polyline class="rate" points="{line}"/></svg>'


def _table(table: Table) -> Iterator[str]:
    opening = (
        f"<details><summary>{escape(table.title)}</summary>"
        if table.folded
        else f"<h2>{escape(table.title)}</h2>"
    )
    yield f'<section>{opening}<div class="scroll"><table><thead><tr>'
    kinds = [' class="words"' if column in PLAIN_COLUMNS else "" for column in table.columns]
    yield "".join(
        f"<th{kind}>{escape(column)}</th>" for column, kind in zip(table.columns, kinds, strict=True)
    )
    yield "</tr></thead><tbody>"
    for row in table.rows:
        cells = "".join(f"<td{kind}>{_marked(text)}</td>" for text, kind in zip(row, kinds, strict=True))
        yield f"<tr>{cells}</tr>"
    yield f"</tbody></table></div>{'</details>' if table.folded else ''}</section>"


def _marked(text: str) -> str:
    colour = {"✔": "good", "✘": "bad", "?": "unknown"}.get(text[:1]) if text[1:2] == " " else None
    return f'<span class="mark {colour}">{escape(text)}</span>' if colour else escape(text)
