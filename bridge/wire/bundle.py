"""Bundles: several signed transactions, on one or more rollups, that take effect together or not at all.

A bundle is named by a hash of *who acts where* (chain id, sender, nonce of each leg), its deadline and a salt:

    ``keccak(abi.encode("BUNDLE.v1", (uint256 chainId, address from, uint256 nonce)[] legs, uint256 maxTimestamp, bytes32 salt))``

It says nothing about calldata, so a leg's calldata can carry it without being circular, and a contract can demand
that exactly this bundle is running (``BundleGuard``).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.wire.combos import require_twins
from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256
from bridge.wire.transaction import Transaction, decode_transaction

MAX_LEGS = 64
"""Legs in one bundle."""

_DOMAIN = b"BUNDLE.v1"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A decoded bundle."""

    hash: bytes
    legs: tuple[Transaction, ...]
    """In the order of submission, which is the order of execution on each rollup."""
    max_timestamp: int
    """Unix seconds; a block with a later timestamp cannot hold the bundle."""
    salt: bytes
    """32 bytes; distinguishes bundles of equal legs."""


def bundle_hash(legs: Sequence[tuple[int, bytes, int]], max_timestamp: int, salt: bytes) -> bytes:
    """The bundle's name, 32 bytes.

    Args:
        legs: (chain id, 20-byte sender, nonce) of each leg in order.
        max_timestamp: unix seconds.
        salt: 32 bytes.
    """
    words = [_word(0x80), _word(0xC0), _word(max_timestamp), salt.rjust(32, b"\0")]
    words += [_word(len(_DOMAIN)), _DOMAIN.ljust(32, b"\0"), _word(len(legs))]
    for chain_id, sender, nonce in legs:
        words += [_word(chain_id), sender.rjust(32, b"\0"), _word(nonce)]
    return keccak256(b"".join(words))


def decode_bundle(raws: Sequence[bytes], max_timestamp: int, salt: bytes) -> Bundle:
    """Decode every leg and name the bundle.

    Raises:
        Malformed: no legs, too many, a leg that does not decode, two legs that share chain, sender and nonce, or a combo
            that is locked on some of its rollups only (:mod:`bridge.wire.combos`).
    """
    if not 0 < len(raws) <= MAX_LEGS:
        raise Malformed(f"a bundle has 1 to {MAX_LEGS} transactions, got {len(raws)}")
    legs: list[Transaction] = []
    for index, raw in enumerate(raws):
        try:
            legs.append(decode_transaction(raw))
        except Malformed as exc:
            raise Malformed(f"transaction {index} of the bundle: {exc}") from exc
    require_twins(legs)
    keys = [(leg.chain_id, leg.sender, leg.nonce) for leg in legs]
    if len(set(keys)) != len(keys):
        raise Malformed("two transactions of the bundle share chain id, sender and nonce")
    return Bundle(bundle_hash(keys, max_timestamp, salt), tuple(legs), max_timestamp, salt)


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")
