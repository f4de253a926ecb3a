"""L1 dies and comes back older: what counts there is still exactly the decided slots, in order, each once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.l1.blocks import read_blocks
from bridge.wire.derivation import Derivation, DerivedSlot, Member, Rules
from bridge.wire.slot import Slot, slot_hash
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments
from orchestrator.verification import live_sources, verify
from orchestrator.waiting import eventually

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


async def counting(net: Devnet) -> list[DerivedSlot]:
    """The slots that L1 holds, by the rules that verifiers run."""
    contracts = deployments(net.plan).rollups
    rollups = [contracts[rollup.name] for rollup in net.plan.rollups]
    members = tuple(Member(rollup.chain_id, rollup.portal.lower()) for rollup in rollups)
    inbox, batcher = rollups[0].batch_inbox.lower(), rollups[0].batcher.lower()
    derivation = Derivation(Rules(members, inbox, batcher, net.plan.messaging.sequencing_window))
    slots: list[DerivedSlot] = []
    head = await net.l1.height()
    async for block in read_blocks(net.l1.client, [m.portal for m in members], [inbox], 0, head):
        slots += [event for event in derivation.add(block) if isinstance(event, DerivedSlot)]
    return slots


async def decided_slots(net: Devnet) -> list[Slot]:
    """Every decided slot, by the sequencer."""
    slots: list[Slot] = []
    while page := await net.sequencer.rpc("rollnet_getSlots", len(slots), 500):
        slots += [Slot.from_json(fields) for fields in page]
    return slots


async def l1_holds_the_log(net: Devnet, decided: int) -> None:
    """What counts on L1 is the sequencer's log, each slot once, in order, byte for byte."""
    on_l1 = [slot_hash(derived.slot) for derived in await counting(net)]
    slots = await decided_slots(net)
    assert decided <= len(on_l1)
    assert [slot_hash(slot) for slot in slots[: len(on_l1)]] == on_l1


@pytest.mark.parametrize(
    ("both", "forgets"),
    [
        (True, False),
        pytest.param(False, False, marks=pytest.mark.long),
        pytest.param(False, True, marks=pytest.mark.long),
    ],
)
async def test_superbatches_survive_l1_and_sequencer_deaths(net: Devnet, both: bool, forgets: bool) -> None:
    """L1 is killed alone, together with the sequencer, and with all its state; afterwards L1 holds the sequencer's log again.

    Rollups go on while L1 is dead. A sequencer that starts without L1 decides nothing: it can't know what still stands.
    """
    await l1_holds_the_log(net, await everything_published(net))
    before = (await net.sequencer.status())["slots"]
    await net.node("l1").kill()
    if both:
        await net.node("sequencer").kill()
        await net.node("sequencer").restart()
        assert before <= (await net.sequencer.status())["slots"]
    else:

        async def goes_on() -> bool:
            return bool((await net.sequencer.status())["slots"] >= before + 5)

        await eventually(goes_on, 10, "slots while L1 is dead")
    if forgets:
        for state in net.directory.data_of("l1").glob("state*.json"):
            state.unlink()
    await net.node("l1").restart()
    await l1_holds_the_log(net, await everything_published(net))
    async with live_sources(net.directory.path) as sources:
        assert "valid" == (await verify(sources)).verdict


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
