"""Slots and superbatches: round trips, and everything that a stranger may put into the inbox."""

import sys
import zlib
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.wire import rlp, superbatch
from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.slot import (
    GENESIS_PARENT,
    Block,
    BundlePart,
    BundleTerms,
    Decision,
    Origin,
    Payload,
    Slot,
    block_transactions,
    slot_from_items,
    slot_hash,
    slot_items,
)
from bridge.wire.superbatch import Superbatch, decode_superbatch, encode_superbatch, superbatch_hash
from bridge.wire.system import BUNDLE_GUARD, DEPOSITOR_PREFIX
from rollup_node.engines.options.testing_mutants import hunt, patched

EMPTY = encode_superbatch(0, GENESIS_PARENT, 1, ())
"""A well-formed one."""
HASHES = st.binary(min_size=32, max_size=32).map(to_hex)
RAWS = st.binary(max_size=40).map(to_hex)
NUMBERS = st.integers(0, 2**64 - 1)
PARTS = st.lists(st.tuples(st.integers(0, 63), RAWS), max_size=3).flatmap(
    lambda legs: HASHES.map(
        lambda bundle: BundlePart(bundle, tuple(i for i, _ in legs), tuple(raw for _, raw in legs))
    )
)


@st.composite
def slots(draw: st.DrawFn) -> Slot:
    """A slot of any shape, with decisions and causes."""
    timestamp = draw(NUMBERS)
    blocks = tuple(
        Block(
            draw(NUMBERS),
            draw(NUMBERS),
            draw(HASHES),
            draw(HASHES),
            Payload(
                timestamp,
                tuple(draw(st.lists(RAWS, max_size=3))),
                tuple(draw(st.lists(PARTS, max_size=3))),
                draw(st.builds(Origin, NUMBERS, HASHES)),
                draw(NUMBERS),
                tuple(draw(st.lists(RAWS, max_size=2))),
            ),
        )
        for _ in range(draw(st.integers(0, 3)))
    )
    decisions = tuple(Decision(digest, "commit") for digest in draw(st.lists(HASHES, max_size=2)))
    causes = {decision.id: "node/1/2" for decision in decisions}
    terms = st.builds(BundleTerms, HASHES, NUMBERS, HASHES)
    bundles = tuple(draw(st.lists(terms, max_size=2)))
    return Slot(draw(NUMBERS), draw(NUMBERS), draw(HASHES), timestamp, blocks, decisions, causes, bundles)


def _on_l1(slot: Slot) -> Slot:
    """What L1 holds: no decisions, and nothing that follows from an origin."""
    blocks = tuple(replace(b, payload=replace(b.payload, sequence=0, deposits=())) for b in slot.blocks)
    return Slot(slot.term, slot.number, slot.parent, slot.timestamp, blocks, (), {}, slot.bundles)


@given(slots())
def test_a_slot_survives_the_log_and_l1(slot: Slot) -> None:
    """JSON keeps everything; RLP keeps everything that derivation needs; both keep the hash."""
    assert slot == Slot.from_json(orjson.loads(orjson.dumps(slot)))
    derived = slot_from_items(rlp.decode(rlp.encode(slot_items(slot))))
    assert _on_l1(slot) == derived
    assert slot_hash(slot) == slot_hash(derived)


