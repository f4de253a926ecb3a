"""The faults of one devnet that are in force, and when they are applied: at once, and again after each rebirth.

Every runtime keeps the same book; only the means differ. A fault belongs to its node, and what is done to one node is done one after
the other. A node that comes back has a fresh network and fresh processes, and perhaps the address that another one had, so everything of it is
applied again then, and so is whatever others have against anybody.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from orchestrator.runtimes.errors import DevnetError, FaultInForceError
from orchestrator.runtimes.faults import (
    Bite,
    Fault,
    Healing,
    OutOfMemory,
    Unplug,
    described,
    peer_of,
    same_place,
)

Answer = TypeVar("Answer")


class FaultMeans(Protocol):
    """How one runtime does things to its nodes. What is in force on the node is given each time, all of it, the oldest first."""

    async def inject(self, fault: Fault, on_node: Sequence[Fault]) -> Bite:
        """Apply a fault, which is the last of them, and look whether it took effect. Errors as :meth:`Runtime.inject`."""
        ...

    async def heal(self, fault: Fault, on_node: Sequence[Fault]) -> Healing:
        """Undo a fault, which is not among them any more. Errors as :meth:`Runtime.heal`."""
        ...

    async def renew(self, node: str, on_node: Sequence[Fault], *, reborn: bool) -> None:
        """Apply all of them again, if the node runs.

        Args:
            node: whose.
            on_node: what is in force on it.
            reborn: whether it has just come back; else only addresses of others may be new.

        Raises:
            FaultFailedError: one could not be applied.
        """
        ...


class InjectedFaults:
    """The book of what is in force.

    Args:
        means: gives the runtime's own, once it has any.
    """

    def __init__(self, means: Callable[[], FaultMeans]) -> None:
        self._means = means
        self._in_force: list[Fault] = []
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._works: set[asyncio.Task[Any]] = set()

    @property
    def in_force(self) -> tuple[Fault, ...]:
        """The oldest first."""
        return tuple(self._in_force)

    async def inject(self, fault: Fault) -> Bite:
        """See :meth:`Runtime.inject`."""
        return await self._to_its_end(self._inject(fault))

    async def heal(self, fault: Fault) -> Healing:
        """See :meth:`Runtime.heal`."""
        return await self._to_its_end(self._heal(fault))

    async def renew(self, node: str) -> None:
        """Apply what a node has again, for it has just come back; and what others have against anybody.

        It may have been given the address that another node had, so whoever has something against a node that is down would cut off the
        wrong one.

        Raises:
            FaultFailedError: one could not be applied.
        """
        against = {fault.node for fault in self._in_force if peer_of(fault) is not None}
        for one in (node, *sorted(against - {node})):
            async with self._locks[one]:
                if on_node := self._on(one):
                    await self._means().renew(one, on_node, reborn=one == node)

    async def settled(self) -> None:
        """Wait for what was begun; called when no more will be."""
        if self._works:
            await asyncio.wait(self._works)

    async def _inject(self, fault: Fault) -> Bite:
        async with self._locks[fault.node]:
            for other in self._on(fault.node):
                if other != fault and same_place(other, fault):
                    raise FaultInForceError(
                        f"{described(fault)}: {described(other)} is in force there", "heal that one first"
                    )
            known = fault in self._in_force
            if not known:
                self._in_force.append(fault)
            try:
                bite = await self._means().inject(fault, self._on(fault.node))
            except BaseException:
                if not known:
                    self._in_force.remove(fault)
                    # Half of it may have been applied.
                    with contextlib.suppress(DevnetError):
                        await self._means().heal(fault, self._on(fault.node))
                raise
            if isinstance(fault, OutOfMemory):
                self._in_force.remove(fault)
            return bite

    async def _heal(self, fault: Fault) -> Healing:
        async with self._locks[fault.node]:
            known = fault in self._in_force
            if known:
                self._in_force.remove(fault)
            try:
                healing = await self._means().heal(fault, self._on(fault.node))
            except BaseException:
                if known:
                    self._in_force.append(fault)
                raise
        if isinstance(fault, Unplug):
            await self.renew(fault.node)  # plugged in again, it may have another address
        return healing

    def _on(self, node: str) -> tuple[Fault, ...]:
        return tuple(fault for fault in self._in_force if fault.node == node)

    async def _to_its_end(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Half a fault helps nobody, so it is finished first; then the caller hears that it was cancelled."""
        task = asyncio.create_task(work, name="fault")
        self._works.add(task)
        task.add_done_callback(self._works.discard)
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            with contextlib.suppress(DevnetError):
                task.result()
            raise cancelled
        return task.result()
