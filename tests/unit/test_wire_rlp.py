"""RLP against the packaged implementation, and against everything that is not RLP."""

from typing import Any

import pytest
import rlp as reference
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire import rlp
from bridge.wire.errors import Malformed

STRINGS = st.one_of(
    st.binary(max_size=4), st.binary(min_size=54, max_size=58), st.binary(min_size=250, max_size=260)
)
NESTED = st.recursive(STRINGS, lambda inner: st.lists(inner, max_size=6), max_leaves=25)


def _lists(item: Any) -> Any:
    """The packaged decoder gives lists or tuples; we give lists."""
    return item if isinstance(item, bytes) else [_lists(member) for member in item]


@given(NESTED)
def test_encoding_equals_the_packaged_one_and_decodes_to_the_same(item: Any) -> None:
    """For any nested value: the same bytes as the reference, and decoding is the inverse of encoding."""
    encoded = rlp.encode(item)
    assert reference.encode(item) == encoded
    assert item == rlp.decode(encoded)


@given(st.integers(min_value=0, max_value=1 << 300))
def test_integers_are_canonical_both_ways(value: int) -> None:
    """Integers encode as the reference's big-endian integers and read back."""
    encoded = rlp.encode(value)
    assert reference.encode(value) == encoded
    assert value == rlp.integer(rlp.decode(encoded))


@given(st.binary(max_size=80))
def test_random_bytes_decode_as_the_reference_or_are_malformed(data: bytes) -> None:
    """Any bytes either decode as the strict reference does and encode back to themselves, or raise Malformed: nothing else."""
    try:
        expected = _lists(reference.decode(data, strict=True))
    except reference.exceptions.DecodingError:
        with pytest.raises(Malformed):
            rlp.decode(data)
    else:
        assert expected == rlp.decode(data)
        assert data == rlp.encode(expected)


@given(NESTED, st.data())
def test_damaged_encodings_are_malformed_or_encode_to_themselves(item: Any, data: st.DataObject) -> None:
    """Flip, cut or insert a byte: what still decodes is canonical, so a value and its bytes determine each other."""
    encoded = bytearray(rlp.encode(item))
    place = data.draw(st.integers(0, len(encoded) - 1))
    match data.draw(st.sampled_from(["flip", "cut", "insert"])):
        case "flip":
            encoded[place] ^= data.draw(st.integers(1, 255))
        case "cut":
            del encoded[place:]
        case _:
            encoded.insert(place, data.draw(st.integers(0, 255)))
    try:
        decoded = rlp.decode(bytes(encoded))
    except Malformed:
        return
    assert bytes(encoded) == rlp.encode(decoded)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x81\x05",  # a byte below 0x80 stands for itself
        b"\xb8\x05hello",  # short strings have the short form
        b"\xb9\x00\x38" + b"x" * 56,  # no leading zeros in the length
        b"\xf8\x01\x05",  # short lists have the short form
        b"\xc2\x05",  # truncated list
        b"\xc1\x82",  # the member reaches beyond its list
        b"\xc1\xb8",  # the member's length reaches beyond its list
        b"\xc4\xc1\x82\x05\x06",  # the member reaches beyond its list into the list around it
        b"\xc2\xb8\x38" + b"x" * 56,  # the member's length lies inside its list, its body does not
        b"\x05\x05",  # trailing bytes
        b"\xbf" + b"\xff" * 8,  # a length that no memory holds
        b"\xbb\xff",  # truncated length
    ],
)
def test_what_is_not_canonical_is_refused(data: bytes) -> None:
    """Each way of not being the one encoding of a value is refused."""
    with pytest.raises(Malformed):
        rlp.decode(data)


def test_nesting_is_bounded() -> None:
    """The deepest allowed list decodes; one level more, or a hundred thousand, is refused before the stack ends."""
    deepest: Any = []
    for _ in range(rlp.MAX_DEPTH):
        deepest = [deepest]
    assert deepest == rlp.decode(rlp.encode(deepest))
    with pytest.raises(Malformed, match="nested"):
        rlp.decode(rlp.encode([deepest]))
    bomb = b""
    for _ in range(2_000):
        bomb = reference.codec.length_prefix(len(bomb), 0xC0) + bomb
    with pytest.raises(Malformed, match="nested"):
        rlp.decode(bomb)


@pytest.mark.parametrize("item", [b"\x00", b"\x00\x01", [], [b"\x01"]])
def test_integers_with_leading_zeros_and_lists_are_no_integers(item: Any) -> None:
    """Only the canonical string of a number is a number."""
    with pytest.raises(Malformed):
        rlp.integer(item)


def test_shapes_are_checked() -> None:
    """``string`` and ``items`` refuse the other kind and other sizes."""
    assert b"ab" == rlp.string(b"ab", (0, 2))
    assert [b"a"] == rlp.items([b"a"], 1)
    wrongs: list[Any] = [[], b"a"]
    for wrong in wrongs:
        with pytest.raises(Malformed):
            rlp.string(wrong, (0, 2))
    with pytest.raises(Malformed):
        rlp.items(b"a")
    with pytest.raises(Malformed):
        rlp.items([b"a"], 2)


@given(st.integers(min_value=1 << 64, max_value=1 << 300))
def test_integers_that_are_too_long_are_refused(value: int) -> None:
    """64 bits, or 256 where more has no meaning: nobody has to print a number of any length."""
    item = rlp.decode(rlp.encode(value))
    assert value == rlp.integer(item)
    with pytest.raises(Malformed, match="exceeds 64 bits"):
        rlp.uint64(item)
    if value >> 256:
        with pytest.raises(Malformed, match="exceeds 256 bits"):
            rlp.bounded(item, 256)
    else:
        assert value == rlp.bounded(item, 256)
