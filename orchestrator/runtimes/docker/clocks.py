"""Two machines' clocks: journals of another machine are told in the time of this one, so that latencies between them are right.

Linux counts ``CLOCK_MONOTONIC`` from each machine's own start. An exchange of three readings (here, there, here) bounds the
difference from both sides, by half of the time that it took; the shortest of several bounds it best. One difference holds for a whole
run, so what lies between two events of that machine stays exact; only what lies between the machines has the error. Where the bounds
allow that both are the same clock, they are taken to be.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TIME = re.compile(rb'"mono_ns":(\d+)')


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question for the time, all in nanoseconds."""

    asked: int
    """By this clock."""
    told: int
    """By the other one."""
    heard: int
    """By this clock."""


@dataclass(frozen=True, slots=True)
class ClockDifference:
    """What to add to a time of another machine to have it in this one's."""

    ns: int
    error_ns: int
    """The truth is no further away."""


def difference(exchanges: Sequence[Exchange]) -> ClockDifference:
    """The best bound that some exchanges give."""
    best = min(exchanges, key=lambda one: one.heard - one.asked)
    error = (best.heard - best.asked + 1) // 2
    found = (best.asked + best.heard) // 2 - best.told
    return ClockDifference(0 if abs(found) <= error else found, error)


def in_our_time(lines: bytes, ns: int) -> bytes:
    """Journal lines with all their times moved; whatever else they say, and what is torn of them, stays as it is."""
    if ns == 0:
        return lines
    return _TIME.sub(lambda found: b'"mono_ns":%d' % (int(found[1]) + ns), lines)
