"""One direction of a passage: bytes in their order, each as late and as slow as was decided for its message.

Without faults bytes go straight from one connection to the other. Otherwise they queue, and one task delivers them::

    put ─► queue ─► overtaken? ─► late enough? ─► its share of the line? ─► not in a blackhole? ─► other connection
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from orchestrator.links.decisions import NOTHING, Decision, Hold, Working
from orchestrator.links.faults import Direction
from orchestrator.links.link import Blackholes, Link
from orchestrator.links.side import Side

ROOM = 1024 * 1024
"""Bytes that may queue before reading stops; a request that was read as a whole may be more."""
_STEP_S = 0.02
"""A slow line takes bytes in steps of so many seconds, so that several connections share it."""
_SMALLEST_STEP, _LARGEST_STEP = 64, 64 * 1024


@dataclass(frozen=True, slots=True)
class Parcel:
    """Bytes in the queue, or what is to happen once all bytes before are delivered."""

    data: bytes
    arrived: float
    decision: Decision = NOTHING
    hold: Hold | None = None
    then: Callable[[], None] | None = None


class Lane:
    """Delivers in order.

    Args:
        link: whose faults matter.
        direction: which way.
        sink: where bytes go.
        blackholes: those that the connection is in; shared with its owner.
        flow: told when there is room again, or no more.
    """

    def __init__(
        self,
        link: Link,
        direction: Direction,
        sink: Side,
        blackholes: Blackholes,
        flow: Callable[[], None],
    ) -> None:
        self._link, self._direction, self._sink, self._blackholes = link, direction, sink, blackholes
        self._flow = flow
        self._queue: deque[Parcel] = deque()
        self._queued = 0
        self._task: asyncio.Task[Any] | None = None
        self._closed = False
        self._clock = asyncio.get_running_loop().time

    @property
    def room(self) -> bool:
        """More may be put."""
        return self._queued < ROOM

    @property
    def idle(self) -> bool:
        """Nothing queues."""
        return not self._queue

    def put(
        self,
        data: bytes,
        decision: Decision = NOTHING,
        hold: Hold | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Deliver bytes after all others, and then do something."""
        if self._closed:
            return
        if not self._queue and decision is NOTHING and self._blackholes.none and self._sink.opened.is_set():
            if data:
                self._sink.write(data)
            if then is not None:
                then()
            return
        self._queue.append(Parcel(data, self._clock(), decision, hold, then))
        self._queued += len(data)
        if self._task is None:
            self._task = self._link.spawn(self._deliver_all())
        self._flow()

    def discard(self) -> None:
        """Deliver nothing more."""
        self._closed = True
        for parcel in self._queue:
            if parcel.hold is not None:
                parcel.hold.until = 0.0  # nobody overtakes it any more
        self._queue.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _deliver_all(self) -> None:
        await self._sink.opened.wait()
        while self._queue:
            parcel = self._queue[0]
            await self._deliver(parcel)
            if self._closed:
                return
            self._queue.popleft()
            self._queued -= len(parcel.data)
            if parcel.then is not None:
                parcel.then()
            self._flow()
        self._task = None

    async def _deliver(self, parcel: Parcel) -> None:
        begins = parcel.arrived
        if parcel.hold is not None and parcel.decision.reordered is not None:
            await self._overtaken(parcel.hold, parcel.decision.reordered)
            begins = self._clock()
        while (left := begins + _lateness(parcel.decision) - self._clock()) > 0:
            await self._link.pause(left)
        for step in self._steps(parcel):
            await self._shared(len(step), parcel.decision.throttles)
            await self._passable()
            self._sink.write(step)
            await self._sink.take()

    async def _overtaken(self, hold: Hold, working: Working) -> None:
        while not (hold.released or working.healed) and (left := hold.until - self._clock()) > 0:
            await self._link.pause(left)
        hold.until = 0.0
        working.touched += hold.overtaken

    async def _shared(self, size: int, throttles: tuple[Working, ...]) -> None:
        """Wait until so many bytes have passed a slow line that others use as well."""
        for working in throttles:
            begins = max(self._clock(), working.free_at[self._direction])
            passed = begins + size / working.fault.bytes_per_s
            working.free_at[self._direction] = passed
            while not working.healed and (left := passed - self._clock()) > 0:
                await self._link.pause(left)

    async def _passable(self) -> None:
        while self._blackholes.hang():
            await self._link.pause()

    @staticmethod
    def _steps(parcel: Parcel) -> Iterator[bytes]:
        rates = [working.fault.bytes_per_s for working in parcel.decision.throttles]
        if not rates:
            yield parcel.data
            return
        size = min(max(int(min(rates) * _STEP_S), _SMALLEST_STEP), _LARGEST_STEP)
        for start in range(0, len(parcel.data), size):
            yield parcel.data[start : start + size]


def _lateness(decision: Decision) -> float:
    return sum(seconds for working, seconds in decision.delays if not working.healed)
