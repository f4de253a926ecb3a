"""For tests of the real engine: a small genesis, and blocks, deposits and signed transactions made by hand."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.deposits import Deposit, encode_deposit, source_hash
from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from rollup_node.engines.base import BlockInput, Header
from rollup_node.engines.evm.engine import EvmEngine

CHAIN_ID = 4_242
GAS_LIMIT = 30_000_000
START = 1_800_000_000
"""Timestamp of the genesis."""
KEY = to_hex(keccak256(b"an account of this test"))
SENDER = to_hex(address_of(KEY))
"""Has a million ether."""
SINK = "0x" + "5e" * 20
REVERTING = "0x" + "4e" * 20
"""A contract that reverts whatever it is asked."""
LOGGING = "0x" + "10" * 20
"""A contract that emits one empty log."""
ETHER = 10**18
L1_HASH = to_hex(keccak256(b"an L1 block"))


@contextlib.asynccontextmanager
async def hand_engine(
    anvil: str,
    port: int,
    folder: Path,
    *,
    alloc: Mapping[str, Any] | None = None,
    genesis: Mapping[str, Any] | None = None,
) -> AsyncIterator[EvmEngine]:
    """An engine, not started, that ends with the block.

    Args:
        anvil: path of the binary.
        port: where it listens on loopback.
        folder: for its files.
        alloc: accounts of the small genesis beside the usual ones.
        genesis: a whole genesis instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "genesis.json"
    path.write_bytes(orjson.dumps(genesis or _small_genesis(alloc or {})))
    chain_id = int((genesis or {}).get("config", {}).get("chainId", CHAIN_ID))
    running = EvmEngine(
        anvil, port=port, chain_id=chain_id, gas_limit=GAS_LIMIT, genesis=path, cache=folder / "states"
    )
    try:
        yield running
    finally:
        await running.stop()


def block_on(parent: Header, *transactions: bytes) -> BlockInput:
    """The next block with these transactions."""
    fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
    return BlockInput(parent, parent.timestamp + 1, fee, transactions)


def signed(
    nonce: int,
    *,
    to: str = SINK,
    data: bytes = b"",
    gas: int = 21_000,
    max_fee: int = 10**11,
    value: int = 0,
    key: str = KEY,
    chain_id: int = CHAIN_ID,
) -> bytes:
    """A transaction, of the rich account unless ``key`` is another's."""
    target = bytes.fromhex(to[2:])
    unsigned = UnsignedTransaction(
        chain_id=chain_id,
        nonce=nonce,
        max_fee=max_fee,
        priority_fee=0,
        gas=gas,
        to=target,
        data=data,
        value=value,
    )
    return sign_transaction(unsigned, key)


def deposit(
    position: int,
    sender: str,
    *,
    to: str | None = SINK,
    mint: int = 0,
    value: int = 0,
    gas: int = 100_000,
    data: bytes = b"",
) -> bytes:
    """A user's deposit, the ``position``-th log of its L1 block; ``to=None`` creates a contract."""
    target = None if to is None else bytes.fromhex(to[2:])
    source = source_hash(0, L1_HASH, position)
    return encode_deposit(
        Deposit(source, bytes.fromhex(sender[2:]), target, mint, value, gas, is_system=False, data=data)
    )


async def account(engine: EvmEngine, address: str) -> tuple[int, int]:
    """Balance (wei) and nonce at the engine's head."""
    balance, nonce = [
        int(await engine.request(method, [address, "latest"]), 16)
        for method in ("eth_getBalance", "eth_getTransactionCount")
    ]
    return balance, nonce


def _small_genesis(alloc: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "config": {"chainId": CHAIN_ID},
        "timestamp": hex(START),
        "gasLimit": hex(GAS_LIMIT),
        "baseFeePerGas": hex(10**9),
        "difficulty": "0x0",
        "alloc": {
            SENDER: {"balance": hex(10**24)},
            REVERTING: {"balance": "0x0", "code": "0x5f5ffd"},
            LOGGING: {"balance": "0x0", "code": "0x5f5fa0"},
            "0x4200000000000000000000000000000000000b00": {"balance": "0x0", "code": "0x00"},
            **alloc,
        },
    }
