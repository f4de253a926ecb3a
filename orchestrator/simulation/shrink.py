"""Shrinking: from a sequence that fails to a shortest one that still does. Pure, and of nothing in particular.

Delta debugging (Zeller and Hildebrandt, 2002): leave out ever smaller pieces while what is left still fails. The end is *1-minimal*: leaving out
any one thing more makes it pass. The same input gives the same end.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(schedule: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """A part of the schedule, in its order, that fails and of which nothing can be left out.

    Args:
        schedule: a sequence that fails.
        fails: whether a part of it does; must always say the same of the same part.

    Raises:
        ValueError: the whole schedule does not fail.
    """
    left = list(schedule)
    if not fails(left):
        raise ValueError("nothing to shrink: the whole schedule does not fail")
    pieces = 2
    while left:
        size = max(1, -(-len(left) // pieces))
        for start in range(0, len(left), size):
            rest = left[:start] + left[start + size :]
            if fails(rest):
                left, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                return left
            pieces = min(len(left), pieces * 2)
    return left
