"""L1 changes its mind: its last blocks give way to empty ones.

anvil reorganises beside its own beat, without a lock: a block that it mines in the middle of ``anvil_reorg`` leaves it without the
replaced blocks for good (``eth_getBlockByNumber`` answers null for them, whatever comes after), and then nobody can read that L1 any
more. Measured with anvil 1.7: one in about seventy calls that fall on the beat, none of five hundred with the beat stopped. The beat
can't be stopped for this, for anvil takes it back in whole seconds alone. So a call is made right after a block came, when the next one
is a whole block time away, and what L1 has afterwards is looked at.
"""

import contextlib

from orchestrator.chains import ChainHandle, translated
from orchestrator.errors import RollnetError
from orchestrator.waiting import eventually

_EVERY_S = 0.002
"""Between two looks at the height: little, measured against any block time."""
_STALLED_AFTER = 3.0
"""Block times without a block: L1 is stalled, and there is no beat to wait for."""


async def reorganise(l1: ChainHandle, depth: int, block_time_s: float) -> None:
    """Replace the last blocks of an L1 by as many empty ones; what was in them is sent again by its senders alone.

    Args:
        l1: the chain.
        depth: how many blocks.
        block_time_s: seconds between two of its blocks.

    Raises:
        RollnetError: anvil lost blocks over it.
        Refused: L1 has no block to replace, or refuses.
        ChainUnreachable: no answer.
    """
    await fresh_block(l1, block_time_s)
    await replace_last(l1, depth)


async def fresh_block(l1: ChainHandle, block_time_s: float) -> None:
    """Wait until a block has just come; not for ever, since a stalled L1 makes none.

    Raises:
        ChainUnreachable: no answer.
    """
    height = await l1.height()

    async def came() -> bool:
        return await l1.height() > height

    with contextlib.suppress(RollnetError):
        await eventually(came, _STALLED_AFTER * block_time_s, "a block of L1", every_s=_EVERY_S)


async def replace_last(l1: ChainHandle, depth: int) -> None:
    """Replace the last blocks at once, whatever the beat does, and see that none is missing.

    Raises:
        RollnetError: anvil lost blocks over it.
        Refused: L1 has no block to replace, or refuses.
        ChainUnreachable: no answer.
    """
    await l1.rpc("anvil_reorg", depth, [])
    head = await l1.height()
    numbers = range(max(0, head - depth), head + 1)
    with translated(l1.name):
        blocks = await l1.client.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
    lost = [number for number, block in zip(numbers, blocks, strict=True) if not block]
    if lost:
        raise RollnetError(
            f"anvil lost the blocks {lost[0]} to {lost[-1]} of L1 while it replaced the last {depth}",
            "nodes can't follow this L1 any more: take the devnet down and bring it up again",
        )
