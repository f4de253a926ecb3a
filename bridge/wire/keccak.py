"""Keccak-256 and the hexadecimal spelling that JSON-RPC uses. No other module imports an implementation of the hash.

Two give the same bytes: ``safe-pysha3`` (0.8 microseconds for 64 bytes) where it has wheels, which is Linux, and ``pycryptodome``
(4.7 microseconds) where it hasn't. State trees are what makes the difference felt: they hash thousands of nodes in a block.
"""

from Crypto.Hash import keccak as _portable

from bridge.wire.errors import Malformed

try:
    from _pysha3 import keccak_256 as _native
except ImportError:
    _native = None


def keccak256(data: bytes) -> bytes:
    """Ethereum's hash: 32 bytes."""
    if _native is None:
        return keccak256_portably(data)
    digest: bytes = _native(data).digest()
    return digest


def keccak256_portably(data: bytes) -> bytes:
    """As :func:`keccak256`, on every platform; its measure in tests."""
    digest: bytes = _portable.new(digest_bits=256, data=data).digest()
    return digest


def to_hex(data: bytes) -> str:
    """``0x`` and two digits a byte."""
    return "0x" + data.hex()


def from_hex(text: object, size: int | None = None) -> bytes:
    """Bytes of a 0x-string.

    Args:
        text: what a peer sent.
        size: bytes expected, or None for any number.

    Raises:
        Malformed: not a 0x-string of whole bytes, or of another size.
    """
    if not isinstance(text, str) or not text.startswith("0x"):
        raise Malformed(f"expected 0x-hexadecimal, got {str(text)[:40]!r}")
    try:
        data = bytes.fromhex(text[2:])
    except ValueError as exc:
        raise Malformed(f"not hexadecimal: {text[:40]!r}") from exc
    if len(data) * 2 != len(text) - 2:
        raise Malformed(f"white space inside hexadecimal: {text[:40]!r}")
    if size is not None and len(data) != size:
        raise Malformed(f"expected {size} bytes, got {len(data)}")
    return data
