"""Deposits: the transactions that L1 puts into a rollup (OP Stack specification, deposits).

::

    TransactionDeposited log ─► user_deposit ──┐
                                               ├─► raw type-0x7E transaction ─► decode_deposit ─► Deposit
    L1 block, place in its epoch ─► l1_attributes ─┘

A deposit has no signature and pays no fee: its place in the chain is its right to be there. What tells two equal deposits apart is the
source hash, the hash of a domain and of the one place on L1 that the deposit comes from. Everything here is pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import L1Info

DEPOSIT_TYPE = b"\x7e"
"""EIP-2718 type byte."""
DEPOSITED_TOPIC = to_hex(keccak256(b"TransactionDeposited(address,address,uint256,bytes)"))
"""First topic of the portal's event."""
DEPOSITOR = bytes.fromhex("deaddeaddeaddeaddeaddeaddeaddeaddead0001")
"""Sender of the L1 attributes; nobody has its key."""
L1_BLOCK = bytes.fromhex("4200000000000000000000000000000000000015")
"""Predeploy that keeps the L1 attributes."""
ATTRIBUTES_GAS = 1_000_000
"""Gas limit of the L1-attributes transaction since Regolith."""
ALIAS_OFFSET = 0x1111000000000000000000000000000000001111
"""Added to an L1 contract's address where it is a sender on a rollup."""

