"""One key of a user or role, and what it pays for gas. Pure.

Signing is the wire's own rather than ``eth_account``'s, whose import costs more than half a second: the maker has to quote
before a devnet counts as up. Signatures are deterministic (RFC 6979); a test holds that both libraries produce the same bytes.
"""

from coincurve import PrivateKey

from bridge.wire.keccak import from_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction

MAX_FEE = 1_000 * 10**9
"""Wei per gas that a transaction of ours may pay; what it does pay is the base fee and the priority fee."""
PRIORITY_FEE = 10**9
"""Wei per gas on top of the base fee."""


class Wallet:
    """One key pair.

    Args:
        private_key: 0x-hex, 32 bytes.

    Raises:
        ValueError: not a valid key.
    """

    def __init__(self, private_key: str) -> None:
        self._key = private_key
        self.address = address_of(private_key)

    def sign(self, unsigned: UnsignedTransaction) -> bytes:
        """The signed transaction, ready for ``eth_sendRawTransaction``."""
        return sign_transaction(unsigned, self._key)

    def sign_digest(self, digest: bytes) -> bytes:
        """The signature of a digest of 32 bytes as wallets write it, 65 bytes: r, s, and 27 or 28."""
        signature = PrivateKey(from_hex(self._key, 32)).sign_recoverable(digest, hasher=None)
        return signature[:64] + bytes([signature[64] + 27])
