"""Signs EIP-1559 transactions with one key. Pure.

Our own rather than ``eth_account``, whose import costs more than half a second: the maker has to quote before a devnet
counts as up. Signatures are deterministic (RFC 6979), so equal inputs give equal transactions; a test holds that both
libraries produce the same bytes.
"""

from dataclasses import dataclass

from coincurve import PrivateKey

from bridge.wire import rlp
from bridge.wire.keccak import keccak256

MAX_FEE = 1_000 * 10**9
"""Wei per gas that a transaction of ours may pay; what it does pay is the base fee and the priority fee."""
PRIORITY_FEE = 10**9
"""Wei per gas on top of the base fee."""

_DYNAMIC_FEE = b"\x02"


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction before it is signed."""

    chain_id: int
    nonce: int
    to: bytes
    """20 bytes."""
    data: bytes
    gas: int
    """Gas limit."""
    max_fee: int
    """Wei per gas, base fee included."""
    priority_fee: int
    """Wei per gas to whoever builds the block."""
    value: int = 0
    """Wei."""


class Wallet:
    """One key pair.

    Args:
        private_key: 0x-hex, 32 bytes.

    Raises:
        ValueError: not a valid key.
    """

    def __init__(self, private_key: str) -> None:
        self._key = PrivateKey.from_hex(private_key.removeprefix("0x"))
        self.address = keccak256(self._key.public_key.format(compressed=False)[1:])[12:]

    def sign(self, call: Call) -> bytes:
        """The signed transaction, ready for ``eth_sendRawTransaction``."""
        fields = [
            call.chain_id,
            call.nonce,
            call.priority_fee,
            call.max_fee,
            call.gas,
            call.to,
            call.value,
            call.data,
            [],
        ]
        digest = keccak256(_DYNAMIC_FEE + rlp.encode(fields))
        signature = self._key.sign_recoverable(digest, hasher=None)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        return _DYNAMIC_FEE + rlp.encode([*fields, signature[64], r, s])
