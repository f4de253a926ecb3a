"""For tests of verification: what was posted on L1, read without derivation, and lies in exactly one place.

A lie is told either on the way from a running devnet (``LyingClient``) or on the disk of a finished one.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.slot import Block
from bridge.wire.superbatch import Superbatch, decode_superbatch, encode_superbatch

Change = Callable[[str, Sequence[Any], Any], Any]
"""What is answered instead, given method, parameters and the true answer."""


class LyingClient(Client):
    """A client of a peer whose answers are changed on the way."""

    def __init__(self, url: str, change: Change) -> None:
        super().__init__(url)
        self._change = change

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """As :meth:`Client.call`."""
        return self._change(method, params, await super().call(method, *params, deadline=deadline))

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
    ) -> list[Any]:
        """As :meth:`Client.batch`."""
        answers = await super().batch(calls, deadline)
        return [
            answer if isinstance(answer, RpcError) else self._change(method, params, answer)
            for (method, params), answer in zip(calls, answers, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Posted:
    """A superbatch in a block of L1, whether it counts or not."""

    l1_block: int
    transaction: str
    """Hash."""
    data: bytes
    superbatch: Superbatch

    @property
    def first_blocks(self) -> dict[int, int]:
        """Number of the first block that it holds of each rollup, by chain id."""
        blocks = [block for slot in self.superbatch.slots for block in slot.blocks]
        return {block.chain_id: block.number for block in reversed(blocks)}

    @property
    def bundles(self) -> set[str]:
        """Hashes of the bundles in it."""
        blocks = [block for slot in self.superbatch.slots for block in slot.blocks]
        return {part.bundle for block in blocks for part in block.payload.bundles}


async def posted(l1: Client, inbox: str, sender: str, last: int) -> list[Posted]:
    """The superbatches of a batcher up to an L1 block, from calldata."""
    found = []
    for number in range(last + 1):
        block = await l1.call("eth_getBlockByNumber", hex(number), True)
        for sent in block["transactions"]:
            if ((sent["to"] or "").lower(), sent["from"].lower()) == (inbox.lower(), sender.lower()):
                data = from_hex(sent["input"])
                found.append(Posted(number, sent["hash"], data, decode_superbatch(data)))
    return found


def flipped(data: bytes, index: int) -> bytes:
    """The same with one bit of one byte changed."""
    changed = bytearray(data)
    changed[index] ^= 1
    return bytes(changed)


def all_of(*changes: Change) -> Change:
    """Several lies at once."""

    def change(method: str, params: Sequence[Any], answer: Any) -> Any:
        for one in changes:
            answer = one(method, params, answer)
        return answer

    return change


def with_height(number: int) -> Change:
    """L1 seems to have ended at a block."""
    return lambda method, _, answer: hex(number) if method == "eth_blockNumber" else answer


def with_input(transaction: str, data: bytes) -> Change:
    """L1 tells other calldata of one transaction."""

    def change(method: str, params: Sequence[Any], answer: Any) -> Any:
        del params
        if method == "eth_getBlockByNumber" and answer is not None:
            for sent in answer["transactions"]:
                if isinstance(sent, dict) and sent["hash"] == transaction:
                    sent["input"] = to_hex(data)
        return answer

    return change


def with_result(to: str, call: bytes, result: bytes) -> Change:
    """One call on L1 has another result."""
    asked = {"to": to, "data": to_hex(call)}

    def change(method: str, params: Sequence[Any], answer: Any) -> Any:
        return to_hex(result) if method == "eth_call" and params[0] == asked else answer

    return change


def with_state_root(posted_superbatch: Superbatch, root: str) -> tuple[bytes, Block]:
    """The superbatch with another state root claimed for its last block, and that block: nothing after it names it by hash."""
    *slots, slot = posted_superbatch.slots
    *blocks, block = slot.blocks
    lying = replace(slot, blocks=(*blocks, replace(block, state_root=root)))
    data = encode_superbatch(
        posted_superbatch.number, posted_superbatch.parent, posted_superbatch.term, [*slots, lying]
    )
    return data, block


def flip_stored_input(state: Path, nonce: int, inbox: str, index: int) -> None:
    """Change one byte of one inbox transaction in an L1's stored state.

    Args:
        state: the L1's state file.
        nonce: of the transaction.
        inbox: where it was sent.
        index: of the byte in its calldata.
    """
    stored = orjson.loads(state.read_bytes())
    (sent,) = [
        transaction
        for block in stored["blocks"]
        for transaction in map(_envelope, block["transactions"])
        if (str(transaction["to"]).lower(), int(transaction["nonce"], 16)) == (inbox.lower(), nonce)
    ]
    sent["input"] = to_hex(flipped(from_hex(sent["input"]), index))
    state.write_bytes(orjson.dumps(stored))


def edit_stored_block(log: Path, number: int, changes: Mapping[str, Any]) -> None:
    """Change fields of one block of a node's block log; checksums are right afterwards."""
    lines = []
    for line in log.read_bytes().splitlines():
        body = orjson.loads(line.partition(b" ")[2])
        if body.get("number") == number:
            body |= changes
        fresh = orjson.dumps(body)
        lines.append(b"%08x %s\n" % (zlib.crc32(fresh), fresh))
    log.write_bytes(b"".join(lines))


def _envelope(stored: Any) -> Any:
    return stored.get("transaction", stored)
