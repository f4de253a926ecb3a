"""BIP-32 private key derivation from a BIP-39 mnemonic. Pure.

Our own forty lines because every ``rollnet up`` waits for them: the packaged library costs 0.4 s of imports, a quarter of the
time in which a devnet shall be up. A property test holds that both derive the same keys.
"""

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass

from coincurve import PrivateKey

from bridge.wire.keccak import keccak256

HARDENED = 1 << 31
"""Indexes from here on derive from the private key (written with ``'``)."""


def seed_of(mnemonic: str) -> bytes:
    """BIP-39 seed, 64 bytes, without passphrase; takes about a millisecond."""
    words = unicodedata.normalize("NFKD", mnemonic).encode()
    return hashlib.pbkdf2_hmac("sha512", words, b"mnemonic", 2048)


@dataclass(frozen=True, slots=True)
class ExtendedKey:
    """A private key from which others derive."""

    key: PrivateKey
    chain: bytes
    """The chain code, 32 bytes."""


def extended_key(seed: bytes, path: tuple[int, ...]) -> ExtendedKey:
    """The key at a path of indexes, hardened ones with :data:`HARDENED` added.

    Raises:
        ValueError: the path leads to no valid key (chance 2⁻¹²⁷).
    """
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    found = ExtendedKey(PrivateKey(digest[:32]), digest[32:])
    for index in path:
        found = child_key(found, index)
    return found


def derive_key(seed: bytes, path: tuple[int, ...]) -> bytes:
    """The private key (32 bytes) at a path; raises as :func:`extended_key`."""
    return extended_key(seed, path).key.secret


def child_key(parent: ExtendedKey, index: int) -> ExtendedKey:
    """One step down; raises as :func:`extended_key`."""
    key = parent.key
    material = b"\0" + key.secret if index >= HARDENED else key.public_key.format(compressed=True)
    digest = hmac.digest(parent.chain, material + index.to_bytes(4, "big"), "sha512")
    return ExtendedKey(key.add(digest[:32]), digest[32:])


def checksum_address(address: bytes) -> str:
    """EIP-55 spelling of a 20-byte address."""
    plain = address.hex()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(nibble, 16) >= 8 else letter
        for letter, nibble in zip(plain, digest, strict=False)
    )
