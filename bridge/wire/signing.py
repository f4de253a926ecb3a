"""Signing an EIP-1559 transaction in a node (users sign with their own tools)."""

from dataclasses import dataclass

from coincurve import PrivateKey

from bridge.wire import rlp
from bridge.wire.keccak import from_hex, keccak256


@dataclass(frozen=True, slots=True)
class UnsignedTransaction:
    """An EIP-1559 transaction without its signature."""

    chain_id: int
    nonce: int
    max_fee: int
    """Wei per gas."""
    priority_fee: int
    """Wei per gas."""
    gas: int
    """Gas limit."""
    to: bytes
    """20 bytes."""
    data: bytes
    value: int = 0
    """Wei."""


def sign_transaction(unsigned: UnsignedTransaction, private_key: str) -> bytes:
    """The raw signed transaction (deterministic: RFC 6979)."""
    fields = [
        unsigned.chain_id,
        unsigned.nonce,
        unsigned.priority_fee,
        unsigned.max_fee,
        unsigned.gas,
        unsigned.to,
        unsigned.value,
        unsigned.data,
        [],
    ]
    payload = keccak256(b"\x02" + rlp.encode(fields))
    signature = PrivateKey(from_hex(private_key, 32)).sign_recoverable(payload, hasher=None)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return b"\x02" + rlp.encode([*fields, signature[64], r, s])


def address_of(private_key: str) -> bytes:
    """The key's address, 20 bytes."""
    point = PrivateKey(from_hex(private_key, 32)).public_key.format(compressed=False)
    return keccak256(point[1:])[12:]
