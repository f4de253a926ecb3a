"""Crashes at named points of a node's code. The window begins when the node is gone, not when the crash was ordered.

A point that is passed while running is ordered by a call to the node. One that is passed while booting can't be: the order lies in a file of
the node's data folder, and the node is restarted to meet it.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from bridge.wire.crash_points import CRASH_FILE, CRASH_POINTS
from orchestrator.chaos.injection import Begun, all_of, all_tried
from orchestrator.chaos.lives import bring_back
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.runtimes.base import ALIVE
from orchestrator.runtimes.faults import Bite, Healing


def is_at_boot(point: str) -> bool:
    """Whether a node passes a point while it boots."""
    when = CRASH_POINTS[point].when
    return when.startswith(("each boot", "a boot")) and not when.startswith("each boot of")


def order_of(net: Devnet, node: str) -> Path:
    """The file by which a node is ordered to crash in its next boot."""
    return net.directory.data_of(node) / CRASH_FILE


def withdraw_order(net: Devnet, node: str) -> None:
    """No boot of a node finds an order that it was not there to take; a run that is interrupted leaves none.

    Raises:
        OSError: the file can't be removed.
    """
    order_of(net, node).unlink(missing_ok=True)


class CrashInjection:
    """Orders some nodes to crash at a point, and waits until they have.

    Args:
        net: whose nodes.
        nodes: by name.
        point: a crash point that such nodes pass.
        count: at which passage.
        within_s: longest wait for the crash.
    """

    def __init__(self, net: Devnet, nodes: Sequence[str], point: str, count: int, within_s: float) -> None:
        self._net, self._nodes, self._point, self._count, self._within_s = net, nodes, point, count, within_s
        self._ordered: set[str] = set()
        self._bites: dict[str, Bite] = {}

    async def inject(self, begun: Begun) -> None:
        """Order it everywhere, and wait for the ends; the first of them is the beginning."""
        boots = {}
        for node in self._nodes:
            self._ordered.add(node)
            boots[node] = await (self._at_boot(node) if is_at_boot(self._point) else self._on_the_run(node))
        async with asyncio.TaskGroup() as tasks:
            for node, boot in boots.items():
                tasks.create_task(self._await_end(node, boot, begun))

    async def bite(self) -> Bite:
        """Exit code and log tell a crash at the point from any other end."""
        return all_of([self._bites.get(node, Bite(False, f"{node} took no order")) for node in self._nodes])

    async def heal(self) -> Healing:
        """Bring back who crashed; who never came to the point is restarted, because the order stands as long as its life."""
        healing = await all_tried((node, self._back(node)) for node in self._nodes)
        self._ordered.clear()
        return healing

    async def _back(self, node: str) -> Healing:
        crashed = node in self._bites and self._bites[node].bit
        await asyncio.to_thread(withdraw_order, self._net, node)
        if node in self._ordered and not crashed and (await self._net.node(node).status()).state in ALIVE:
            status = await self._net.node(node).restart()
            return Healing(status.state in ALIVE, f"{node} was restarted to take back the order")
        return await bring_back(self._net, node)

    async def _on_the_run(self, node: str) -> int:
        return (await self._net.node(node).crash_at(self._point, self._count)).boot

    async def _at_boot(self, node: str) -> int:
        handle, order = self._net.node(node), order_of(self._net, node)
        try:
            await asyncio.to_thread(order.write_text, f"{self._point}:{self._count}")
        except OSError as exc:
            raise RollnetError(f"{node} can't be ordered to crash at boot: {order}: {exc.strerror}") from exc
        boot = (await handle.status()).boot + 1
        with contextlib.suppress(
            RollnetError
        ):  # it is told as a node that did not come up, which is what was wanted
            await handle.restart()
        return boot

    async def _await_end(self, node: str, boot: int, begun: Begun) -> None:
        self._bites[node] = await self._net.node(node).crashed(self._point, boot, self._within_s)
        if self._bites[node].bit:
            begun()