@given(slots(), st.sampled_from(["term", "number", "parent", "timestamp", "blocks", "origin", "bundles"]))
def test_the_slot_hash_covers_what_l1_holds(slot: Slot, member: str) -> None:
    """Term, number, parent, time, blocks with their origins and the bundles' terms are bound; decisions, causes and deposits are not on L1."""
    changed = {field: getattr(slot, field) for field in Slot.__slots__}
    match member:
        case "parent":
            changed["parent"] = to_hex(keccak256(slot.parent.encode()))
        case "blocks":
            changed["blocks"] = (
                *slot.blocks,
                Block(1, 1, "0x" + "00" * 32, "0x" + "00" * 32, Payload(0, (), ())),
            )
        case "bundles":
            changed["bundles"] = (*slot.bundles, BundleTerms("0x" + "11" * 32, 1, "0x" + "22" * 32))
        case "origin":
            assume(slot.blocks)
            first = slot.blocks[0]
            other = replace(first.payload.origin, number=first.payload.origin.number ^ 1)
            moved = replace(first, payload=replace(first.payload, origin=other))
            changed["blocks"] = (moved, *slot.blocks[1:])
        case _:
            changed[member] = changed[member] + 1
    assert slot_hash(slot) != slot_hash(Slot(**changed))
    assert slot_hash(slot) == slot_hash(_on_l1(slot))


@given(NUMBERS, HASHES, NUMBERS, st.lists(slots(), max_size=3))
@settings(max_examples=50)
def test_a_superbatch_comes_back_whole(number: int, parent: str, term: int, content: list[Slot]) -> None:
    """Encoding and decoding are inverse, and the hash names the bytes."""
    data = encode_superbatch(number, parent, term, content)
    assert Superbatch(number, parent, term, tuple(map(_on_l1, content))) == decode_superbatch(data)
    assert to_hex(keccak256(data)) == superbatch_hash(data)


