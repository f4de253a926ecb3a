"""What L1 does wrong: it makes no blocks, or changes its mind about some. Done through anvil's own methods, whatever it runs in.

A stall stops anvil's own beat, so nothing has to be fought; it is set again to the topology's block time, which anvil takes in whole
seconds alone. A reorganisation replaces the last blocks by as many empty ones; what was in them is not sent again by anybody but its sender.
"""

from orchestrator.chaos.injection import Begun
from orchestrator.devnet import Devnet
from orchestrator.reorganisation import fresh_block, replace_from
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
        return await beat(self._net)


async def beat(net: Devnet) -> Healing:
    """L1 makes blocks in the topology's time again."""
    beat_s = round(net.plan.l1.block_time_s)
    await net.l1.rpc("evm_setIntervalMining", beat_s)
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
        """Look at the blocks that must change, reorganise, look again; the journal is told from which block on L1 is another."""
        block_time_s = self._net.plan.l1.block_time_s
        await fresh_block(self._net.l1, block_time_s)
        height = await self._net.l1.height()
        if height <= self._depth:
            self._bite = Bite(False, f"L1 has {height} blocks, of which {self._depth} can't be replaced")
            return
        numbers = range(height - self._depth + 1, height + 1)
        before = {number: await self._hash(number) for number in numbers}
        begun()
        await replace_from(self._net.l1, numbers[0], block_time_s)
        after = {number: await self._hash(number) for number in numbers}
        others = [number for number in numbers if before[number] != after[number]]
        if not others:
            self._bite = Bite(False, f"blocks {numbers[0]} to {height} of L1 are what they were")
            return
        lowest = min(others)
        self._net.journal.emit("l1.reorganised", lowest=lowest, head=height)
        self._bite = Bite(
            True,
            f"{len(others)} of {self._depth} blocks of L1 are others; block {lowest} was {before[lowest][:10]}… "
            f"and is {after[lowest][:10]}…",
        )

    async def bite(self) -> Bite:
        """Whether any of the replaced blocks is another one now."""
        return self._bite

    async def heal(self) -> Healing:
        """There is nothing to undo: the new blocks are the truth."""
        return Healing(True, "nothing to undo")

    async def _hash(self, number: int) -> str:
        block = await self._net.l1.rpc("eth_getBlockByNumber", hex(number), False)
        return str(block["hash"]) if block else "gone"
