"""What the rollup node relies on of anvil, and where anvil has to be helped: each was a broken chain once."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from bridge.wire.fees import next_base_fee
from bridge.wire.journal import Journal
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from bridge.wire.slot import BundlePart, Payload
from orchestrator.market.scratch import anvil_binary
from orchestrator.runtimes.ports import PortReservations
from rollup_node.chain import Chain, StageRequest, recover
from rollup_node.engines.base import BlockInput, Header
from rollup_node.engines.evm import EvmEngine
from rollup_node.store import Store

pytestmark = pytest.mark.process

CHAIN_ID = 4_242
KEY = to_hex(keccak256(b"an account of this test"))
SENDER = to_hex(address_of(KEY))
SINK = "0x" + "5e" * 20
GAS_LIMIT = 30_000_000
BLOCKHASH_OF_100_AGO = "60644303405f5260205ff3"
"""Returns BLOCKHASH(NUMBER - 100), so a contract created with it stores that hash as its code."""
START = 1_800_000_000


@contextlib.asynccontextmanager
async def engine(folder: Path) -> AsyncIterator[EvmEngine]:
    """An engine on a genesis with one rich account."""
    folder.mkdir(parents=True, exist_ok=True)
    genesis = folder / "genesis.json"
    alloc = {
        SENDER: {"balance": hex(10**24)},
        "0x4200000000000000000000000000000000000b00": {"balance": "0x0", "code": "0x00"},
    }
    genesis.write_bytes(
        orjson.dumps(
            {
                "config": {"chainId": CHAIN_ID},
                "timestamp": hex(START),
                "gasLimit": hex(GAS_LIMIT),
                "baseFeePerGas": hex(10**9),
                "difficulty": "0x0",
                "alloc": alloc,
            }
        )
    )
    with PortReservations() as ports:
        running = EvmEngine(
            str(anvil_binary()),
            port=ports.reserve(),
            chain_id=CHAIN_ID,
            gas_limit=GAS_LIMIT,
            genesis=genesis,
            cache=folder / "states",
        )
        try:
            yield running
        finally:
            await running.stop()


def signed(
    nonce: int, *, to: str = SINK, data: bytes = b"", gas: int = 21_000, max_fee: int = 10**11, value: int = 0
) -> bytes:
    """A transaction of the rich account."""
    target = bytes.fromhex(to[2:])
    return sign_transaction(
        UnsignedTransaction(
            chain_id=CHAIN_ID,
            nonce=nonce,
            max_fee=max_fee,
            priority_fee=0,
            gas=gas,
            to=target,
            data=data,
            value=value,
        ),
        KEY,
    )


def block_on(parent: Header, *transactions: bytes) -> BlockInput:
    """The next block with these transactions."""
    fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
    return BlockInput(parent, parent.timestamp + 1, fee, transactions)


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


async def test_the_reason_of_a_leg_that_calls_around_comes_quickly(tmp_path: Path) -> None:
    """A revert after many large inner calls is explained by its own frame alone."""
    # for ever: CALL(gas, address 0x5e…, 0, memory 0..20000, nothing) until the gas is nearly gone, then revert
    loop = "5b" + "5f5f614e205f5f73" + "5e" * 20 + "5af150" + "5a620186a010" + "5f57" + "5f5ffd"
    async with engine(tmp_path) as running:
        head = await running.start()
        create = signed(0, to="0x", data=bytes.fromhex(loop), gas=3_000_000)
        executed = await running.execute(block_on(head, create))
        assert "failed" == executed.results[0].status
        async with asyncio.timeout(1.5):
            reason, data = await running.explain(executed.results[0].hash)

    assert ("0x", False) == (data, "no trace" in reason)


def _request(chain: Chain, slot: int, transactions: int) -> StageRequest:
    raws = tuple(to_hex(signed(nonce, value=1)) for nonce in range(transactions))
    part = BundlePart(to_hex(keccak256(slot.to_bytes(4, "big"))), tuple(range(transactions)), raws)
    payload = Payload(chain.gate.timestamp + 1, (), (part,))
    return StageRequest(1, slot, 0, chain.gate.hash, payload, {})
