"""Reorganising a real L1 that goes on mining by itself: it loses nothing but what it was told to."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.jsonrpc import Client
from orchestrator.chains import ChainHandle
from orchestrator.errors import RollnetError
from orchestrator.market.scratch import scratch_anvil
from orchestrator.reorganisation import fresh_block, reorganise, replace_from

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

BLOCK_TIME_S = 1.0
DEPTH = 3


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def l1() -> AsyncIterator[ChainHandle]:
    """An L1 with a beat of a second."""
    async with scratch_anvil() as client:
        await client.call("anvil_mine", hex(2 * DEPTH))
        await client.call("evm_setIntervalMining", int(BLOCK_TIME_S))
        yield ChainHandle("l1", 900, client.url, client)


async def hashes(l1: ChainHandle) -> list[str]:
    """Of all its blocks; each is the parent of the next."""
    numbers = range(await l1.height() + 1)
    blocks: list[Any] = await l1.client.batch(
        [("eth_getBlockByNumber", [hex(number), False]) for number in numbers]
    )
    for parent, block in pairwise(blocks):
        assert parent["hash"] == block["parentHash"]
    return [block["hash"] for block in blocks]


async def test_it_waits_for_a_block_and_replaces_the_last_ones(l1: ChainHandle) -> None:
    """The call comes after a new block; what is under the depth stays, what is above becomes other blocks."""
    before = await hashes(l1)
    await reorganise(l1, DEPTH, BLOCK_TIME_S)
    after = await hashes(l1)
    assert len(before) < len(after)
    same = [number for number, digest in enumerate(before) if digest == after[number]]
    assert list(range(len(before) + 1 - DEPTH)) == same


async def test_a_stalled_l1_is_reorganised_too(l1: ChainHandle) -> None:
    """Without a beat there is nothing to wait for, and nothing to fear."""
    await l1.rpc("evm_setIntervalMining", 0)
    async with asyncio.timeout(30):
        await fresh_block(l1, 0.02)
    before = await hashes(l1)
    await reorganise(l1, DEPTH, 0.02)
    after = await hashes(l1)
    assert before[:-DEPTH] == after[:-DEPTH]
    assert not set(before[-DEPTH:]) & set(after)


async def test_blocks_that_anvil_lost_are_replaced_once_more(l1: ChainHandle) -> None:
    """Seen at once, and mended; if it never comes right, whoever asked hears it before nodes stand before an unreadable L1."""

    class Forgetful(Client):
        """Answers some times that there is no such block."""

        def __init__(self, url: str, times: int) -> None:
            super().__init__(url)
            self.times = times

        async def batch(
            self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
        ) -> list[Any]:
            self.times -= 1
            answers = await super().batch(calls, deadline)
            return [None, *answers[1:]] if self.times >= 0 else answers

    lowest = await l1.height() - DEPTH + 1
    for times, lasting in ((2, False), (100, True)):
        async with Forgetful(l1.client.url, times) as client:
            handle = ChainHandle("l1", 900, client.url, client)
            if not lasting:
                await replace_from(handle, lowest, 0.01)
                assert await hashes(l1)
                continue
            with pytest.raises(RollnetError, match=f"anvil loses the blocks from {lowest} on"):
                await replace_from(handle, lowest, 0.01)
