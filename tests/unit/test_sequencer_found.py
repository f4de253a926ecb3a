"""What the simulation found in the sequencer, told again with its own small world."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bridge.wire.errors import RESOURCE_UNAVAILABLE, RpcError
from bridge.wire.keccak import to_hex
from bridge.wire.testing import MemoryJournal, signed
from shared_sequencer.admission import Admission
from shared_sequencer.mempool import Mempool
from shared_sequencer.testing import MemoryLog, ToySet
from shared_sequencer.testing_l1 import GENESIS_TIME
from shared_sequencer.testing_world import World, both


def test_a_clock_behind_l1_makes_no_block_before_its_origin() -> None:
    """A sequencer that believes it is earlier than L1's first block stamps its own first block with that block's time, and L1 takes it.

    Such a block was invalid, everything built on it was refused by everybody, and a whole window was lost.
    """

    async def main(world: World) -> None:
        world.clock.now = GENESIS_TIME - 5.0
        item = await world.admit(both(1))
        slot = await world.slot()
        assert slot is not None
        assert [GENESIS_TIME] * 2 == [block.payload.timestamp for block in slot.blocks]
        await world.settle()
        world.committed_once(item)
        assert world.toys.nodes[901].safe > 0

    World().run(main)


async def test_a_life_that_is_over_admits_nothing_into_the_next_ones_log() -> None:
    """An item whose sender's account was being asked for when L1 cut the log is refused, to be sent again, and leaves no record.

    It was written and acknowledged after the next life had read the log, which knew nothing of it until it was started again.
    """
    toys, log, asked, answer = ToySet((901,)), MemoryLog(), asyncio.Event(), asyncio.Event()
    admission = Admission(list(toys.rollups().values()), Mempool(), log, MemoryJournal(), 10)

    async def slowly(_: str, __: Sequence[Any]) -> None:
        asked.set()
        await answer.wait()

    toys.nodes[901].hook = slowly
    sending = asyncio.ensure_future(admission.transaction(to_hex(signed(901, 1, 0).raw), None, None))
    await asked.wait()
    admission.close()
    answer.set()
    with pytest.raises(RpcError, match="try again") as refused:
        await sending
    assert RESOURCE_UNAVAILABLE == refused.value.code
    assert [] == log.written
