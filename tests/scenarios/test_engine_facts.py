"""What the rollup node relies on of anvil, and where anvil has to be helped: each was a broken chain once."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.wire.journal import Journal
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.slot import BundlePart, Payload
from orchestrator.market.scratch import anvil_binary
from orchestrator.runtimes.ports import PortReservations
from rollup_node.chain import Chain
from rollup_node.engines.evm import EvmEngine
from rollup_node.engines.evm import engine as evm_engine
from rollup_node.engines.evm.testing import CHAIN_ID, SENDER, SINK, START, block_on, hand_engine, signed
from rollup_node.errors import EngineFailed
from rollup_node.messages import StageRequest
from rollup_node.recovery import recover
from rollup_node.store import Store

pytestmark = pytest.mark.process

BLOCKHASH_OF_100_AGO = "60644303405f5260205ff3"
"""Returns BLOCKHASH(NUMBER - 100), so a contract created with it stores that hash as its code."""


@contextlib.asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[EvmEngine]:
    """An engine on a genesis with one rich account."""
    with PortReservations() as ports:
        async with hand_engine(str(anvil_binary()), ports.reserve(), folder) as running:
            yield running


async def test_blockhash_is_the_same_after_a_restored_checkpoint(tmp_path: Path) -> None:
    """A contract that looks 100 blocks back gets the same hash on a restarted node: else its chain would diverge for good."""
    create = signed(0, to="0x", data=bytes.fromhex(BLOCKHASH_OF_100_AGO), gas=200_000)
    async with engine(tmp_path / "first") as first:
        head = await first.start()
        for _ in range(130):
            head = (await first.execute(block_on(head))).header
        await first.checkpoint(tmp_path / "state")
        expected = (await first.execute(block_on(head, create))).header
    async with engine(tmp_path / "second") as second:
        await second.start()
        restored = await second.restore(tmp_path / "state")
        assert head == restored
        again = (await second.execute(block_on(restored, create))).header

    assert expected == again


async def test_a_transaction_at_exactly_the_base_fee_survives_a_rollback(tmp_path: Path) -> None:
    """The pool judges by the fee of the block that is being built, not by that of a block that was undone."""
    async with engine(tmp_path) as running:
        head = await running.start()
        heavy = [signed(nonce, gas=21_000) for nonce in range(300)]
        full = block_on(head, *heavy)
        fee = full.base_fee
        await running.execute(full)
        await running.rewind(head.number)

        exact = signed(0, max_fee=fee)
        result = (await running.execute(block_on(head, exact))).results[0]

    assert "success" == result.status


async def test_reads_of_the_committed_block_never_see_the_staged_one(tmp_path: Path) -> None:
    """Balance and nonce at the gate stay what they are while blocks above it are staged and undone all the time."""
    async with engine(tmp_path / "engine") as running:
        with Journal(tmp_path / "journal.jsonl", "alpha", "rollup") as journal:
            store = Store(tmp_path / "store")
            chain = await recover(running, store, journal)
            stop = asyncio.Event()
            wrong, seen = [], 0

            async def reader() -> None:
                nonlocal seen
                while not stop.is_set():
                    nonce, balance = (await chain.accounts([SENDER]))[0]
                    sink = await chain.read("eth_getBalance", [SINK, hex(chain.gate.number)])
                    seen += 1
                    if (nonce, balance, sink) != ("0x0", hex(10**24), "0x0"):
                        wrong.append((nonce, balance, sink))

            async with asyncio.TaskGroup() as tasks:
                for _ in range(4):
                    tasks.create_task(reader())
                rng = random.Random(3)
                for slot in range(60):
                    await chain.stage(_request(chain, slot, rng.randint(1, 40)))
                    await chain.greet(1)
                stop.set()
            store.close()

    assert [] == wrong
    assert seen > 20


async def test_a_chain_goes_back_beyond_the_state_that_it_was_restored_from(tmp_path: Path) -> None:
    """The engine cannot; the node's next life starts from an older state, and both authorities get what they asked for."""
    payloads = [Payload(START + number, (to_hex(signed(number - 1)),), ()) for number in range(1, 7)]
    other = Payload(START + 2, (to_hex(signed(1, value=5)),), ())
    async with engine(tmp_path / "engine") as running:
        with Journal(tmp_path / "journal.jsonl", "alpha", "rollup") as journal:
            store = Store(tmp_path / "store")
            chain = await recover(running, store, journal)
            for number, payload in enumerate(payloads, 1):
                await chain.derive(CHAIN_ID, number, payload)
                if number in (3, 6):
                    await chain.checkpoint()
            chain.settle(0, 0)
            before = store.blocks()

            async def again(action: Callable[[Chain], Awaitable[Any]]) -> Chain:
                """Once in a life that cannot, once more in the next."""
                failing = await _next_life(running, store, journal)
                with pytest.raises(EngineFailed):
                    await action(failing)
                return await _next_life(running, store, journal)

            cancelled = await again(lambda chain: chain.rewind(5, before[4].hash))
            assert before[:5] == store.blocks()
            assert before[4].hash == (await cancelled.rewind(5, before[4].hash)).hash
            assert 2 == cancelled.replayed, "from the older checkpoint"

            replaced = await again(lambda chain: chain.derive(CHAIN_ID, 2, other))
            assert not await replaced.derive(CHAIN_ID, 2, other)
            assert ([before[0].payload, other], 2) == ([b.payload for b in store.blocks()], replaced.safe)
            assert hex(5) == await replaced.read("eth_getBalance", [SINK, "0x2"])
            store.close()


async def _next_life(running: EvmEngine, store: Store, journal: Journal) -> Chain:
    await running.stop()
    return await recover(running, store, journal)


async def test_the_reason_of_a_leg_that_calls_around_is_its_own_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revert after many large inner calls is explained by its own frame, without theirs."""
    monkeypatch.setattr(evm_engine, "EXPLAIN_SECONDS", 10.0)  # this machine may be busy
    # for ever: CALL(gas, address 0x5e…, 0, memory 0..20000, nothing) until the gas is nearly gone, then revert
    loop = "5b" + "5f5f614e205f5f73" + "5e" * 20 + "5af150" + "5a620186a010" + "5f57" + "5f5ffd"
    async with engine(tmp_path) as running:
        head = await running.start()
        create = signed(0, to="0x", data=bytes.fromhex(loop), gas=3_000_000)
        executed = await running.execute(block_on(head, create))
        assert "failed" == executed.results[0].status
        reason, data = await running.explain(executed.results[0].hash)

    assert ("0x", False) == (data, "no trace" in reason)


def _request(chain: Chain, slot: int, transactions: int) -> StageRequest:
    raws = tuple(to_hex(signed(nonce, value=1)) for nonce in range(transactions))
    part = BundlePart(to_hex(keccak256(slot.to_bytes(4, "big"))), tuple(range(transactions)), raws)
    payload = Payload(chain.gate.timestamp + 1, (), (part,))
    return StageRequest(1, slot, 0, chain.gate.hash, payload, {})
