"""Wrong wall clocks: nodes that read one take an offset to it, if they were launched for chaos; their monotonic clock stays right."""

from collections.abc import Sequence

from orchestrator.chains import ServiceHandle
from orchestrator.chaos.injection import Begun, all_of
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.runtimes.faults import Bite, Healing
from orchestrator.topology.names import RELAYER


class ClockInjection:
    """Some nodes' clocks are wrong by an offset. A node that is restarted meanwhile has the right time again.

    Args:
        net: whose nodes.
        nodes: sequencers, or the relayer.
        offset_s: seconds; negative is slow.
    """

    def __init__(self, net: Devnet, nodes: Sequence[str], offset_s: float) -> None:
        self._net, self._nodes, self._offset_s = net, nodes, offset_s

    async def inject(self, begun: Begun) -> None:
        """One after the other."""
        begun()
        for node in self._nodes:
            await self._service(node).rpc("rollnet_skewClock", self._offset_s)

    async def bite(self) -> Bite:
        """What each node's clock says, beside this one's."""
        return all_of([await self._judged(node) for node in self._nodes])

    async def heal(self) -> Healing:
        """Set all right that answer: one that does not has lost its offset with its life."""
        for node in self._nodes:
            try:
                await self._service(node).rpc("rollnet_skewClock", 0)
            except RollnetError as exc:
                return Healing(False, f"{node}: {exc.message}")
        return Healing(True, "all clocks are right")

    async def _judged(self, node: str) -> Bite:
        told = await self._service(node).rpc("rollnet_clock")
        wrong = float(told["offset_s"])
        return Bite(wrong == self._offset_s, f"{node}'s clock is wrong by {wrong:+g} s")

    def _service(self, node: str) -> ServiceHandle:
        return self._net.relayer if node == RELAYER else self._net.sequencers[node]
