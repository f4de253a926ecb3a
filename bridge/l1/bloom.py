"""The logs bloom of a block header: which events a block certainly does not hold (Yellow Paper, section 4.4.3)."""

from collections.abc import Iterable

from bridge.wire.keccak import keccak256


def bloom_bits(value: bytes) -> int:
    """The three bits that a log's address or topic sets, as an integer of 2048 bits."""
    digest = keccak256(value)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") & 2047)
    return bits


def may_contain(bloom: int, wanted: Iterable[int]) -> bool:
    """Whether any of the bit patterns is set; True can be a coincidence, False never is."""
    return any(bloom & bits == bits for bits in wanted)
