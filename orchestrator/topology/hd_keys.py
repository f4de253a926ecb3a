"""BIP-32 private key derivation from a BIP-39 mnemonic. Pure.

Our own forty lines because every ``rollnet up`` waits for them: the packaged library costs 0.4 s of imports, a quarter of the
time in which a devnet shall be up. A property test holds that both derive the same keys.
"""

import hashlib
import hmac
import unicodedata

from coincurve import PrivateKey

from bridge.wire.keccak import keccak256

HARDENED = 1 << 31
"""Indexes from here on derive from the private key (written with ``'``)."""


def seed_of(mnemonic: str) -> bytes:
    """BIP-39 seed, 64 bytes, without passphrase; takes about a millisecond."""
    words = unicodedata.normalize("NFKD", mnemonic).encode()
    return hashlib.pbkdf2_hmac("sha512", words, b"mnemonic", 2048)


def derive_key(seed: bytes, path: tuple[int, ...]) -> bytes:
    """The private key (32 bytes) at a path of indexes, hardened ones with :data:`HARDENED` added.

    Raises:
        ValueError: the path leads to no valid key (chance 2⁻¹²⁷).
    """
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    key, chain = PrivateKey(digest[:32]), digest[32:]
    for index in path:
        parent = b"\0" + key.secret if index >= HARDENED else key.public_key.format(compressed=True)
        digest = hmac.digest(chain, parent + index.to_bytes(4, "big"), "sha512")
        key, chain = key.add(digest[:32]), digest[32:]
    return key.secret


def checksum_address(address: bytes) -> str:
    """EIP-55 spelling of a 20-byte address."""
    plain = address.hex()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(
        letter.upper() if int(nibble, 16) >= 8 else letter
        for letter, nibble in zip(plain, digest, strict=False)
    )
