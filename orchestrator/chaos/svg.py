"""``latency.svg``: the drawing of latency over time on its own, for pages that show files (``report.md`` links it). Pure.

The HTML page stretches its drawing to the width there is and writes its axes as text beside it; here all of it is one picture of fixed size. It
carries its colours with it, in light and in dark, and nothing is fetched.
"""

from collections.abc import Iterator
from html import escape

from orchestrator.chaos.junit import printable
from orchestrator.chaos.plot import HIGH, LANE, LEGEND, WIDE, Plot

LEFT, RIGHT, BESIDE = 64.0, 16.0, 8.0
"""Margins for the labels of the axis, at the other end, and between a label and what it names."""
TITLE, LEGEND_ROW, AXIS, RATE, GAP = 28.0, 26.0, 22.0, 60.0, 22.0
"""Heights of the parts."""
LETTER = 7.0
"""Width of a letter of the legend, about."""
_STYLE = """
.page{fill:#fff}.ink{fill:#1b1f24}.soft{fill:#57606a}.band{fill:#f6f8fa}.name{fill:#a40e26}.tick{stroke:#d0d7de}
.window{fill:#cf222e22;stroke:#cf222e66}.missed{fill:none;stroke-dasharray:4 3}.phase{stroke:#57606a;stroke-dasharray:2 3}
.dots{fill:none;stroke-width:4;stroke-linecap:round;stroke-opacity:.65}.rate{fill:none;stroke:#1b1f24;stroke-width:1.3}
.bundle{stroke:#0969da}.single{stroke:#1a7f37}.l1{stroke:#57606a}.info{stroke:#8250df;stroke-opacity:1}.fail{stroke:#9a6700;stroke-opacity:1}
text{font:12px system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}.title{font-size:15px;font-weight:600}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9198a1}.band{fill:#151b23}.name{fill:#ff7b72}.tick{stroke:#3d444d}
.window{fill:#ff7b7226;stroke:#ff7b7280}.missed{fill:none}.phase{stroke:#9198a1}.rate{stroke:#e6edf3}
.bundle{stroke:#58a6ff}.single{stroke:#3fb950}.l1{stroke:#9198a1}.info{stroke:#d2a8ff}.fail{stroke:#e3b341}}
"""


def render_svg(plot: Plot, title: str) -> str:
    """The picture.

    Args:
        plot: of a run.
        title: what stands over it.
    """
    return "\n".join(_picture(plot, title)) + "\n"


def _picture(plot: Plot, title: str) -> Iterator[str]:
    lanes = 1 + max((band.lane or 0 for band in plot.bands), default=0)
    field = TITLE + LEGEND_ROW + lanes * LANE
    rate = field + HIGH + AXIS + GAP
    wide, high = LEFT + WIDE + RIGHT, rate + (RATE if plot.throughput else 0.0) + BESIDE
    said = f"{title}: latency of {plot.shown:,} operations over time, each at the time at which it was to be sent"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}" '
        f'role="img" aria-label="{_text(said)}">'
    )
    yield f"<style>{_STYLE}</style>"
    yield f'<rect class="page" width="{wide:g}" height="{high:g}"/>'
    yield f'<text class="ink title" x="{LEFT:g}" y="19">{_text(title)}</text>'
    yield from _legend(plot, TITLE + 15)
    for band in plot.bands:
        if band.lane is not None:
            x, y = LEFT + band.label, TITLE + LEGEND_ROW + band.lane * LANE + 12
            yield f'<text class="name" x="{x:.1f}" y="{y:g}">{_text(band.name)}{"" if band.bit else " ✗"}</text>'
    yield f'<g transform="translate({LEFT:g} {field:g})">'
    yield from _field(plot)
    yield "</g>"
    if plot.throughput:
        yield f'<g transform="translate({LEFT:g} {rate:g})">'
        yield from _throughput(plot)
        yield "</g>"
    yield "</svg>"


def _legend(plot: Plot, y: float) -> Iterator[str]:
    used = {dot.colour for dot in plot.dots}
    x = LEFT
    for colour, word in LEGEND.items():
        if colour in used:
            yield f'<path class="dots {colour}" d="M{x + 4:g} {y - 4:g}h0"/><text class="soft" x="{x + 12:g}" y="{y:g}">{word}</text>'
            x += 28 + LETTER * len(word)
    yield f'<rect class="window" x="{x:g}" y="{y - 9:g}" width="9" height="9"/><text class="soft" x="{x + 14:g}" y="{y:g}">fault</text>'


def _field(plot: Plot) -> Iterator[str]:
    yield f'<rect class="band" width="{WIDE:g}" height="{HIGH:g}"/>'
    yield from bands(plot, HIGH)
    for tick in plot.latencies:
        yield f'<line class="tick" x2="{WIDE:g}" y1="{tick.at:.1f}" y2="{tick.at:.1f}"/>'
        yield f'<text class="soft" x="{-BESIDE:g}" y="{tick.at + 4:.1f}" text-anchor="end">{tick.label}</text>'
    for tick in plot.phases:
        yield f'<line class="phase" x1="{tick.at:.1f}" x2="{tick.at:.1f}" y2="{HIGH:g}"/>'
    yield from dots(plot)
    for tick in plot.seconds:
        anchor = "start" if tick.at < BESIDE else "middle"
        yield f'<text class="soft" x="{tick.at:.1f}" y="{HIGH + 16:g}" text-anchor="{anchor}">{tick.label}</text>'


def dots(plot: Plot) -> Iterator[str]:
    """The operations, a path of points with round ends for each colour: circles would be stretched with the page's drawing."""
    for colour in LEGEND:
        points = "".join(f"M{dot.x:.1f} {dot.y:.1f}h0" for dot in plot.dots if dot.colour == colour)
        if points:
            yield f'<path class="dots {colour}" d="{points}"/>'


def _throughput(plot: Plot) -> Iterator[str]:
    yield f'<text class="soft" y="-5">operations that ended well, up to {plot.greatest_rate:.0f} a second</text>'
    yield f'<rect class="band" width="{WIDE:g}" height="{RATE:g}"/>'
    yield from bands(plot, RATE)
    line = " ".join(f"{x:.1f},{RATE - share * (RATE - 4):.1f}" for x, share in plot.throughput)
    yield f'<polyline class="rate" points="{line}"/>'


def bands(plot: Plot, high: float) -> Iterator[str]:
    """The faults' windows, over a field of some height; for the HTML page too."""
    for band in plot.bands:
        missed = "" if band.bit else " missed"
        yield (
            f'<rect class="window{missed}" x="{band.left:.1f}" width="{band.width:.1f}" height="{high:g}">'
            f"<title>{_text(band.name)}: {_text(band.kind)}</title></rect>"
        )


def _text(text: str) -> str:
    return escape(printable(text))