@given(st.lists(slots(), max_size=2), st.data())
@settings(max_examples=50)
def test_a_cut_or_lengthened_superbatch_is_malformed(content: list[Slot], data: st.DataObject) -> None:
    """Every proper prefix and every longer string is refused."""
    whole = encode_superbatch(1, "0x" + "00" * 32, 1, content)
    with pytest.raises(Malformed):
        decode_superbatch(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(Malformed):
        decode_superbatch(whole + data.draw(st.binary(min_size=1, max_size=8)))


@given(st.lists(slots(), max_size=2), st.data())
@settings(max_examples=100)
def test_a_damaged_superbatch_is_malformed_or_well_formed(content: list[Slot], data: st.DataObject) -> None:
    """One flipped byte: zlib's checksum refuses it, and nothing but Malformed ever escapes."""
    whole = bytearray(encode_superbatch(1, "0x" + "00" * 32, 1, content))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    try:
        decoded = decode_superbatch(bytes(whole))
    except Malformed:
        return
    # zlib leaves a few header bits open; the content must then be what it was
    assert tuple(map(_on_l1, content)) == decoded.slots


@given(st.recursive(st.binary(max_size=33), lambda inner: st.lists(inner, max_size=6), max_leaves=30))
def test_well_compressed_garbage_is_malformed(garbage: Any) -> None:
    """Whatever RLP a stranger compresses, the decoder raises Malformed and nothing else."""
    with pytest.raises(Malformed):
        decode_superbatch(bytes([superbatch.VERSION]) + zlib.compress(rlp.encode(garbage)))


@pytest.mark.parametrize(
    "data", [b"", b"\x00", b"\x02" + EMPTY[1:], b"\x04" + EMPTY[1:], EMPTY[:1], EMPTY[:1] + b"garbage"]
)
def test_unknown_versions_and_no_zlib_are_malformed(data: bytes) -> None:
    """The version byte comes first (version 2 could not tell whether a bundle is whole), and what follows must inflate."""
    assert () == decode_superbatch(EMPTY).slots
    with pytest.raises(Malformed):
        decode_superbatch(data)


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inflation stops at the limit: a byte more than allowed is refused, the limit itself is not the reason."""
    monkeypatch.setattr(superbatch, "MAX_INFLATED_BYTES", 100_000)
    slot = Slot(1, 0, "0x" + "00" * 32, 1, (), (), {})
    padding = Payload(1, (to_hex(bytes(99_000)),), ())
    fits = Slot(1, 0, slot.parent, 1, (Block(1, 1, slot.parent, slot.parent, padding),), (), {})
    data = encode_superbatch(0, slot.parent, 1, [fits])
    assert len(data) < 1_000
    assert (fits,) == decode_superbatch(data).slots
    padding = Payload(1, (to_hex(bytes(100_001)),), ())
    bomb = Slot(1, 0, slot.parent, 1, (Block(1, 1, slot.parent, slot.parent, padding),), (), {})
    with pytest.raises(Malformed, match="too large"):
        decode_superbatch(encode_superbatch(0, slot.parent, 1, [bomb]))


PAYLOADS = slots().flatmap(
    lambda slot: st.sampled_from([block.payload for block in slot.blocks] or [Payload(0, (), ())])
)


@given(PAYLOADS)
def test_system_transactions_follow_from_the_payload_alone(payload: Payload) -> None:
    """Deposits come first; one opening before each bundle's legs, one closing after the last, each from a sender of its own."""
    executed = block_transactions(payload, 7)
    deposits = len(payload.deposits)
    assert [bytes.fromhex(raw[2:]) for raw in payload.deposits] == executed[:deposits]
    system = [raw for raw in executed if raw[:1] == b"\x7e" and len(raw) > 60]
    count = len(payload.bundles)
    legs = sum(len(part.transactions) for part in payload.bundles)
    assert deposits + len(payload.transactions) + legs + count + (count > 0) == len(executed)
    decoded = [rlp.items(rlp.decode(raw[1:]), 8) for raw in system]
    senders = [rlp.string(members[1], (20,)) for members in decoded]
    assert len(set(senders)) == len(senders) == count + (count > 0)
    assert all(sender[:18] == DEPOSITOR_PREFIX for sender in senders)
    assert all(members[2] == BUNDLE_GUARD for members in decoded)
    opened = [rlp.string(members[7])[4:] for members in decoded]
    assert [
        *(bytes.fromhex(part.bundle[2:]) for part in payload.bundles),
        *([b""] if count else []),
    ] == opened
    assert executed == block_transactions(payload, 7)
    if count:
        assert executed != block_transactions(payload, 8)


def _deposits_after_users(old: Any) -> Any:
    def transactions(payload: Payload, number: int) -> list[bytes]:
        first = len(payload.deposits)
        built = old(payload, number)
        users = built[first : first + len(payload.transactions)]
        return [*users, *built[:first], *built[first + len(users) :]]

    return transactions


def test_a_builder_that_puts_deposits_after_users_is_caught() -> None:
    """I11: the test above fails."""
    with (
        patched(sys.modules[__name__], "block_transactions", _deposits_after_users),
        pytest.raises(AssertionError),
    ):
        hunt(test_system_transactions_follow_from_the_payload_alone, PAYLOADS)


@pytest.mark.parametrize("place", ["term", "number", "leg", "block", "origin", "deadline", "superbatch"])
@pytest.mark.parametrize("value", [1 << 64, 10**5000], ids=["65 bits", "no longer printed"])
def test_numbers_that_nobody_can_hold_are_refused(place: str, value: int) -> None:
    """No reader has to write them down to say what is wrong; a deadline may have 256 bits, everything else 64."""
    part = BundlePart("0x" + "11" * 32, (value if place == "leg" else 0,), ("0x02",))
    origin = Origin(value if place == "origin" else 0, "0x" + "22" * 32)
    zero = "0x" + "00" * 32
    block = Block(1, value if place == "block" else 1, zero, zero, Payload(0, (), (part,), origin))
    terms = BundleTerms(part.bundle, value if place == "deadline" else 1, zero)
    slot = Slot(
        value if place == "term" else 1,
        value if place == "number" else 0,
        zero,
        0,
        (block,),
        (),
        {},
        (terms,),
    )
    data = encode_superbatch(value if place == "superbatch" else 0, zero, 1, [slot])
    if place == "deadline" and value < 1 << 256:
        assert value == decode_superbatch(data).slots[0].bundles[0].max_timestamp
        return
    with pytest.raises(Malformed, match="exceeds"):
        decode_superbatch(data)
