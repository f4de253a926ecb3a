"""Keccak-256 and the hexadecimal spelling that JSON-RPC uses."""

from Crypto.Hash import keccak as _keccak

from bridge.wire.errors import Malformed


def keccak256(data: bytes) -> bytes:
    """Ethereum's hash: 32 bytes."""
    return _keccak.new(digest_bits=256, data=data).digest()


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
