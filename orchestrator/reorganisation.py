"""L1 changes its mind: its last blocks give way to empty ones.

anvil reorganises beside its own beat, without a lock: a block that it mines in the middle of ``anvil_reorg`` leaves it without the
replaced blocks for good (``eth_getBlockByNumber`` answers null for them, whatever comes after), and then nobody can read that L1 any
more. Measured with anvil 1.7: one in about seventy calls that fall on the beat, none of five hundred with the beat stopped. The beat
can't be stopped for this, for anvil takes it back in whole seconds alone. So a call is made right after a block came, when the next one
is a whole block time away; should the machine have been slower than that, the lost blocks are seen at once, and replaced once more.
"""

import contextlib

from orchestrator.chains import ChainHandle, translated
from orchestrator.errors import RollnetError
from orchestrator.waiting import eventually

_EVERY_S = 0.002
"""Between two looks at the height: little, measured against any block time."""
_STALLED_AFTER = 3.0
"""Block times without a block: L1 is stalled, and there is no beat to wait for."""

_TRIES = 10


async def reorganise(l1: ChainHandle, depth: int, block_time_s: float) -> None:
    """Replace the last blocks of an L1 by empty ones; what was in them is sent again by its senders alone.

    Args:
        l1: the chain.
        depth: how many blocks.
        block_time_s: seconds between two of its blocks.

    Raises:
        RollnetError: anvil lost blocks over it, again and again.
        Refused: L1 has no block to replace, or refuses.
        ChainUnreachable: no answer.
    """
    await fresh_block(l1, block_time_s)
    await replace_from(l1, await l1.height() - depth + 1, block_time_s)


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


async def replace_from(l1: ChainHandle, lowest: int, block_time_s: float) -> None:
    """Replace all blocks from one on, best right after one came; raises what `reorganise` does."""
    for _ in range(_TRIES):
        await l1.rpc("anvil_reorg", await l1.height() - lowest + 1, [])
        if not await _missing(l1, lowest):
            return
        await fresh_block(l1, block_time_s)
    raise RollnetError(
        f"anvil loses the blocks from {lowest} on while it replaces them",
        "nodes can't follow this L1 any more: take the devnet down and bring it up again, with a longer block_time of l1",
    )


async def _missing(l1: ChainHandle, lowest: int) -> list[int]:
    """Numbers of the blocks that an L1 lacks, from one on."""
    numbers = range(max(0, lowest), await l1.height() + 1)
    with translated(l1.name):
        blocks = await l1.client.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
    return [number for number, block in zip(numbers, blocks, strict=True) if not block]
