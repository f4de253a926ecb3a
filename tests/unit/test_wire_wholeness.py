"""Torn bundles: an honest slot has none, and whatever a sequencer does to a bundle is seen by everybody who reads the slot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.wire.bundle import MAX_LEGS, decode_bundle
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.slot import Block, BundlePart, BundleTerms, Payload, Slot
from bridge.wire.testing import Op, signed
from bridge.wire.transaction import decode_transaction
from bridge.wire.wholeness import torn

CHAINS = (901, 902, 903)
NOW, DEADLINE = 1_000, 1_500
ZERO = "0x" + "00" * 32
SALT = "0x" + "5a" * 32


@dataclass(frozen=True)
class Made:
    """A bundle and where its legs belong."""

    terms: BundleTerms
    legs: tuple[tuple[int, str], ...]
    """Chain id and raw transaction of each leg."""

    def part(self, chain: int) -> BundlePart | None:
        """Its share of one rollup."""
        mine = [(index, raw) for index, (where, raw) in enumerate(self.legs) if where == chain]
        if not mine:
            return None
        return BundlePart(self.terms.bundle, tuple(i for i, _ in mine), tuple(raw for _, raw in mine))


def made(account: int, chains: tuple[int, ...], deadline: int = DEADLINE) -> Made:
    """A bundle whose legs are an account's next transactions on the given chains, in this order."""
    nonces: dict[int, int] = {}
    raws = []
    for chain in chains:
        nonce = nonces.get(chain, 0)
        nonces[chain] = nonce + 1
        raws.append(to_hex(signed(chain, account, nonce, ((Op.ADD, 0, 1),)).raw))
    name = to_hex(decode_bundle([from_hex(raw) for raw in raws], deadline, from_hex(SALT)).hash)
    return Made(BundleTerms(name, deadline, SALT), tuple(zip(chains, raws, strict=True)))


def slot_of(bundles: list[Made], timestamp: int = NOW) -> Slot:
    """As an honest sequencer writes it."""
    blocks = []
    for chain in CHAINS:
        parts = tuple(part for bundle in bundles if (part := bundle.part(chain)) is not None)
        blocks.append(Block(chain, 1, ZERO, ZERO, Payload(timestamp, (), parts)))
    return Slot(1, 0, ZERO, timestamp, tuple(blocks), (), {}, tuple(bundle.terms for bundle in bundles))


def changed(slot: Slot, chain: int, change: Callable[[list[BundlePart]], list[BundlePart]]) -> Slot:
    """Other parts on one rollup."""
    blocks = tuple(
        replace(block, payload=replace(block.payload, bundles=tuple(change(list(block.payload.bundles)))))
        if block.chain_id == chain
        else block
        for block in slot.blocks
    )
    return replace(slot, blocks=blocks)


def with_parts(slot: Slot, chain: int, parts: list[BundlePart]) -> Slot:
    """These parts on one rollup."""
    return changed(slot, chain, lambda _: parts)


def naively_whole(slot: Slot) -> set[str]:
    """The rule in one sentence: who has all legs, each once, where it was signed for, under the name that they give, in one order."""
    order = [terms.bundle for terms in slot.bundles]
    whole = set()
    for terms in slot.bundles:
        found = [
            (leg, block.chain_id, raw)
            for block in slot.blocks
            for part in block.payload.bundles
            if part.bundle == terms.bundle
            for leg, raw in zip(part.legs, part.transactions, strict=True)
        ]
        chains = [chain for _, chain, _ in found]
        in_order = all(
            [leg for leg, where, _ in found if where == chain]
            == sorted(leg for leg, where, _ in found if where == chain)
            for chain in chains
        )
        once = sorted(leg for leg, _, _ in found) == list(range(len(found))) and bool(found)
        placed = all(decode_transaction(from_hex(raw)).chain_id == chain for _, chain, raw in found)
        if not (once and in_order and placed and slot.timestamp <= terms.max_timestamp):
            continue
        raws = [from_hex(raw) for _, _, raw in sorted(found)]
        named = decode_bundle(raws, terms.max_timestamp, from_hex(terms.salt)).hash
        if to_hex(named) == terms.bundle and order.count(terms.bundle) == 1:
            whole.add(terms.bundle)
    return whole


