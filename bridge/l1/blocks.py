"""Reading L1 blocks whole: header, deposits and batches that belong together, though L1 may move between any two calls.

::

    headers with transactions ─► linked prefix ─► logs by block hash, receipts, blobs ─► complete prefix ─► L1Block…

What is asked second is bound to what came first: logs are asked by the block's hash, a receipt counts only if it names that hash, and
a transaction's hash fixes its blobs. A block whose parts are not to be had (it was just reorganised away) ends the answer
before it, and whoever reads asks again.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import structlog

from bridge.l1.bloom import bloom_bits, may_contain
from bridge.l1.errors import L1Moved
from bridge.wire.blobs import blob_base_fee, decode_blobs
from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.l1 import BatchTransaction, L1Block, L1Info

ROUND = 20
"""Blocks that are asked for at once."""

_BLOB_TYPE = "0x3"

Call = tuple[str, Sequence[Any]]

log = structlog.get_logger()


class Watch:
    """Whose deposits and batches are read.

    Args:
        portals: addresses of the rollups' portals.
        inboxes: addresses of the batch inboxes.
    """

    def __init__(self, portals: Iterable[str], inboxes: Iterable[str]) -> None:
        self.portals = sorted({portal.lower() for portal in portals})
        self.inboxes = frozenset(inbox.lower() for inbox in inboxes)
        topic = bloom_bits(from_hex(DEPOSITED_TOPIC))
        self._patterns = [bloom_bits(from_hex(portal, 20)) | topic for portal in self.portals]

    def may_hold_deposits(self, bloom: int) -> bool:
        """False if no portal deposited anything in the block with this logs bloom."""
        return may_contain(bloom, self._patterns)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A block whose header and transactions are known."""

    info: L1Info
    sent: tuple[Mapping[str, Any], ...]
    """Transactions to an inbox, as JSON-RPC gives them."""
    deposits: bool
    """Whether its logs have to be read."""
    calls: tuple[Call, ...]
    """What is still to be asked."""

    def complete(self, answers: Sequence[Any]) -> L1Block:
        """The block, given the answers to its calls.

        Raises:
            L1Moved: L1 doesn't have it any more.
        """
        for (method, _), answer in zip(self.calls, answers, strict=True):
            if answer is None or isinstance(answer, RpcError):
                raise L1Moved(f"L1 does not have block {self.info.number} whole: {method} gave {answer}")
        rest = iter(answers)
        deposits = _deposits(self.info, next(rest)) if self.deposits else {}
        batches: list[BatchTransaction] = []
        for sent in self.sent:
            receipt = next(rest)
            blobs = next(rest) if sent["type"] == _BLOB_TYPE else None
            if receipt["blockHash"] != self.info.hash:
                raise L1Moved(f"transaction {sent['hash']} has left L1 block {self.info.number}")
            if receipt["status"] == "0x1":
                batches.append(_batch(sent, blobs))
        return L1Block(self.info, deposits, tuple(batches))


async def fetch(client: Client, watch: Watch, first: int, last: int) -> list[L1Block]:
    """Blocks from ``first`` on, each the parent of the next; fewer than up to ``last`` if L1 moved, but at least one.

    Raises:
        L1Moved: L1 doesn't have the first one whole.
        PeerUnreachable: no answer.
        Malformed: L1 answered something that is no block.
    """
    asked: list[Call] = [("eth_getBlockByNumber", [hex(number), True]) for number in range(first, last + 1)]
    drafts: list[_Draft] = []
    for number, answer in enumerate(await client.batch(asked), first):
        if answer is None or isinstance(answer, RpcError):
            break
        draft = _read(_draft, answer, watch)
        if draft.info.number != number or (drafts and draft.info.parent != drafts[-1].info.hash):
            break
        drafts.append(draft)
    details = [call for draft in drafts for call in draft.calls]
    answers = iter(await client.batch(details) if details else [])
    blocks: list[L1Block] = []
    try:
        for draft in drafts:
            mine = list(islice(answers, len(draft.calls)))
            blocks.append(_read(draft.complete, mine))
    except L1Moved:
        if not blocks:
            raise
    if not blocks:
        raise L1Moved(f"L1 does not have block {first}")
    return blocks


async def read_blocks(
    client: Client, portals: Iterable[str], inboxes: Iterable[str], first: int, last: int
) -> AsyncIterator[L1Block]:
    """Blocks ``first`` to ``last`` of an L1 that stands still, in order.

    Raises:
        L1Moved: L1 doesn't have them all, or was reorganised while they were read.
        PeerUnreachable: no answer.
        Malformed: L1 answered something that is no block.
    """
    watch = Watch(portals, inboxes)
    parent: str | None = None
    while first <= last:
        blocks = await fetch(client, watch, first, min(last, first + ROUND - 1))
        if parent not in (None, blocks[0].info.parent):
            raise L1Moved(f"L1 was reorganised below block {first} while it was read")
        for block in blocks:
            yield block
        parent, first = blocks[-1].info.hash, first + len(blocks)


def _read(parse: Any, *values: Any) -> Any:
    """Call a parser; what it stumbles over is the answer's fault."""
    try:
        return parse(*values)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as exc:
        raise Malformed(f"L1 answered something that is no block: {exc!r}") from exc


def _draft(block: Mapping[str, Any], watch: Watch) -> _Draft:
    info = L1Info(
        number=int(block["number"], 16),
        hash=to_hex(from_hex(block["hash"], 32)),
        parent=to_hex(from_hex(block["parentHash"], 32)),
        timestamp=int(block["timestamp"], 16),
        base_fee=int(block["baseFeePerGas"], 16),
        blob_base_fee=blob_base_fee(int(block.get("excessBlobGas") or "0x0", 16)),
    )
    sent = tuple(each for each in block["transactions"] if (each["to"] or "").lower() in watch.inboxes)
    deposits = watch.may_hold_deposits(int(block["logsBloom"], 16))
    calls: list[Call] = []
    if deposits:
        wanted = {"blockHash": info.hash, "address": watch.portals, "topics": [DEPOSITED_TOPIC]}
        calls.append(("eth_getLogs", [wanted]))
    for each in sent:
        calls.append(("eth_getTransactionReceipt", [each["hash"]]))
        if each["type"] == _BLOB_TYPE:
            calls.append(("anvil_getBlobsByTransactionHash", [each["hash"]]))
    return _Draft(info, sent, deposits, tuple(calls))


def _deposits(info: L1Info, logs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for each in sorted(logs, key=lambda each: int(each["logIndex"], 16)):
        try:
            raw = user_deposit(each, info.hash)
        except Malformed as exc:
            log.warning("l1.deposit_skipped", block=info.number, index=each["logIndex"], reason=str(exc))
            continue
        found.setdefault(each["address"].lower(), []).append(to_hex(raw))
    return {portal: tuple(raws) for portal, raws in found.items()}


def _batch(sent: Mapping[str, Any], blobs: Sequence[str] | None) -> BatchTransaction:
    """An inbox transaction; blobs that are no encoding of anything hold nothing."""
    data = from_hex(sent["input"])
    if blobs is not None:
        try:
            data = decode_blobs([from_hex(blob) for blob in blobs])
        except Malformed as exc:
            log.info("l1.blobs_undecodable", transaction=sent["hash"], reason=str(exc))
            data = b""
    return BatchTransaction(sent["hash"], sent["from"].lower(), sent["to"].lower(), data)
