"""Faults of nodes that are processes of this host: a full disk, and nothing else.

They share this host's network, so links are cut by proxies (``orchestrator.links``). Want of memory can't be had honestly either: a limit on
a process's memory (``RLIMIT_AS``, ``RLIMIT_DATA``) makes its next allocation fail, at which a node may do anything or nothing; what the
name promises is that the kernel ends it, and for that it takes a control group.
"""

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.runtimes import file_limits
from orchestrator.runtimes.base import Capability
from orchestrator.runtimes.disk_full import bite_of, complaints, healing_of
from orchestrator.runtimes.errors import FaultFailedError
from orchestrator.runtimes.faults import Bite, DiskFull, Fault, Healing
from orchestrator.runtimes.file_limits import Limited
from orchestrator.runtimes.orphans import group_members

CAPABILITIES = frozenset({Capability.DISK_FULL})
"""Faults that this runtime can do."""
_LINES = 200


class ProcessMeans:
    """Fulfils ``FaultMeans``.

    Args:
        pid: the process group of a node by its name; ``None`` while it is down.
        log: the last so many lines of a node's output.
    """

    def __init__(self, pid: Callable[[str], int | None], log: Callable[[str, int], Sequence[str]]) -> None:
        self._pid, self._log = pid, log
        self._limits: dict[Fault, int] = {}
        """Of those in force: a node that comes back gets no more room than it had."""

    async def inject(self, fault: Fault, on_node: Sequence[Fault]) -> Bite:
        """See ``FaultMeans``."""
        del on_node
        fault = _only(fault)
        before = complaints(self._log(fault.node, _LINES))
        seen = await self._stop(fault)
        if seen is None:
            return Bite(False, f"{fault.node} is down; its files are full as soon as it is back")
        return await bite_of(seen, lambda: self._log(fault.node, _LINES), before)

    async def heal(self, fault: Fault, on_node: Sequence[Fault]) -> Healing:
        """See ``FaultMeans``."""
        del on_node
        group = self._pid(fault.node)
        if group is None:
            self._limits.pop(fault, None)
            return Healing(True, f"{fault.node} is down")
        seen = await asyncio.to_thread(file_limits.lift, lambda: group_members(group))
        self._limits.pop(fault, None)
        return healing_of(seen)

    async def renew(self, node: str, on_node: Sequence[Fault], *, reborn: bool) -> None:
        """See ``FaultMeans``; there are no addresses here, so nobody else's rebirth matters."""
        del reborn
        for fault in on_node:
            seen = await self._stop(_only(fault))
            if seen is not None and seen.free:
                raise FaultFailedError(f"{node}: its disk is not full again: {seen.free} processes escape")

    async def _stop(self, fault: DiskFull) -> Limited | None:
        group = self._pid(fault.node)
        if group is None:
            return None
        if fault in self._limits:
            return await asyncio.to_thread(
                file_limits.hold, lambda: group_members(group), self._limits[fault]
            )
        seen = await asyncio.to_thread(file_limits.stop, lambda: group_members(group), fault.spare_bytes)
        self._limits[fault] = seen.limit
        return seen


def _only(fault: Fault) -> DiskFull:
    assert isinstance(fault, DiskFull), "no other kind is a capability"
    return fault