BUNDLES = st.lists(
    st.lists(st.sampled_from(CHAINS), min_size=1, max_size=4).map(tuple), min_size=1, max_size=4
).map(lambda shapes: [made(account, shape) for account, shape in enumerate(shapes, start=1)])


@given(BUNDLES, st.integers(0, DEADLINE))
@settings(max_examples=60)
def test_an_honest_slot_tears_nothing(bundles: list[Made], timestamp: int) -> None:
    """Whatever the shapes, up to the last second of the deadline."""
    assert {} == torn(slot_of(bundles, timestamp))


@given(BUNDLES, st.data())
@settings(max_examples=200)
def test_whatever_is_done_to_the_parts_only_whole_bundles_stay(
    bundles: list[Made], data: st.DataObject
) -> None:
    """Parts dropped, doubled, moved to another rollup, swapped, shortened: what is left of a slot is what the naive rule says."""
    slot = slot_of(bundles)
    for _ in range(data.draw(st.integers(1, 3))):
        chain = data.draw(st.sampled_from(CHAINS))
        parts = next(list(b.payload.bundles) for b in slot.blocks if b.chain_id == chain)
        assume(parts)
        index = data.draw(st.integers(0, len(parts) - 1))
        part = parts[index]
        match data.draw(st.sampled_from(["drop", "double", "move", "last leg", "turn", "rename", "relabel"])):
            case "drop":
                parts = parts[:index] + parts[index + 1 :]
            case "double":
                parts = [*parts, part]
            case "move":
                to = data.draw(st.sampled_from(CHAINS))
                slot = with_parts(slot, chain, [*parts[:index], *parts[index + 1 :]])
                there = next(list(b.payload.bundles) for b in slot.blocks if b.chain_id == to)
                slot = with_parts(slot, to, [*there, part])
                continue
            case "last leg":
                parts[index] = replace(part, legs=part.legs[:-1], transactions=part.transactions[:-1])
            case "turn":
                parts[index] = replace(part, legs=part.legs[::-1], transactions=part.transactions[::-1])
            case "rename":
                parts[index] = replace(part, bundle=data.draw(st.sampled_from(bundles)).terms.bundle)
            case "relabel":
                parts[index] = replace(part, legs=tuple(leg + 1 for leg in part.legs))
        slot = with_parts(slot, chain, parts)
    names = {bundle.terms.bundle for bundle in bundles}
    stays = names - set(torn(slot))
    assert stays <= naively_whole(slot)
    # stricter than the naive rule in one thing: who stands out of the global order on one rollup is torn
    ordered = all(
        [p.bundle for p in b.payload.bundles]
        == [t.bundle for t in slot.bundles if t.bundle in {p.bundle for p in b.payload.bundles}]
        for b in slot.blocks
    )
    if ordered:
        assert naively_whole(slot) == stays


