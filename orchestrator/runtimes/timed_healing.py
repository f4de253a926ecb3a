"""Faults that end by themselves: healed when their time is over by whoever runs the nodes, whether the one who asked is still there or not."""

import asyncio
from collections.abc import Awaitable, Callable

from orchestrator.runtimes.errors import BadFaultError, DevnetError
from orchestrator.runtimes.faults import Fault, Healing

LONGEST_S = 7 * 24 * 3600.0
"""Longest time of a fault, seconds."""
_RETRY_S = 1.0


def require_time(seconds: float) -> None:
    """Refuse what is no time.

    Raises:
        BadFaultError: it is none, or longer than a week.
    """
    if not 0 < seconds <= LONGEST_S:
        raise BadFaultError(f"a fault can't last {seconds:g} s", "above 0, and at most a week")


class TimedHealing:
    """The clocks of one devnet's faults.

    Args:
        heal: undoes one.
        in_force: tells whether one still is.
    """

    def __init__(
        self, heal: Callable[[Fault], Awaitable[Healing]], in_force: Callable[[Fault], bool]
    ) -> None:
        self._heal, self._in_force = heal, in_force
        self._clocks: dict[Fault, asyncio.Task[None]] = {}

    def begin(self, fault: Fault, seconds: float) -> None:
        """Heal a fault after so many seconds, whatever was said of it before."""
        self.forget(fault)
        self._clocks[fault] = asyncio.create_task(self._after(fault, seconds), name=f"heal-{fault.kind}")

    def forget(self, fault: Fault) -> None:
        """It is healed, or to stay."""
        clock = self._clocks.pop(fault, None)
        if clock is not None:
            clock.cancel()

    async def close(self) -> None:
        """Forget all of them."""
        clocks = list(self._clocks.values())
        for fault in list(self._clocks):
            self.forget(fault)
        if clocks:
            await asyncio.wait(clocks)

    async def _after(self, fault: Fault, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while self._in_force(fault):
            try:
                await self._heal(fault)
            except (
                DevnetError
            ):  # its node is frozen, say: it stays in force, so there is something left to do
                await asyncio.sleep(_RETRY_S)
