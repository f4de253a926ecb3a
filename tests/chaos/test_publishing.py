"""L1 dies and comes back older: superbatches still stand there exactly once, in order, and hold exactly the decided slots."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.keccak import from_hex
from bridge.wire.slot import Slot, slot_hash
from bridge.wire.superbatch import BATCH_INBOX, Superbatch, decode_superbatch, superbatch_hash
from orchestrator.devnet import Devnet
from orchestrator.runner import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

QUICK = "l1: {block_time: 200ms}\nmessaging: {mode: shared-sequencer, slot: 50ms, publish_every: 200ms}"
BUSY = "{engine: evm, block_time: 100ms}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Two rollups that fill slots by themselves, and a quick L1."""
    async with launched(topology_file("publishing", extra=QUICK, alpha=BUSY, beta=BUSY)) as running:
        yield running


async def everything_published(net: Devnet) -> int:
    """Wait until every slot that is decided by now (a few at least) is on L1; returns how many that are."""
    decided = max(5, int((await net.sequencer.status())["slots"]))

    async def published() -> bool:
        return bool((await net.sequencer.status())["published_slots"] >= decided)

    await eventually(published, 30, f"{decided} slots on L1")
    return decided


async def inbox(net: Devnet) -> list[tuple[int, str, bytes]]:
    """Nonce, sender and data of every transaction to the batch inbox on L1, in its order."""
    found = []
    for number in range(await net.l1.height() + 1):
        block = await net.l1.rpc("eth_getBlockByNumber", hex(number), True)
        found += [
            (int(tx["nonce"], 16), tx["from"], from_hex(tx["input"]))
            for tx in block["transactions"]
            if tx["to"] == BATCH_INBOX
        ]
    return found


async def decided_slots(net: Devnet) -> list[Slot]:
    """Every decided slot, by the sequencer."""
    slots: list[Slot] = []
    while page := await net.sequencer.rpc("rollnet_getSlots", len(slots), 500):
        slots += [Slot.from_json(fields) for fields in page]
    return slots


async def inbox_is_the_log(net: Devnet, decided: int) -> list[Superbatch]:
    """The superbatches on L1 are a chain, each once, and their slots are the decided ones, byte for byte."""
    transactions = await inbox(net)
    superbatches = [decode_superbatch(data) for _, _, data in transactions]
    assert list(range(len(superbatches))) == [superbatch.number for superbatch in superbatches]
    assert list(range(len(superbatches))) == [nonce for nonce, _, _ in transactions]
    assert 1 == len({sender for _, sender, _ in transactions})
    parents = ["0x" + "00" * 32, *(superbatch_hash(data) for _, _, data in transactions)]
    assert parents[:-1] == [superbatch.parent for superbatch in superbatches]
    on_l1 = [slot_hash(slot) for superbatch in superbatches for slot in superbatch.slots]
    slots = await decided_slots(net)
    assert decided <= len(on_l1)
    assert [slot_hash(slot) for slot in slots[: len(on_l1)]] == on_l1
    return superbatches


async def test_superbatches_survive_l1_and_sequencer_deaths(net: Devnet) -> None:
    """L1 is killed alone, together with the sequencer, and with all its state; afterwards the inbox is the sequencer's log again."""
    await inbox_is_the_log(net, await everything_published(net))
    for both, forgets in ((False, False), (True, False), (False, True)):
        before = (await net.sequencer.status())["slots"]
        await net.node("l1").kill()
        if both:
            await net.node("sequencer").kill()
            await net.node("sequencer").restart()

        async def goes_on(before: int = before) -> bool:
            return bool((await net.sequencer.status())["slots"] >= before + 5)

        await eventually(goes_on, 10, "slots while L1 is dead")
        if forgets:
            for state in net.directory.data_of("l1").glob("state*.json"):
                state.unlink()
        await net.node("l1").restart()
        await everything_published(net)
    published = await everything_published(net)

    async def all_there() -> bool:
        slots = [slot for _, _, data in await inbox(net) for slot in decode_superbatch(data).slots]
        return len(slots) >= published

    await eventually(all_there, 30, "every superbatch on the L1 that had forgotten them")
    superbatches = await inbox_is_the_log(net, published)
    assert {1, 2} == {superbatch.term for superbatch in superbatches}


async def test_safe_follows_l1(net: Devnet) -> None:
    """A rollup's ``safe`` block is at or below its head, never goes back, and reaches what was published."""
    alpha = net.rollup("alpha")
    seen = []
    for _ in range(5):
        block = await alpha.rpc("eth_getBlockByNumber", "safe", False)
        seen.append(int(block["number"], 16))
        await asyncio.sleep(0.1)  # samples over time: there is no event to wait for
    assert sorted(seen) == seen
    assert seen[-1] <= await alpha.height()
    head = await alpha.height()

    async def reached() -> bool:
        return int((await alpha.rpc("eth_getBlockByNumber", "safe", False))["number"], 16) >= head

    await eventually(reached, 15, f"block {head} as safe")
