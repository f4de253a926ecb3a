"""A combo is locked on all its rollups or the bundle is none: at admission, and for everybody who reads the slot."""

from dataclasses import replace

import pytest
from eth_abi import encode  # type: ignore[attr-defined]

from bridge.wire.bundle import bundle_hash, decode_bundle
from bridge.wire.combos import COMBOS, LEG, LOCK, UNLOCK
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from bridge.wire.slot import Block, BundlePart, BundleTerms, Payload, Slot
from bridge.wire.testing import private_key
from bridge.wire.wholeness import torn
from rollup_node.engines.options.transactions import interfaces

SALT, DEADLINE, ZERO = bytes(32), 10**9, "0x" + "00" * 32
LEGS = [(901, 7, b"ETH", 2_000, 3_000, True, -10_000), (902, 9, b"ETH", 2_000, 3_200, True, 10_000)]
OTHERS = [LEGS[0], (902, 9, b"ETH", 2_000, 3_300, True, 10_000)]


def _raw(chain: int, data: bytes, nonce: int = 0, to: bytes = COMBOS) -> bytes:
    unsigned = UnsignedTransaction(chain, nonce, 0, 0, 500_000, to, data)
    return sign_transaction(unsigned, private_key(1))


def _lock(
    legs: list[tuple[object, ...]] | None = None, snapshot: int = 1, calls: tuple[bytes, ...] = ()
) -> bytes:
    return LOCK + encode([f"{LEG}[]", "uint64", "bytes[]"], [legs or LEGS, snapshot, calls])


def _unlock(name: bytes) -> bytes:
    return UNLOCK + encode([f"{LEG}[]", "uint64", "bytes32"], [LEGS, 1, name])


def test_address_and_functions_are_the_engines() -> None:
    """Said twice, because nothing down here knows the engine."""
    calls = interfaces.BY_NAME
    assert (COMBOS, LEG) == (interfaces.COMBOS, interfaces.COMBO_LEG)
    assert (LOCK, UNLOCK) == (calls["lockCombo"].selector, calls["unlockCombo"].selector)


def test_the_same_words_on_every_rollup_are_a_bundle() -> None:
    """Whatever trades each of them makes first, and whatever else is in the bundle."""
    plain = _raw(901, b"", 1, bytes(20))
    decode_bundle([_raw(901, _lock(calls=(b"x", b"yz"))), plain, _raw(902, _lock())], DEADLINE, SALT)
    decode_bundle([_raw(901, _unlock(SALT)), _raw(902, _unlock(SALT))], DEADLINE, SALT)
    far = [_raw(901, _lock(to_legs), place) for place, to_legs in enumerate((LEGS, OTHERS))]
    decode_bundle([*far, _raw(902, _lock()), _raw(902, _lock(OTHERS), 1)], DEADLINE, SALT)


@pytest.mark.parametrize(
    "raws",
    [
        [_raw(901, _lock())],
        [_raw(902, _lock())],
        [_raw(901, _lock()), _raw(902, b"")],
        [_raw(901, _lock()), _raw(902, _lock(), to=bytes(20))],
        [_raw(901, _lock()), _raw(902, _lock(OTHERS))],
        [_raw(901, _lock()), _raw(902, _lock(LEGS[::-1]))],
        [_raw(901, _lock()), _raw(902, _lock(snapshot=2))],
        [_raw(901, _lock()), _raw(902, _unlock(SALT))],
        [_raw(901, _lock()), _raw(901, _lock(), 1), _raw(902, _lock())],
        [_raw(901, _lock()), _raw(902, _lock()), _raw(903, _lock())],
        [_raw(901, _unlock(SALT)), _raw(902, _unlock(b"\1" * 32))],
        [_raw(901, LOCK)],
        [_raw(901, LOCK + bytes(96))],
        [_raw(901, _lock()[:-33]), _raw(902, _lock()[: 4 + 6 * 32])],
    ],
    ids=[
        "short alone", "long alone", "nothing there", "another address", "another leg", "another order", "another snapshot",
        "locks here and frees there", "twice here", "where no leg is", "another name", "no arguments", "no legs", "cut off",
    ],
)  # fmt: skip
def test_anything_else_is_none(raws: list[bytes]) -> None:
    """The sequencer doesn't admit it."""
    with pytest.raises(Malformed, match="combo"):
        decode_bundle(raws, DEADLINE, SALT)


def _slot(name: bytes, raws: dict[int, bytes]) -> Slot:
    blocks = tuple(
        Block(chain, 1, ZERO, ZERO, Payload(1, (), (BundlePart(to_hex(name), (place,), (to_hex(raw),)),)))
        for place, (chain, raw) in enumerate(raws.items())
    )
    terms = BundleTerms(to_hex(name), DEADLINE, to_hex(SALT))
    return Slot(1, 0, ZERO, 1, blocks, (), {}, (terms,))


def test_a_transaction_swapped_for_another_of_the_same_nonce_tears_the_bundle() -> None:
    """The name binds sender and nonce alone; what stands there is read all the same, by everyone who reads the slot."""
    sender = address_of(private_key(1))
    name = bundle_hash([(901, sender, 0), (902, sender, 0)], DEADLINE, SALT)
    honest = _slot(name, {901: _raw(901, _lock()), 902: _raw(902, _lock())})
    assert {} == torn(honest)
    swapped = _slot(name, {901: _raw(901, _lock()), 902: _raw(902, b"", to=sender)})
    assert [to_hex(name)] == list(torn(swapped))
    assert from_hex(next(iter(torn(replace(swapped, number=2)))), 32) == name
