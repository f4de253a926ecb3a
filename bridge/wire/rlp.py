"""Recursive Length Prefix, Ethereum's serialisation (Yellow Paper, appendix B).

Our own because nodes must start fast: the packaged one costs a quarter of a second of imports in every node. It is
strict: the only accepted encoding of a value is the canonical one, so a value and its bytes determine each other.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from bridge.wire.errors import Malformed

Item: TypeAlias = "bytes | list[Item]"
"""What decoding gives: bytes or lists of items."""

MAX_DEPTH = 16
"""Deeper nesting than any of our formats needs is refused before it can exhaust the stack."""


def encode(value: Any) -> bytes:
    """Serialise bytes, non-negative integers (big-endian, no leading zeros), strings, and sequences of them."""
    if isinstance(value, int):
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return value if len(value) == 1 and value[0] < 0x80 else _length(len(value), 0x80) + value
    body = b"".join(map(encode, value))
    return _length(len(body), 0xC0) + body


def decode(data: bytes) -> Item:
    """The value of one whole serialisation.

    Raises:
        Malformed: truncated, trailing bytes, not canonical, or nested too deeply.
    """
    item, end = _decode(data, 0, len(data), 0)
    if end != len(data):
        raise Malformed(f"{len(data) - end} bytes after the end of the RLP item")
    return item


def without_last(data: bytes, last: Sequence[Item]) -> bytes:
    """The serialisation of a list without its last members, cut out of that of the whole.

    Args:
        data: as :func:`decode` has taken it.
        last: byte strings of at most 55 bytes.
    """
    head = 1 if data[0] <= 0xF7 else data[0] - 0xF6
    size = sum(1 if len(item) == 1 and item[0] < 0x80 else 1 + len(item) for item in map(string, last))
    return _length(len(data) - head - size, 0xC0) + data[head : len(data) - size]


def integer(item: Item) -> int:
    """The item as a canonical unsigned integer.

    Raises:
        Malformed: a list, or leading zeros.
    """
    if not isinstance(item, bytes) or (item and item[0] == 0):
        raise Malformed("expected a canonical RLP integer")
    return int.from_bytes(item, "big")


def bounded(item: Item, bits: int) -> int:
    """The item as a canonical unsigned integer; one that is too long is refused before anybody has to write it down.

    Raises:
        Malformed: a list, leading zeros, or more than so many bits.
    """
    if isinstance(item, bytes) and len(item) * 8 > bits:
        raise Malformed(f"RLP integer exceeds {bits} bits")
    return integer(item)


def uint64(item: Item) -> int:
    """As :func:`bounded`, of 64 bits."""
    return bounded(item, 64)


def string(item: Item, sizes: Sequence[int] | None = None) -> bytes:
    """The item as bytes, of one of ``sizes`` if given.

    Raises:
        Malformed: a list, or another size.
    """
    if not isinstance(item, bytes) or (sizes is not None and len(item) not in sizes):
        raise Malformed(f"expected an RLP string of {sizes or 'any'} bytes")
    return item


def items(item: Item, count: int | None = None) -> list[Item]:
    """The item as a list, of ``count`` members if given.

    Raises:
        Malformed: a string, or another count.
    """
    if not isinstance(item, list) or (count is not None and len(item) != count):
        raise Malformed(f"expected an RLP list of {'any' if count is None else count} members")
    return item


def _length(size: int, offset: int) -> bytes:
    if size < 56:
        return bytes([offset + size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(digits)]) + digits


def _decode(data: bytes, start: int, bound: int, depth: int) -> tuple[Item, int]:
    if depth > MAX_DEPTH:
        raise Malformed(f"RLP nested deeper than {MAX_DEPTH}")
    if start >= bound:
        raise Malformed("truncated RLP")
    first = data[start]
    if first < 0x80:
        return data[start : start + 1], start + 1
    base = 0x80 if first < 0xC0 else 0xC0
    begin, end = _span(data, start, bound, first - base)
    if base == 0x80:
        body = data[begin:end]
        if len(body) == 1 and body[0] < 0x80:
            raise Malformed("RLP byte below 0x80 must stand for itself")
        return body, end
    members: list[Item] = []
    while begin < end:
        first = data[begin]
        if first < 0x80:
            member: Item = data[begin : begin + 1]
            begin += 1
        elif 0x81 < first <= 0xB7 and begin + first - 0x7F <= end:  # short strings are most of what there is
            member = data[begin + 1 : begin + first - 0x7F]
            begin += first - 0x7F
        else:
            member, begin = _decode(data, begin, end, depth + 1)
        members.append(member)
    return members, end


def _span(data: bytes, start: int, bound: int, code: int) -> tuple[int, int]:
    begin = start + 1
    if code <= 55:
        size = code
    else:
        digits = data[begin : begin + code - 55]
        begin += code - 55
        if len(digits) != code - 55 or digits[0] == 0:
            raise Malformed("RLP length is truncated or not canonical")
        size = int.from_bytes(digits, "big")
        if size < 56:
            raise Malformed("RLP length is not canonical")
    if begin + size > bound:
        raise Malformed("truncated RLP")
    return begin, begin + size
