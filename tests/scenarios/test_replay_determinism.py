"""Equal inputs, equal blocks: decided slots replayed by strangers' engines give the run's own hashes, and a block undone is mined again the same."""

import contextlib
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.fees import next_base_fee
from bridge.wire.journal import Journal
from bridge.wire.slot import Block, block_transactions
from orchestrator.devnet import Devnet
from orchestrator.market.scratch import anvil_binary
from orchestrator.nodes import genesis_path
from orchestrator.strategies.sampling import random_strategy
from rollup_node.chain import Chain
from rollup_node.engines.base import BlockInput
from rollup_node.engines.evm import EvmEngine
from rollup_node.errors import NotNext
from rollup_node.messages import Commit
from rollup_node.recovery import recover
from rollup_node.store import Store

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

SEED = 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, repository: Path) -> AsyncIterator[Devnet]:
    """Two rollups on which bundles committed and aborted."""
    async with launched(repository / "topologies" / "pair.yaml") as running:
        rng = random.Random(SEED)
        outcomes = [(await running.run(random_strategy(running.plan, rng))).outcome for _ in range(8)]
        assert {"committed", "aborted"} == set(outcomes)
        yield running


@contextlib.asynccontextmanager
async def stranger(net: Devnet, rollup: str, folder: Path) -> AsyncIterator[Chain]:
    """A chain of one's own from the run's genesis: engine, store and journal are new."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    plan = next(rollup_plan for rollup_plan in net.plan.rollups if rollup_plan.name == rollup)
    engine = EvmEngine(
        str(anvil_binary()),
        port=port,
        chain_id=plan.chain_id,
        gas_limit=plan.block_gas_limit,
        genesis=net.directory.path / genesis_path(rollup),
        cache=folder / "states",
    )
    store = Store(folder)
    try:
        with Journal(folder / "journal.jsonl", rollup, "rollup") as journal:
            yield await recover(engine, store, journal)
    finally:
        await engine.stop()
        store.close()


async def decided_blocks(net: Devnet, rollup: str) -> list[Block]:
    """Every decided block of a rollup, from the slots that the sequencer shows."""
    slots = await net.sequencer.rpc("rollnet_getSlots", 0, 500)
    chain_id = net.rollup(rollup).chain_id
    return [Block.from_json(b) for slot in slots for b in slot["blocks"] if b["chain_id"] == chain_id]


@pytest.mark.parametrize("rollup", ["alpha", "beta"])
async def test_two_strangers_agree_with_the_run(net: Devnet, rollup: str, tmp_path: Path) -> None:
    """Two fresh engines fed the decided slots have the run's block hashes, state roots, receipts and logs."""
    blocks = await decided_blocks(net, rollup)
    assert len(blocks) > 5
    answers = []
    for name in ("first", "second"):
        async with stranger(net, rollup, tmp_path / name) as chain:
            for block in blocks:
                header = await chain.commit(Commit(1, 0, block, chain.gate.hash, (), {}), recovered=True)
                assert (block.number, block.hash, block.state_root) == (
                    header.number,
                    header.hash,
                    header.state_root,
                )
            answers.append(
                [await chain.engine.request("eth_getBlockReceipts", [hex(block.number)]) for block in blocks]
                + [
                    await chain.engine.request(
                        "eth_getLogs", [{"fromBlock": "0x0", "toBlock": hex(len(blocks))}]
                    )
                ]
            )
    assert answers[0] == answers[1]
    shown = await net.rollup(rollup).rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(len(blocks))})
    assert shown == answers[0][-1]


async def test_a_changed_slot_is_found_out(net: Devnet, tmp_path: Path) -> None:
    """A verifier that is handed a slot with another timestamp, or without one of its bundles, refuses it."""
    blocks = await decided_blocks(net, "alpha")
    index = next(number for number, block in enumerate(blocks) if block.payload.bundles)

    good = blocks[index]
    wrong = [
        replace(good, payload=replace(good.payload, bundles=())),
        replace(good, payload=replace(good.payload, timestamp=good.payload.timestamp + 1)),
    ]
    async with stranger(net, "alpha", tmp_path) as chain:
        for block in blocks[:index]:
            await chain.commit(Commit(1, 0, block, chain.gate.hash, (), {}), recovered=True)
        for block in wrong:
            with pytest.raises(NotNext, match="decided as"):
                await chain.commit(Commit(1, 0, block, chain.gate.hash, (), {}), recovered=True)
        header = await chain.commit(Commit(1, 0, good, chain.gate.hash, (), {}), recovered=True)
        assert good.hash == header.hash


async def test_mined_undone_and_mined_again_is_the_same_block(net: Devnet, tmp_path: Path) -> None:
    """The engine's one fact that everything stands on, over every block of the run, with another block mined in between."""
    blocks = await decided_blocks(net, "beta")
    async with stranger(net, "beta", tmp_path) as chain:
        engine, parent = chain.engine, chain.gate
        for block in blocks:
            fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
            wanted = BlockInput(
                parent, block.payload.timestamp, fee, block_transactions(block.payload, block.number)
            )
            first = await engine.execute(wanted)
            await engine.rewind(parent.number)
            await engine.execute(BlockInput(parent, block.payload.timestamp + 7, fee, ()))
            await engine.rewind(parent.number)
            second = await engine.execute(wanted)
            assert first == second
            assert block.hash == first.header.hash
            parent = first.header
