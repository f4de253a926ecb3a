"""The wall clock of nodes, which a chaos test may set wrong.

Only what decides by the time of day asks here: a sequencer's timestamps and deadlines, the relayer's waits. Intervals are measured with
the monotonic clock, and journals keep the right time beside it. Nodes without ``ROLLNET_CHAOS`` take no orders.
"""

import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bridge.wire.configuration import CHAOS_VARIABLE
from bridge.wire.errors import INVALID_PARAMS, METHOD_NOT_SUPPORTED, RpcError

MOST_S = 7 * 86400.0
"""Furthest that a clock can be set wrong, seconds."""

_offset = {"s": 0.0}


def believed(wall_s: float) -> float:
    """Unix time in seconds as this node believes it, given what the machine says; callers read the machine themselves."""
    return wall_s + _offset["s"]


def skew(offset_s: float) -> None:
    """From now on the clock is wrong by so much; 0 sets it right.

    Raises:
        ValueError: it is no number, or beyond :data:`MOST_S`.
    """
    if not math.isfinite(offset_s) or abs(offset_s) > MOST_S:
        raise ValueError(f"a clock is wrong by at most {MOST_S:g} s, not by {offset_s:g} s")
    _offset["s"] = float(offset_s)


async def _clock() -> dict[str, float]:
    return {"offset_s": _offset["s"], "wall_s": believed(time.time())}


async def _skew_clock(offset_s: float) -> dict[str, float]:
    if not os.environ.get(CHAOS_VARIABLE):
        raise RpcError(
            METHOD_NOT_SUPPORTED,
            f"this node's clock can't be set: it was started without {CHAOS_VARIABLE}; launch the devnet with chaos",
        )
    if isinstance(offset_s, bool) or not isinstance(offset_s, int | float):
        raise RpcError(INVALID_PARAMS, "the offset is a number of seconds")
    try:
        skew(offset_s)
    except ValueError as exc:
        raise RpcError(INVALID_PARAMS, str(exc)) from exc
    return await _clock()


CLOCK_METHODS: Mapping[str, Callable[..., Awaitable[Any]]] = {
    "rollnet_clock": _clock,
    "rollnet_skewClock": _skew_clock,
}
"""What a node with a wall clock serves of it."""
