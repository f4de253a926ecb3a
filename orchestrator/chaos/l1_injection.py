"""What L1 does wrong: it makes no blocks, or changes its mind about some. Done through anvil's own methods, whatever it runs in.

A stall stops anvil's own beat, so nothing has to be fought; it is set again to the topology's block time, which anvil takes in whole
seconds alone. A reorganisation replaces the last blocks by as many empty ones; what was in them is not sent again by anybody but its sender.
"""

from orchestrator.chaos.injection import Begun
from orchestrator.devnet import Devnet
from orchestrator.runtimes.faults import Bite, Healing


class StallInjection:
    """L1 answers, and makes no blocks.

    Args:
        net: whose L1.
    """

    def __init__(self, net: Devnet) -> None:
        self._net = net
        self._height: int | None = None
        self._stalled = False

    async def inject(self, begun: Begun) -> None:
        """Stop the beat; the height is read afterwards, so a block that was under way does not count."""
        begun()
        self._stalled = True  # also if no answer comes: it may have been heard
        await self._net.l1.rpc("evm_setIntervalMining", 0)
        self._height = await self._net.l1.height()

    async def bite(self) -> Bite:
        """Whether it still stands where it stood."""
        if self._height is None:
            return Bite(False, "L1 was not told")
        height = await self._net.l1.height()
        return Bite(height == self._height, f"L1 was at block {self._height} and is at {height}")

    async def heal(self) -> Healing:
        """Set the beat again."""
        if not self._stalled:
            return Healing(True, "L1 was never stalled")
        beat_s = round(self._net.plan.l1.block_time_s)
        await self._net.l1.rpc("evm_setIntervalMining", beat_s)
        return Healing(True, f"L1 makes a block every {beat_s} s again")


class ReorgInjection:
    """The last blocks of L1 are replaced by empty ones.

    Args:
        net: whose L1.
        depth: how many blocks.
    """

    def __init__(self, net: Devnet, depth: int) -> None:
        self._net, self._depth = net, depth
        self._bite = Bite(False, "L1 was not told")

    async def inject(self, begun: Begun) -> None:
        """Look at the block that must change, reorganise, look again."""
        height = await self._net.l1.height()
        if height <= self._depth:
            self._bite = Bite(False, f"L1 has {height} blocks, of which {self._depth} can't be replaced")
            return
        number = hex(height - self._depth + 1)
        before = await self._hash(number)
        begun()
        await self._net.l1.rpc("anvil_reorg", self._depth, [])
        after = await self._hash(number)
        self._bite = Bite(
            before != after, f"block {int(number, 16)} of L1 was {before[:10]}… and is {after[:10]}…"
        )

    async def bite(self) -> Bite:
        """Whether the lowest of the replaced blocks is another one now."""
        return self._bite

    async def heal(self) -> Healing:
        """There is nothing to undo: the new blocks are the truth."""
        return Healing(True, "nothing to undo")

    async def _hash(self, number: str) -> str:
        block = await self._net.l1.rpc("eth_getBlockByNumber", number, False)
        return str(block["hash"]) if block else "gone"
