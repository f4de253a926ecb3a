"""Wrong wall clocks: nodes that read one take an offset to it, if they were launched for chaos; their monotonic clock stays right."""

from collections.abc import Sequence

from orchestrator.chains import ServiceHandle
from orchestrator.chaos.injection import Begun, all_of, all_tried
from orchestrator.devnet import Devnet
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
            await clock_of(self._net, node).rpc("rollnet_skewClock", self._offset_s)

    async def bite(self) -> Bite:
        """What each node's clock says, beside this one's."""
        return all_of([await self._judged(node) for node in self._nodes])

    async def heal(self) -> Healing:
        """Set all right, also when one of them does not answer."""
        return await all_tried((node, set_right(self._net, node)) for node in self._nodes)

    async def _judged(self, node: str) -> Bite:
        told = await clock_of(self._net, node).rpc("rollnet_clock")
        wrong = float(told["offset_s"])
        return Bite(wrong == self._offset_s, f"{node}'s clock is wrong by {wrong:+g} s")


async def set_right(net: Devnet, node: str) -> Healing:
    """A node's clock has no offset any more."""
    await clock_of(net, node).rpc("rollnet_skewClock", 0)
    return Healing(True, f"{node}'s clock is right")


def clock_of(net: Devnet, node: str) -> ServiceHandle:
    """Who sets a node's clock: the node itself, a sequencer or the relayer."""
    return net.relayer if node == RELAYER else net.sequencers[node]
