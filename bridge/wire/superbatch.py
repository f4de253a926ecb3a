"""Superbatches: the slots of a whole sequencing set in one L1 transaction.

One transaction for all rollups means that L1 holds every leg of a bundle or none. A superbatch names its number and its
parent's hash, so a verifier refuses gaps, reorderings and replays, and its term, so that a deposed sequencer can be
told from its successor.

Format: one version byte, then zlib-compressed RLP ``[number, parent, term, [slot…]]``.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Slot, slot_from_items, slot_items

VERSION = 3
BATCH_INBOX = "0xff00000000000000000000000000000000000901"
"""Where superbatches are sent on L1: an address without code, as in the OP Stack."""
MAX_BYTES = 120_000
"""A superbatch stays below the pools' limit for one transaction (128 KiB), unless a single slot exceeds it by itself."""
MAX_INFLATED_BYTES = 64 * 1024 * 1024
"""Decompression stops here: garbage in the inbox must not exhaust a verifier."""


@dataclass(frozen=True, slots=True)
class Superbatch:
    """A decoded superbatch."""

    number: int
    """Also the L1 nonce of the transaction that carries it."""
    parent: str
    """Hash of the superbatch before, zero for the first."""
    term: int
    slots: tuple[Slot, ...]


def encode_superbatch(number: int, parent: str, term: int, slots: Sequence[Slot]) -> bytes:
    """Calldata of the L1 transaction."""
    body = rlp.encode([number, from_hex(parent, 32), term, [slot_items(slot) for slot in slots]])
    return bytes([VERSION]) + zlib.compress(body, 6)


def decode_superbatch(data: bytes) -> Superbatch:
    """Inverse of :func:`encode_superbatch`.

    Raises:
        Malformed: anything a stranger may put into the inbox.
    """
    if data[:1] != bytes([VERSION]):
        raise Malformed(f"unknown superbatch version {data[:1].hex() or 'none'}")
    inflate = zlib.decompressobj()
    try:
        body = inflate.decompress(data[1:], MAX_INFLATED_BYTES)
    except zlib.error as exc:
        raise Malformed(f"superbatch does not decompress: {exc}") from exc
    if not inflate.eof or inflate.unused_data:
        raise Malformed("superbatch is truncated, too large, or has trailing bytes")
    number, parent, term, slots = rlp.items(rlp.decode(body), 4)
    return Superbatch(
        rlp.uint64(number),
        to_hex(rlp.string(parent, (32,))),
        rlp.uint64(term),
        tuple(map(slot_from_items, rlp.items(slots))),
    )


def superbatch_hash(data: bytes) -> str:
    """Name of a superbatch: keccak of its calldata."""
    return to_hex(keccak256(data))
