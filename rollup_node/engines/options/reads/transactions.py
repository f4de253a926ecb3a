"""Transactions, receipts and logs in the forms of JSON-RPC."""

from collections.abc import Iterable
from typing import Any

from bridge.wire import rlp
from bridge.wire.deposits import DEPOSIT_TYPE, decode_deposit
from bridge.wire.errors import Malformed
from bridge.wire.keccak import to_hex
from bridge.wire.transaction import decode_transaction
from rollup_node.engines.options.blocks import Head
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.transactions.receipts import DEPOSIT_RECEIPT_VERSION, Receipt, bloom


def kind_of(raw: bytes) -> int:
    """The transaction's type."""
    return raw[0] if raw[0] < 0x80 else 0


def transaction_json(head: Head, index: int, receipt: Receipt) -> dict[str, Any]:
    """A transaction of a block."""
    place = {
        "hash": to_hex(receipt.hash),
        "type": hex(kind_of(receipt.raw)),
        "from": to_hex(receipt.sender),
        "blockHash": to_hex(head.hash),
        "blockNumber": hex(head.number),
        "transactionIndex": hex(index),
        "gasPrice": hex(receipt.gas_price),
    }
    content = _deposit if receipt.raw[:1] == DEPOSIT_TYPE else _signed
    return place | content(receipt)


def receipt_json(head: Head, index: int, receipt: Receipt, first_log: int) -> dict[str, Any]:
    """A receipt; ``first_log`` counts the logs of the block before it."""
    to = _target(receipt.raw)
    found = {
        "transactionHash": to_hex(receipt.hash),
        "transactionIndex": hex(index),
        "type": hex(kind_of(receipt.raw)),
        "blockHash": to_hex(head.hash),
        "blockNumber": hex(head.number),
        "from": to_hex(receipt.sender),
        "to": None if to is None else to_hex(to),
        "status": hex(int(receipt.status == "success")),
        "gasUsed": hex(receipt.gas_used),
        "cumulativeGasUsed": hex(receipt.cumulative_gas),
        "effectiveGasPrice": hex(receipt.gas_price),
        "contractAddress": None,
        "logsBloom": to_hex(bloom(receipt.logs)),
        "logs": list(logs_json(head, index, receipt, first_log)),
    }
    if receipt.deposit_nonce is not None:
        version = {"depositReceiptVersion": hex(DEPOSIT_RECEIPT_VERSION)}
        found |= {"depositNonce": hex(receipt.deposit_nonce)} | version
    return found


def logs_json(head: Head, index: int, receipt: Receipt, first_log: int) -> Iterable[dict[str, Any]]:
    """The logs of a transaction."""
    for place, log in enumerate(receipt.logs, first_log):
        yield {
            "address": to_hex(log.address),
            "topics": list(map(to_hex, log.topics)),
            "data": to_hex(log.data),
            "blockHash": to_hex(head.hash),
            "blockNumber": hex(head.number),
            "blockTimestamp": hex(head.sealed.timestamp),
            "transactionHash": to_hex(receipt.hash),
            "transactionIndex": hex(index),
            "logIndex": hex(place),
            "removed": False,
        }


def receipts_json(scene: Scene) -> list[dict[str, Any]]:
    """``eth_getBlockReceipts``."""
    found, logs, head = [], 0, scene.head
    for index, receipt in enumerate(scene.receipts()):
        found.append(receipt_json(head, index, receipt, logs))
        logs += len(receipt.logs)
    return found


def by_hash(scene: Scene, digest: bytes) -> dict[str, Any] | None:
    """``eth_getTransactionByHash``."""
    place = scene.archive.place_of(digest)
    return None if place is None else by_place(Scene(scene.chain, place[0]), place[1])


def by_place(scene: Scene, index: int) -> dict[str, Any] | None:
    """``eth_getTransactionByBlockNumberAndIndex``."""
    receipts = scene.receipts()
    return transaction_json(scene.head, index, receipts[index]) if index < len(receipts) else None


def raw_by_hash(scene: Scene, digest: bytes) -> str | None:
    """``eth_getRawTransactionByHash``."""
    place = scene.archive.place_of(digest)
    return None if place is None else to_hex(scene.receipts(place[0])[place[1]].raw)


def receipt_by_hash(scene: Scene, digest: bytes) -> dict[str, Any] | None:
    """``eth_getTransactionReceipt``."""
    place = scene.archive.place_of(digest)
    if place is None:
        return None
    at = Scene(scene.chain, place[0])
    receipts = at.receipts()
    before = sum(len(receipt.logs) for receipt in receipts[: place[1]])
    return receipt_json(at.head, place[1], receipts[place[1]], before)


def _target(raw: bytes) -> bytes | None:
    return decode_deposit(raw).to if raw[:1] == DEPOSIT_TYPE else decode_transaction(raw).to


def _deposit(receipt: Receipt) -> dict[str, Any]:
    sent = decode_deposit(receipt.raw)
    return {
        "sourceHash": to_hex(sent.source_hash),
        "to": None if sent.to is None else to_hex(sent.to),
        "mint": hex(sent.mint),
        "value": hex(sent.value),
        "gas": hex(sent.gas),
        "isSystemTx": sent.is_system,
        "input": to_hex(sent.data),
        "nonce": hex(receipt.deposit_nonce or 0),
        "depositReceiptVersion": hex(DEPOSIT_RECEIPT_VERSION),
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
    }


def _signed(receipt: Receipt) -> dict[str, Any]:
    sent, kind = decode_transaction(receipt.raw), kind_of(receipt.raw)
    fields = rlp.items(rlp.decode(receipt.raw[1:] if kind else receipt.raw))
    v, r, s = (hex(rlp.integer(item)) for item in fields[-3:])
    found: dict[str, Any] = {
        "chainId": hex(sent.chain_id),
        "nonce": hex(sent.nonce),
        "to": None if sent.to is None else to_hex(sent.to),
        "value": hex(sent.value),
        "gas": hex(sent.gas),
        "input": to_hex(sent.data),
        "v": v,
        "r": r,
        "s": s,
    }
    if kind:
        access = fields[7] if kind == 1 else fields[8]
        found |= {"accessList": _access_list(access), "yParity": v}
    if kind > 1:
        found |= {"maxFeePerGas": hex(sent.max_fee), "maxPriorityFeePerGas": hex(sent.priority_fee)}
    return found


def _access_list(item: rlp.Item) -> list[dict[str, Any]]:
    """Without effect here, so nobody has looked at it before: what can't be shown isn't."""
    try:
        return [_access(entry) for entry in rlp.items(item)]
    except Malformed:
        return []


def _access(entry: rlp.Item) -> dict[str, Any]:
    address, keys = rlp.items(entry, 2)
    words = [to_hex(rlp.string(key)) for key in rlp.items(keys)]
    return {"address": to_hex(rlp.string(address)), "storageKeys": words}
