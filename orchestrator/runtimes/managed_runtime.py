"""What runtimes of managed nodes have in common: calls by name, and an end that finishes whatever happens."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from orchestrator.runtimes import ordering
from orchestrator.runtimes.base import Capability, NodeSpec, NodeStatus, require
from orchestrator.runtimes.errors import NodeStateError, NodeStuckError, PlanError, UnknownNodeError
from orchestrator.runtimes.faults import Bite, Fault, Healing, peer_of
from orchestrator.runtimes.injection import FaultMeans, InjectedFaults
from orchestrator.runtimes.managed_node import ManagedNode
from orchestrator.runtimes.timed_healing import TimedHealing, require_time


class ManagedRuntime(ABC):
    """An async context manager, closed at the end of its block. Fulfils ``Runtime``.

    Args:
        close_grace_s: longest time for all polite stops together when closing, seconds; what is left is killed.
    """

    def __init__(self, close_grace_s: float) -> None:
        self._close_grace_s = close_grace_s
        self._nodes: dict[str, ManagedNode] = {}
        self._closing: asyncio.Task[None] | None = None
        self.gave_back = False
        """Whether it is closed and has left nothing, so that its devnet may be forgotten."""
        self._faults = InjectedFaults(self._means)
        self._clocks = TimedHealing(self._faults.heal, lambda fault: fault in self._faults.in_force)

    @property
    @abstractmethod
    def capabilities(self) -> frozenset[Capability]:
        """See ``Runtime``."""

    @abstractmethod
    async def prepare(self, specs: Sequence[NodeSpec]) -> None:
        """See ``Runtime``."""

    async def start(self, name: str) -> None:
        """See ``Runtime``."""
        await self._node(name).start()

    async def stop(self, name: str) -> None:
        """``SIGTERM``, and ``SIGKILL`` after the node's grace; see ``Runtime``."""
        await self._node(name).stop()

    async def kill(self, name: str) -> None:
        """``SIGKILL`` to everything of the node; see ``Runtime``."""
        await self._node(name).kill()

    async def pause(self, name: str) -> None:
        """See ``Runtime``."""
        await self._node(name).pause()

    async def resume(self, name: str) -> None:
        """See ``Runtime``."""
        await self._node(name).resume()

    async def restart(self, name: str) -> None:
        """Stop and start on the same ports; see ``Runtime``."""
        await self._node(name).restart()

    def endpoint(self, name: str, port: str) -> str:
        """See ``Runtime``."""
        return self._node(name).endpoint(port)

    def logs(self, name: str, lines: int = 50) -> tuple[str, ...]:
        """See ``Runtime``."""
        return self._node(name).logs(lines)

    def status(self) -> tuple[NodeStatus, ...]:
        """See ``Runtime``."""
        return tuple(node.status() for node in self._nodes.values())

    async def inject(self, fault: Fault, for_s: float | None = None) -> Bite:
        """See ``Runtime``."""
        self._require_possible(fault)
        if for_s is not None:
            require_time(for_s)
        self._clocks.forget(fault)
        bite = await self._faults.inject(fault)
        if for_s is not None:
            self._clocks.begin(fault, for_s)
        return bite

    async def heal(self, fault: Fault) -> Healing:
        """See ``Runtime``."""
        self._require_possible(fault)
        self._clocks.forget(fault)
        return await self._faults.heal(fault)

    def faults(self) -> tuple[Fault, ...]:
        """See ``Runtime``."""
        return self._faults.in_force

    async def close(self) -> None:
        """Stop everything, dependents first, and give everything back; see ``Runtime``.

        Raises:
            NodeStuckError: something survives ``SIGKILL``; everything else is done all the same.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="runtime-close")
        cancelled: asyncio.CancelledError | None = None
        while not self._closing.done():
            try:
                await asyncio.wait({self._closing})
            except asyncio.CancelledError as exc:
                cancelled = exc  # finish first: a half-closed devnet helps nobody
        if cancelled is not None:
            raise cancelled
        self._closing.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _require_fresh(self) -> None:
        if self._nodes or self._closing is not None:
            raise PlanError(
                "this runtime has had its nodes already", "make another runtime for another devnet"
            )

    def _node(self, name: str) -> ManagedNode:
        try:
            return self._nodes[name]
        except KeyError:
            raise UnknownNodeError(name, self._nodes) from None

    def _require_possible(self, fault: Fault) -> None:
        require(self, Capability(fault.kind))
        for name in (fault.node, peer_of(fault)):
            if name is not None:
                self._node(name)
        if self._closing is not None:
            raise NodeStateError(f"{fault.node} is left alone: the devnet is being taken down")

    @abstractmethod
    def _means(self) -> FaultMeans:
        """How this runtime does things to its nodes; asked only once there are nodes."""

    @abstractmethod
    async def _give_back(self) -> None:
        """Give back what the runtime itself holds; all nodes are down, but for those that are stuck."""

    async def _close(self) -> None:
        for node in self._nodes.values():
            node.retire()
        waves = ordering.start_waves([node.spec for node in self._nodes.values()])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._close_grace_s):
                for wave in reversed(waves):
                    await _each(self.stop, wave)
        stuck = await _each(self.kill, self._nodes)
        await self._clocks.close()
        await self._faults.settled()
        try:
            await self._give_back()
            self.gave_back = True
        finally:
            for node in self._nodes.values():
                await node.close()
        if stuck:
            raise stuck[0]


async def _each(act: Callable[[str], Awaitable[None]], names: Iterable[str]) -> list[NodeStuckError]:
    stuck: list[NodeStuckError] = []

    async def one(name: str) -> None:
        try:
            await act(name)
        except NodeStuckError as exc:
            stuck.append(exc)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
    return stuck
