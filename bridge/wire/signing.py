"""Signing transactions in a node (users sign with their own tools): EIP-1559, and EIP-4844 with blobs."""

from dataclasses import dataclass
from typing import Any

from coincurve import PrivateKey

from bridge.wire import rlp
from bridge.wire.blobs import Sidecar
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


@dataclass(frozen=True, slots=True)
class BlobTransaction:
    """A signed EIP-4844 transaction."""

    raw: bytes
    """Network form, with the side-car: what ``eth_sendRawTransaction`` takes."""
    canonical: bytes
    """What is in the block."""

    @property
    def hash(self) -> bytes:
        """32 bytes; the side-car is no part of what is hashed."""
        return keccak256(self.canonical)


def sign_transaction(unsigned: UnsignedTransaction, private_key: str) -> bytes:
    """The raw signed transaction (deterministic: RFC 6979)."""
    return b"\x02" + rlp.encode(_signed(b"\x02", _fields(unsigned), private_key))


def sign_blob_transaction(
    unsigned: UnsignedTransaction, max_blob_fee: int, sidecar: Sidecar, private_key: str
) -> BlobTransaction:
    """The signed transaction that carries blobs (deterministic).

    Args:
        unsigned: everything but the blobs; ``to`` may not be empty.
        max_blob_fee: wei per blob gas.
        sidecar: at least one blob.
        private_key: hexadecimal.
    """
    fields = [*_fields(unsigned), max_blob_fee, list(sidecar.versioned_hashes)]
    body = _signed(b"\x03", fields, private_key)
    network = [body, list(sidecar.blobs), list(sidecar.commitments), list(sidecar.proofs)]
    return BlobTransaction(raw=b"\x03" + rlp.encode(network), canonical=b"\x03" + rlp.encode(body))


def address_of(private_key: str) -> bytes:
    """The key's address, 20 bytes."""
    point = PrivateKey(from_hex(private_key, 32)).public_key.format(compressed=False)
    return keccak256(point[1:])[12:]


def _fields(unsigned: UnsignedTransaction) -> list[Any]:
    return [
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


def _signed(kind: bytes, fields: list[Any], private_key: str) -> list[Any]:
    """The fields of a typed transaction and its signature behind them."""
    payload = keccak256(kind + rlp.encode(fields))
    signature = PrivateKey(from_hex(private_key, 32)).sign_recoverable(payload, hasher=None)
    return [
        *fields,
        signature[64],
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:64], "big"),
    ]