_USER_DOMAIN, _ATTRIBUTES_DOMAIN = 0, 1
_SET_VALUES = keccak256(b"setL1BlockValuesEcotone()")[:4]
_HEAD = 32 + 32 + 8 + 1
"""Bytes of mint, value, gas and the creation flag."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """One decoded deposit transaction."""

    source_hash: bytes
    """32 bytes."""
    sender: bytes
    """20 bytes; already an alias if an L1 contract deposited."""
    to: bytes | None
    """20 bytes, or None for contract creation."""
    mint: int
    """Wei created for the sender, kept even if the call fails."""
    value: int
    """Wei sent along."""
    gas: int
    """Gas limit."""
    is_system: bool
    """Always false since Regolith."""
    data: bytes


def encode_deposit(deposit: Deposit) -> bytes:
    """The raw transaction; its hash is its Keccak-256."""
    return DEPOSIT_TYPE + rlp.encode(
        [
            deposit.source_hash,
            deposit.sender,
            deposit.to or b"",
            deposit.mint,
            deposit.value,
            deposit.gas,
            int(deposit.is_system),
            deposit.data,
        ]
    )


def decode_deposit(raw: bytes) -> Deposit:
    """The fields of a raw deposit transaction.

    Raises:
        Malformed: not the canonical bytes of one.
    """
    if raw[:1] != DEPOSIT_TYPE:
        raise Malformed("not a deposit transaction: it does not begin with 0x7e")
    source, sender, to, mint, value, gas, system, data = rlp.items(rlp.decode(raw[1:]), 8)
    flag = rlp.integer(system)
    if flag > 1:
        raise Malformed(f"a deposit's system flag is 0 or 1, got {flag}")
    return Deposit(
        source_hash=rlp.string(source, (32,)),
        sender=rlp.string(sender, (20,)),
        to=rlp.string(to, (0, 20)) or None,
        mint=_bounded(rlp.integer(mint), 256),
        value=_bounded(rlp.integer(value), 256),
        gas=_bounded(rlp.integer(gas), 64),
        is_system=bool(flag),
        data=rlp.string(data),
    )


def user_deposit(log: Mapping[str, Any], l1_block_hash: str) -> bytes:
    """The raw deposit transaction that a portal's ``TransactionDeposited`` log asks for.

    Args:
        log: as JSON-RPC gives it; its ``logIndex`` counts within the whole L1 block.
        l1_block_hash: of the block that holds the log.

    Raises:
        Malformed: not such a log, or of a version that we don't know. No genuine portal emits one.
    """
    try:
        topics, data, index = list(log["topics"]), from_hex(log["data"]), int(log["logIndex"], 16)
    except (KeyError, TypeError, ValueError) as exc:
        raise Malformed(f"not a log: {exc!r}") from exc
    if len(topics) != 4 or topics[0] != DEPOSITED_TOPIC:
        raise Malformed("not a TransactionDeposited log")
    sender, to = _address(topics[1]), _address(topics[2])
    version = int.from_bytes(from_hex(topics[3], 32), "big")
    if version != 0:
        raise Malformed(f"deposit version {version} is unknown, only 0 is derived")
    opaque = _only_bytes(data)
    if len(opaque) < _HEAD or opaque[72] > 1:
        raise Malformed(f"opaque data of {len(opaque)} bytes is not a deposit of version 0")
    deposit = Deposit(
        source_hash=source_hash(_USER_DOMAIN, l1_block_hash, index),
        sender=sender,
        to=None if opaque[72] else to,
        mint=int.from_bytes(opaque[:32], "big"),
        value=int.from_bytes(opaque[32:64], "big"),
        gas=int.from_bytes(opaque[64:72], "big"),
        is_system=False,
        data=opaque[_HEAD:],
    )
    return encode_deposit(deposit)


def l1_attributes(
    origin: L1Info,
    sequence: int,
    batcher: bytes,
    base_fee_scalar: int = 0,
    blob_base_fee_scalar: int = 0,
) -> bytes:
    """The raw deposit that opens every block: tells the L1Block predeploy of the block's L1 origin.

    Args:
        origin: the L1 block.
        sequence: blocks of the rollup with this origin before this one.
        batcher: 20 bytes; who may post batches.
        base_fee_scalar: of the L1 fee; zero charges users nothing for L1.
        blob_base_fee_scalar: as above, for blobs.
    """
    data = b"".join(
        (
            _SET_VALUES,
            base_fee_scalar.to_bytes(4, "big"),
            blob_base_fee_scalar.to_bytes(4, "big"),
            sequence.to_bytes(8, "big"),
            origin.timestamp.to_bytes(8, "big"),
            origin.number.to_bytes(8, "big"),
            origin.base_fee.to_bytes(32, "big"),
            origin.blob_base_fee.to_bytes(32, "big"),
            from_hex(origin.hash, 32),
            batcher.rjust(32, b"\0"),
        )
    )
    source = source_hash(_ATTRIBUTES_DOMAIN, origin.hash, sequence)
    return encode_deposit(
        Deposit(source, DEPOSITOR, L1_BLOCK, 0, 0, ATTRIBUTES_GAS, is_system=False, data=data)
    )


def source_hash(domain: int, l1_block_hash: str, position: int) -> bytes:
    """What makes a deposit unique.

    Args:
        domain: 0 for users' deposits, 1 for L1 attributes.
        l1_block_hash: where it comes from.
        position: log index in the L1 block, or sequence number in the epoch.
    """
    place = keccak256(from_hex(l1_block_hash, 32) + position.to_bytes(32, "big"))
    return keccak256(domain.to_bytes(32, "big") + place)


def apply_alias(l1_address: bytes) -> bytes:
    """How an L1 contract is called on a rollup, so that no contract there of the same address can pass for it."""
    return _shifted(l1_address, ALIAS_OFFSET)


def undo_alias(l2_address: bytes) -> bytes:
    """The L1 contract behind an alias."""
    return _shifted(l2_address, -ALIAS_OFFSET)


def _shifted(address: bytes, offset: int) -> bytes:
    return ((int.from_bytes(address, "big") + offset) % (1 << 160)).to_bytes(20, "big")


def _address(topic: object) -> bytes:
    word = from_hex(topic, 32)
    if any(word[:12]):
        raise Malformed(f"topic {topic} is not an address")
    return word[12:]


def _only_bytes(data: bytes) -> bytes:
    """The one ABI-encoded ``bytes`` of an event's data."""
    offset, size = int.from_bytes(data[:32], "big"), int.from_bytes(data[32:64], "big")
    if len(data) % 32 or offset != 32 or len(data) != 64 + (size + 31) // 32 * 32:
        raise Malformed(f"{len(data)} bytes of event data do not hold one byte string")
    return data[64 : 64 + size]


def _bounded(value: int, bits: int) -> int:
    if value >> bits:
        raise Malformed(f"deposit field exceeds {bits} bits")
    return value
