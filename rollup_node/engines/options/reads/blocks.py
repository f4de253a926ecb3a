"""Blocks, and what the chain says of itself."""

from typing import Any

from bridge.wire.errors import INVALID_PARAMS, RpcError
from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import keccak256, to_hex
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.reads.transactions import by_place, transaction_json
from rollup_node.engines.options.transition.sealing import COINBASE, EMPTY_UNCLES

CLIENT_VERSION = "rollnet-options/0.1.0"
MAX_FEE_BLOCKS = 1_024
"""In one ``eth_feeHistory``."""


def block(scene: Scene, full: bool | None) -> dict[str, Any]:
    """``eth_getBlockByNumber``."""
    head = scene.head
    sealed = head.sealed
    transactions: list[Any] = [to_hex(digest) for digest in head.transactions]
    if full:
        transactions = [
            transaction_json(head, index, receipt) for index, receipt in enumerate(scene.receipts())
        ]
    return {
        "number": hex(sealed.number),
        "hash": to_hex(head.hash),
        "parentHash": to_hex(sealed.parent),
        "nonce": "0x" + "00" * 8,
        "mixHash": "0x" + "00" * 32,
        "sha3Uncles": to_hex(EMPTY_UNCLES),
        "logsBloom": to_hex(sealed.bloom),
        "transactionsRoot": to_hex(sealed.transactions_root),
        "stateRoot": to_hex(sealed.state_root),
        "receiptsRoot": to_hex(sealed.receipts_root),
        "miner": to_hex(COINBASE),
        "difficulty": "0x0",
        "extraData": to_hex(sealed.extra),
        "size": hex(head.size or len(sealed.encoded)),
        "gasLimit": hex(sealed.gas_limit),
        "gasUsed": hex(sealed.gas_used),
        "timestamp": hex(sealed.timestamp),
        "baseFeePerGas": hex(sealed.base_fee),
        "transactions": transactions,
        "uncles": [],
    }


def block_by_hash(scene: Scene, digest: bytes, full: bool | None) -> dict[str, Any] | None:
    """``eth_getBlockByHash``."""
    found = _at(scene, digest)
    return None if found is None else block(found, full)


def count(scene: Scene) -> str:
    """``eth_getBlockTransactionCountByNumber``."""
    return hex(len(scene.head.transactions))


def count_by_hash(scene: Scene, digest: bytes) -> str | None:
    """``eth_getBlockTransactionCountByHash``."""
    found = _at(scene, digest)
    return None if found is None else count(found)


def by_hash_and_place(scene: Scene, digest: bytes, index: int) -> dict[str, Any] | None:
    """``eth_getTransactionByBlockHashAndIndex``."""
    found = _at(scene, digest)
    return None if found is None else by_place(found, index)


def no_uncles(_scene: Scene) -> str:
    """``eth_getUncleCountByBlockNumber``."""
    return "0x0"


def no_uncles_by_hash(_scene: Scene, _digest: bytes) -> str:
    """``eth_getUncleCountByBlockHash``."""
    return "0x0"


def block_number(scene: Scene) -> str:
    """``eth_blockNumber``."""
    return hex(scene.number)


def chain_id(scene: Scene) -> str:
    """``eth_chainId``."""
    return hex(scene.parameters.chain_id)


def network(scene: Scene) -> str:
    """``net_version``."""
    return str(scene.parameters.chain_id)


def version(_scene: Scene) -> str:
    """``web3_clientVersion``."""
    return CLIENT_VERSION


def sha3(_scene: Scene, data: bytes) -> str:
    """``web3_sha3``."""
    return to_hex(keccak256(data))


def gas_price(scene: Scene) -> str:
    """``eth_gasPrice``: what the next block asks; nothing, where gas is free."""
    return hex(_next_fee(scene))


def zero(_scene: Scene) -> str:
    """Tips and blobs buy nothing here."""
    return "0x0"


def nothing(_scene: Scene) -> list[Any]:
    """``eth_accounts``."""
    return []


def no(_scene: Scene) -> bool:
    """``eth_syncing``."""
    return False


def yes(_scene: Scene) -> bool:
    """``net_listening``."""
    return True


def fee_history(scene: Scene, blocks: int, percentiles: Any) -> dict[str, Any]:
    """``eth_feeHistory``; no tip was ever paid."""
    if not 0 < blocks <= MAX_FEE_BLOCKS:
        raise RpcError(INVALID_PARAMS, f"expected 1 to {MAX_FEE_BLOCKS} blocks, got {blocks}")
    if percentiles is not None and not isinstance(percentiles, list):
        raise RpcError(INVALID_PARAMS, "expected a list of percentiles")
    numbers = range(max(0, scene.number + 1 - blocks), scene.number + 1)
    sealed = [Scene(scene.chain, number).head.sealed for number in numbers]
    history: dict[str, Any] = {
        "oldestBlock": hex(numbers[0]),
        "baseFeePerGas": [*(hex(one.base_fee) for one in sealed), hex(_next_fee(scene))],
        "gasUsedRatio": [one.gas_used / one.gas_limit for one in sealed],
    }
    return history | ({"reward": [["0x0"] * len(percentiles) for _ in sealed]} if percentiles else {})


def _next_fee(scene: Scene) -> int:
    sealed = scene.head.sealed
    if scene.parameters.gas_free:
        return 0
    return next_base_fee(sealed.base_fee, sealed.gas_used, sealed.gas_limit)


def _at(scene: Scene, digest: bytes) -> Scene | None:
    number = scene.archive.number_of(digest)
    return None if number is None else Scene(scene.chain, number)
