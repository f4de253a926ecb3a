"""Waiting for something to hold on a running devnet."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from orchestrator.errors import RollnetError


async def eventually(
    holds: Callable[[], Awaitable[bool]], within_s: float, what: str, *, every_s: float = 0.05
) -> None:
    """Ask until something holds; nodes that do not answer count as "not yet".

    Raises:
        RollnetError: it did not come to hold in time.
    """
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        with contextlib.suppress(RollnetError):
            if await holds():
                return
        await asyncio.sleep(every_s)
    raise RollnetError(f"waited {within_s:g} s for {what}, in vain", "look at the logs of the run directory")
