"""Two critical paths as bars on one scale of time. Pure: a value that a page draws, and ticks that people can read.

The bundle is so much faster that on the common scale it is a sliver; that is what the drawing shows. So that its stages can be told apart
it is drawn a second time, enlarged, with a scale of its own.
"""

from dataclasses import dataclass
from itertools import accumulate

from orchestrator.comparison.model import Way

TICKS_WANTED = 5
"""About so many marks on a scale."""
_STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Bar:
    """One segment of a path."""

    until: str
    since: str
    place: str
    """Where it happened, with the leg if one was waited for."""
    colour: str
    """Which kind of place: ``l1``, ``rollup``, ``sequencer`` or ``client``."""
    start_ns: int
    duration_ns: int


@dataclass(frozen=True, slots=True)
class Chart:
    """The bars of one path on one scale."""

    title: str
    bars: tuple[Bar, ...]
    whole_ns: int
    """The right end of the scale."""
    ticks_ns: tuple[int, ...]
    enlarged: bool
    """Whether its scale is its own, and not the common one."""


def charts(bundle: Way | None, bridge: Way | None, names: tuple[str, str]) -> tuple[Chart, ...]:
    """Both paths on a common scale, and the shorter one enlarged; what there is of them."""
    known = [(way, name) for way, name in zip((bundle, bridge), names, strict=True) if way is not None]
    if not known:
        return ()
    whole = max(way.end_to_end_ns for way, _ in known)
    drawn = [_chart(name, way, whole, enlarged=False) for way, name in known]
    for way, name in known:
        if 0 < way.end_to_end_ns * 2 < whole:
            times = whole / way.end_to_end_ns
            drawn.append(
                _chart(f"{name}, enlarged {times:,.0f} times", way, way.end_to_end_ns, enlarged=True)
            )
    return tuple(drawn)


def ticks(whole_ns: int) -> tuple[int, ...]:
    """Round marks from 0 up to the end of a scale, at most :data:`TICKS_WANTED` of them after 0."""
    if whole_ns <= 0:
        return (0,)
    wanted, power = -(-whole_ns // TICKS_WANTED), 1
    while power * 10 <= wanted:
        power *= 10
    step = next((power * step for step in _STEPS if power * step >= wanted), power * 10)
    return tuple(range(0, whole_ns + 1, step))


def _chart(title: str, way: Way, whole_ns: int, *, enlarged: bool) -> Chart:
    starts = accumulate((part.duration_ns for part in way.segments), initial=0)
    bars = tuple(
        Bar(
            until=part.until if part.traced else f"{part.until} (untraced)",
            since=part.since,
            place=part.node if part.leg is None else f"{part.node}, leg {part.leg}",
            colour=_colour(part.node, part.until),
            start_ns=start,
            duration_ns=part.duration_ns,
        )
        for part, start in zip(way.segments, starts, strict=False)
    )
    return Chart(title, bars, max(1, whole_ns), ticks(whole_ns), enlarged)


def _colour(node: str, stage: str) -> str:
    if node == "l1":
        return "l1"
    if node == "sequencer" or node.endswith("-sequencer"):
        return "sequencer"
    return "client" if stage == "bundle.submitted" or node.startswith("client") else "rollup"