def test_each_lie_is_told_by_its_reason() -> None:
    """The reason says what a reader of the slot would look for."""
    first, second = made(1, (901, 902)), made(2, (902, 901, 902))
    slot = slot_of([first, second])
    stranger = to_hex(signed(902, 7, 0, ((Op.ADD, 0, 1),)).raw)
    later = to_hex(signed(902, 1, 1, ((Op.ADD, 0, 1),)).raw)
    name, other = first.terms.bundle, second.terms.bundle

    def with_leg(raw: str) -> Slot:
        return changed(slot, 902, lambda parts: [replace(parts[0], transactions=(raw,)), *parts[1:]])

    lies: Mapping[str, tuple[Slot, str, str]] = {
        "one rollup's part is dropped": (
            changed(slot, 902, lambda parts: parts[1:]),
            name,
            "those of bundle 0x",
        ),
        "the first leg is dropped": (changed(slot, 901, lambda parts: parts[1:]), name, "leg 0 is missing"),
        "both parts are dropped": (
            changed(changed(slot, 901, lambda p: p[1:]), 902, lambda p: p[1:]),
            name,
            "leg 0 is missing",
        ),
        "another's transaction stands in": (with_leg(stranger), name, "those of bundle 0x"),
        "another nonce of the same signer": (with_leg(later), name, "those of bundle 0x"),
        "no transaction at all": (with_leg("0x02ff"), name, "transaction 1 of the bundle"),
        "too late": (replace(slot, timestamp=DEADLINE + 1), name, f"its deadline {DEADLINE}"),
        "another deadline": (
            replace(slot, bundles=(replace(first.terms, max_timestamp=DEADLINE + 9), second.terms)),
            name,
            "those of bundle 0x",
        ),
        "a deadline that no word holds": (
            replace(slot, bundles=(replace(first.terms, max_timestamp=1 << 256), second.terms)),
            name,
            "its deadline",
        ),
        "another salt": (
            replace(slot, bundles=(replace(first.terms, salt=ZERO), second.terms)),
            name,
            "those of bundle 0x",
        ),
        "not in the slot's order": (replace(slot, bundles=(second.terms,)), name, "does not have it"),
        "twice in the slot's order": (
            replace(slot, bundles=(first.terms, second.terms, first.terms)),
            name,
            "twice",
        ),
        "turned round on one rollup": (
            changed(slot, 902, lambda parts: parts[::-1]),
            name,
            "chain 902 has it out of the slot's order",
        ),
        "legs turned round": (
            changed(
                slot, 902, lambda p: [p[0], replace(p[1], legs=(2, 0), transactions=p[1].transactions[::-1])]
            ),
            other,
            "runs its legs as [2, 0]",
        ),
        "twice on two rollups": (
            changed(slot, 903, lambda parts: [*parts, first.part(901) or parts[0]]),
            name,
            "leg 0 stands on chains 901 and 903",
        ),
        "legs swapped between rollups": (
            changed(
                changed(slot, 901, lambda p: [replace(p[0], legs=(1,)), *p[1:]]),
                902,
                lambda p: [replace(p[0], legs=(0,)), *p[1:]],
            ),
            name,
            "those of bundle 0x",
        ),
        "on a rollup that it was not signed for": (
            changed(
                changed(slot, 901, lambda p: p[1:]),
                903,
                lambda _: [first.part(901) or BundlePart("", (), ())],
            ),
            name,
            "leg 0 is signed for chain 901 and stands on chain 903",
        ),
        "an index that nobody could count to": (
            changed(slot, 902, lambda p: [replace(p[0], legs=(2**200,)), *p[1:]]),
            name,
            "leg 1 is missing",
        ),
    }
    for lie, (lying, bundle, reason) in lies.items():
        found = torn(lying)
        assert bundle in found, lie
        assert reason in found[bundle], lie
        if lie != "too late":
            assert {bundle} == set(found), lie


@pytest.mark.parametrize("legs", [MAX_LEGS, MAX_LEGS + 1])
def test_the_number_of_legs_is_bounded_here_too(legs: int) -> None:
    """What admission refuses cannot be smuggled in behind it."""
    raws = [to_hex(signed(901, 1, nonce, ()).raw) for nonce in range(legs)]
    name = to_hex(decode_bundle([from_hex(raw) for raw in raws[:MAX_LEGS]], DEADLINE, from_hex(SALT)).hash)
    part = BundlePart(name, tuple(range(legs)), tuple(raws))
    terms = BundleTerms(name, DEADLINE, SALT)
    block = Block(901, 1, ZERO, ZERO, Payload(NOW, (), (part,)))
    slot = Slot(1, 0, ZERO, NOW, (block,), (), {}, (terms,))
    assert (legs > MAX_LEGS) == bool(torn(slot))
