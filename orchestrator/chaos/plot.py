"""Latency over time, as values that a page draws: a dot for each operation, a band for each fault. Pure.

Both axes are in units of the drawing. Time is linear; latency is logarithmic, because an outage of ten seconds and a baseline of a hundred
milliseconds must both be seen. Dots that would cover one another are drawn once, so a drawing stays small however long the run was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.chaos.statistics import DRAIN, GROUPS, OVER_L1, WARM_UP
from orchestrator.checks import RunFacts
from orchestrator.checks.windows import Window
from orchestrator.comparison.drawing import ticks
from orchestrator.load.history import Operation, Result

WIDE, HIGH = 1000.0, 320.0
"""Units of the drawing."""
GRAIN_X, GRAIN_Y = 2.5, 3.0
"""Dots closer than this are one."""
LANES, LETTER = 4, 7.2
"""Rows of labels, and the width of a letter."""
LANE = 16.0
"""Height of a row of labels over the drawing."""
LEGEND = {
    "bundle": "bundle",
    "single": "single transaction",
    "l1": "deposit or withdrawal",
    "info": "no end known",
    "fail": "certainly no effect",
}
"""What dots of a colour stand for."""
LEAST_NS = 1_000_000
"""Lower end of the scale of latency; what was faster stands on it."""
GONE_BAND = 18.0
"""Height of the strip at the top for operations that have no end, or certainly had no effect."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One operation, or several at one place."""

    x: float
    y: float
    colour: str
    """``bundle``, ``single``, ``l1``; ``fail`` and ``info`` for those without a latency."""


@dataclass(frozen=True, slots=True)
class Band:
    """One fault's window."""

    name: str
    kind: str
    left: float
    width: float
    lane: int | None
    """Row of its label, so that labels don't cover one another; None where there is no room for it."""
    label: float
    """Where its label begins."""
    bit: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """The drawing."""

    dots: tuple[Dot, ...]
    bands: tuple[Band, ...]
    phases: tuple[Tick, ...]
    """Where phases begin."""
    seconds: tuple[Tick, ...]
    latencies: tuple[Tick, ...]
    throughput: tuple[tuple[float, float], ...]
    """Of each slice of time its middle and the share (0 to 1) of the greatest rate."""
    greatest_rate: float
    """Operations per second at the top of the throughput curve."""
    shown: int
    """Operations that the dots stand for."""


def plot_of(facts: RunFacts) -> Plot | None:
    """The drawing of a run; None if there was no load."""
    if not facts.operations:
        return None
    begin = min(one.intended_ns for one in facts.operations)
    drain = next((phase.begun_ns for phase in facts.phases if phase.name == DRAIN), 0)
    end = max([drain, *(one.intended_ns for one in facts.operations)]) + 1
    longest = max((one.latency_ns or 0 for one in facts.operations), default=0)
    top = 10 ** math.ceil(math.log10(max(longest, LEAST_NS * 10)))
    scale = _Scale(begin, end, top)
    throughput, rate = _throughput(facts.operations, scale)
    return Plot(
        dots=_dots(facts.operations, scale),
        bands=_bands(facts.windows, scale),
        phases=tuple(
            Tick(scale.x(phase.begun_ns), phase.name)
            for phase in facts.phases
            if phase.name in (WARM_UP, "baseline", "after") and begin <= phase.begun_ns < end
        ),
        seconds=tuple(
            Tick(at / (end - begin) * WIDE, f"{at / 1e9:g} s")
            for at in ticks(end - begin)
            if at < end - begin
        ),
        latencies=_decades(scale),
        throughput=throughput,
        greatest_rate=rate,
        shown=len(facts.operations),
    )


@dataclass(frozen=True, slots=True)
class _Scale:
    begin: int
    end: int
    top: int

    def x(self, at_ns: int) -> float:
        return (min(max(at_ns, self.begin), self.end) - self.begin) / (self.end - self.begin) * WIDE

    def y(self, latency_ns: int) -> float:
        decades = math.log10(self.top / LEAST_NS)
        share = math.log10(max(latency_ns, LEAST_NS) / LEAST_NS) / decades
        return HIGH - share * (HIGH - GONE_BAND)


def _dots(operations: Sequence[Operation], scale: _Scale) -> tuple[Dot, ...]:
    found: dict[tuple[int, int, str], Dot] = {}
    for one in operations:
        if one.latency_ns is not None:
            group = GROUPS[one.kind]
            colour = "l1" if group == OVER_L1 else "bundle" if group == "bundles" else "single"
            y = scale.y(one.latency_ns)
        else:
            colour = "fail" if one.result is Result.FAIL else "info"
            y = GONE_BAND / 2 if colour == "info" else GONE_BAND / 3
        x = scale.x(one.intended_ns)
        found.setdefault((round(x / GRAIN_X), round(y / GRAIN_Y), colour), Dot(x, y, colour))
    return tuple(found.values())


def _bands(windows: Sequence[Window], scale: _Scale) -> tuple[Band, ...]:
    bands: list[Band] = []
    free = [0.0] * LANES
    for window in windows:
        left = scale.x(window.begun_ns)
        width = max(2.0, scale.x(scale.end if window.ended_ns is None else window.ended_ns) - left)
        long = LETTER * len(window.name)
        label = max(0.0, min(left, WIDE - long))
        lane = next((index for index, until in enumerate(free) if until <= label), None)
        if lane is not None:
            free[lane] = label + long + LETTER
        bands.append(Band(window.name, window.kind, left, width, lane, label, window.bit is True))
    return tuple(bands)


def _decades(scale: _Scale) -> tuple[Tick, ...]:
    found, at = [], LEAST_NS
    while at <= scale.top:
        label = f"{at // 1_000_000} ms" if at < 1_000_000_000 else f"{at // 1_000_000_000} s"
        found.append(Tick(scale.y(at), label))
        at *= 10
    return tuple(found)


def _throughput(
    operations: Sequence[Operation], scale: _Scale
) -> tuple[tuple[tuple[float, float], ...], float]:
    """Ends of operations per second, in up to a hundred slices."""
    ends = [one.ended_ns for one in operations if one.result is Result.OK and one.ended_ns is not None]
    seconds = (scale.end - scale.begin) / 1e9
    slices = max(1, min(100, int(seconds / 0.5)))
    counts = [0] * slices
    for end in ends:
        if scale.begin <= end < scale.end:
            counts[(end - scale.begin) * slices // (scale.end - scale.begin)] += 1
    greatest = max(counts)
    if not greatest:
        return (), 0.0
    curve = tuple(((index + 0.5) / slices * WIDE, count / greatest) for index, count in enumerate(counts))
    return curve, greatest * slices / seconds
