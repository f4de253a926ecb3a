"""The bundle's name, and what is no bundle."""

import pytest
from eth_abi import encode  # type: ignore[attr-defined]
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.bundle import MAX_LEGS, bundle_hash, decode_bundle
from bridge.wire.errors import Malformed
from bridge.wire.testing import Op, signed

LEGS = st.lists(
    st.tuples(st.integers(0, 2**64 - 1), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1)),
    max_size=6,
)
SALTS = st.binary(min_size=32, max_size=32)


@given(LEGS, st.integers(0, 2**64 - 1), SALTS)
@settings(deadline=None)
def test_the_hash_is_that_of_the_abi_encoding(
    legs: list[tuple[int, bytes, int]], deadline: int, salt: bytes
) -> None:
    """keccak(abi.encode("BUNDLE.v1", (uint256,address,uint256)[], uint256, bytes32)), so a contract can compute it too."""
    encoded = encode(
        ["string", "(uint256,address,uint256)[]", "uint256", "bytes32"], ["BUNDLE.v1", legs, deadline, salt]
    )
    assert keccak(encoded) == bundle_hash(legs, deadline, salt)


@given(LEGS.filter(bool), st.integers(0, 2**60), SALTS, st.data())
def test_any_change_of_who_acts_where_and_when_changes_the_name(
    legs: list[tuple[int, bytes, int]], deadline: int, salt: bytes, data: st.DataObject
) -> None:
    """Order, chain, sender, nonce, deadline and salt are all bound."""
    chain, sender, nonce = legs[0]
    others = [
        bundle_hash([(chain ^ 1, sender, nonce), *legs[1:]], deadline, salt),
        bundle_hash([(chain, bytes([sender[0] ^ 1]) + sender[1:], nonce), *legs[1:]], deadline, salt),
        bundle_hash([(chain, sender, nonce ^ 1), *legs[1:]], deadline, salt),
        bundle_hash(legs[1:], deadline, salt),
        bundle_hash(legs, deadline + 1, salt),
        bundle_hash(legs, deadline, bytes([salt[0] ^ 1]) + salt[1:]),
    ]
    if legs[::-1] != legs:
        others.append(bundle_hash(legs[::-1], deadline, salt))
    assert bundle_hash(legs, deadline, salt) not in others


def test_calldata_is_not_in_the_name() -> None:
    """A leg's calldata can carry the hash, because the hash does not depend on it."""
    plain, other = signed(901, 0, 0), signed(901, 0, 0, ((Op.ADD, 1, 1),))
    assert plain.raw != other.raw
    salt = bytes(32)
    assert decode_bundle([plain.raw], 5, salt).hash == decode_bundle([other.raw], 5, salt).hash


def test_a_bundle_keeps_its_legs_in_order() -> None:
    """Order of submission is order of execution."""
    legs = [signed(902, 1, 0), signed(901, 0, 0), signed(901, 0, 1)]
    bundle = decode_bundle([leg.raw for leg in legs], 7, b"\x01" * 32)
    assert (tuple(legs), 7, b"\x01" * 32) == (bundle.legs, bundle.max_timestamp, bundle.salt)
    assert (
        bundle_hash([(leg.chain_id, leg.sender, leg.nonce) for leg in legs], 7, b"\x01" * 32) == bundle.hash
    )


def test_what_is_no_bundle_is_refused() -> None:
    """No legs, too many, a leg that does not decode (named by its index), and two legs for one nonce."""
    leg = signed(901, 0, 0)
    with pytest.raises(Malformed, match="1 to 64"):
        decode_bundle([], 5, bytes(32))
    many = [signed(901, 0, nonce).raw for nonce in range(MAX_LEGS + 1)]
    assert MAX_LEGS == len(decode_bundle(many[:-1], 5, bytes(32)).legs)
    with pytest.raises(Malformed, match="1 to 64"):
        decode_bundle(many, 5, bytes(32))
    with pytest.raises(Malformed, match="transaction 1 of the bundle: transaction type"):
        decode_bundle([leg.raw, b"\x7f"], 5, bytes(32))
    with pytest.raises(Malformed, match="share"):
        decode_bundle([leg.raw, signed(901, 0, 0, value=1).raw], 5, bytes(32))
