"""System transactions: the deposits that a rollup node adds around the legs of a bundle.

They are OP Stack deposit transactions (type 0x7E, no signature, no fee) to the ``BundleGuard`` predeploy: ``open(bundle)`` before a
bundle's first leg on this rollup and ``close()`` after the last bundle, so the guard is open for exactly one bundle
while its legs run. They follow from the payload alone: builder and verifier add the same ones.

The engine's pool knows an account's pending transactions by sender and nonce, and every deposit has nonce 0, so one sender can
have one raw deposit in a block. System transactions therefore come from a *range* of reserved addresses that share the
OP Stack depositor's first 18 bytes; nobody has a key for any of them. The depositor itself sends the L1 attributes.
"""

from bridge.wire import rlp
from bridge.wire.keccak import keccak256

BUNDLE_GUARD = bytes.fromhex("4200000000000000000000000000000000000b00")
"""Address of the guard predeploy."""
DEPOSITOR_PREFIX = bytes.fromhex("deaddeaddeaddeaddeaddeaddeaddeaddead")
"""First 18 bytes of every system sender; the OP Stack's depositor is this with 0x0001."""
FIRST_SENDER = 0x0100
"""Last two bytes of the first of the guard's senders."""
SYSTEM_GAS = 100_000
"""Gas limit of one system transaction."""

_OPEN = keccak256(b"open(bytes32)")[:4]
_CLOSE = keccak256(b"close()")[:4]
_SOURCE_DOMAIN = keccak256(b"rollnet.bundle-guard")


def open_guard(block: int, index: int, bundle: bytes) -> bytes:
    """The ``index``-th system transaction of a block: opens the guard for ``bundle``."""
    return _deposit(block, index, _OPEN + bundle)


def close_guard(block: int, index: int) -> bytes:
    """The ``index``-th system transaction of a block: closes the guard."""
    return _deposit(block, index, _CLOSE)


def _deposit(block: int, index: int, data: bytes) -> bytes:
    # As in the OP Stack, the source hash makes equal deposits distinct: domain, then a hash of the position.
    position = keccak256(block.to_bytes(32, "big") + index.to_bytes(32, "big") + keccak256(data))
    source = keccak256(_SOURCE_DOMAIN + position)
    sender = DEPOSITOR_PREFIX + (index + FIRST_SENDER).to_bytes(2, "big")
    return b"\x7e" + rlp.encode([source, sender, BUNDLE_GUARD, 0, 0, SYSTEM_GAS, 0, data])
