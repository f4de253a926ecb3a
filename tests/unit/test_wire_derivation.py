"""Derivation: what counts on L1, against a naive account of the rules; what does not count has no effect and a reason.

One long file, because the same list of broken rules is tried one by one and in random mixtures.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.deposits import decode_deposit
from bridge.wire.derivation import MAX_DRIFT_S, Derivation, DerivedSlot, ForcedBlock, Ignored, Rules
from bridge.wire.keccak import from_hex
from bridge.wire.l1 import L1Block
from bridge.wire.slot import Origin, Payload, slot_hash
from bridge.wire.superbatch import superbatch_hash
from bridge.wire.testing_derivation import Draft, Naive, Tip
from shared_sequencer.testing_l1 import ToyL1, derive, portal, toy_rules

CHAINS = (901, 902)
OTHER = "0x" + "77" * 32


def _derived(derivation: Derivation, l1: Sequence[L1Block]) -> Naive:
    """What the derivation says of an L1 chain, in the naive account's words."""
    said = Naive(derivation.rules, list(l1))
    said.chains = {member.chain_id: [] for member in derivation.rules.members}
    said.forced = dict.fromkeys(said.chains, 0)
    for block in l1:
        for event in derivation.add(block):
            match event:
                case ForcedBlock():
                    said.chains[event.chain_id].append(event.payload)
                    said.forced[event.chain_id] += 1
                    assert len(said.chains[event.chain_id]) == event.number
                case DerivedSlot():
                    said.slots.append(slot_hash(event.slot))
                    for held in event.slot.blocks:
                        said.chains[held.chain_id].append(held.payload)
                        assert len(said.chains[held.chain_id]) == held.number
                case Ignored():
                    assert event.reason
                    said.ignored.append(event.l1_tx)
    state = derivation.state
    said.superbatches, said.term = [str(n) for n in range(state.superbatches)], state.term
    said.tips = {
        chain: Tip(head.number, head.origin.number, head.sequence, head.timestamp)
        for chain, head in state.heads.items()
    }
    return said


def _same(naive: Naive, said: Naive) -> None:
    """Both accounts agree."""
    assert naive.chains == said.chains
    assert naive.tips == said.tips
    assert naive.forced == said.forced
    assert naive.ignored == said.ignored
    assert naive.slots == said.slots
    assert (len(naive.superbatches), naive.term) == (len(said.superbatches), said.term)


Break = Callable[[Draft, int], None]
BOTH = [(901, True, 1, 2), (902, True, 1, 2)]
STAY = [(901, False, 1, 2), (902, False, 1, 2)]


def _origin(step: int, digest: str | None = None) -> Break:
    def breaks(draft: Draft, index: int) -> None:
        now = draft.slots[index].blocks[-1].payload.origin
        number = now.number + step
        known = draft.on.l1[number].info.hash if 0 <= number < len(draft.on.l1) else OTHER
        draft.change_block(index, {"origin": Origin(number, digest or known)})

    return breaks


def _timestamp(draft: Draft, index: int, seconds: int) -> None:
    blocks = tuple(
        replace(block, payload=replace(block.payload, timestamp=seconds))
        for block in draft.slots[index].blocks
    )
    draft.change(index, timestamp=seconds, blocks=blocks)


def _late(draft: Draft, index: int, *, bundles: bool) -> None:
    """So late that only deposits may follow; every later slot holds none, so one rule alone is broken."""
    for at in range(index, len(draft.slots)):
        blocks = []
        for block in draft.slots[at].blocks:
            kept = block.payload if at == index else replace(block.payload, transactions=(), bundles=())
            kept = replace(kept, transactions=()) if bundles else replace(kept, bundles=())
            blocks.append(replace(block, payload=kept))
        draft.change(at, blocks=tuple(blocks))
        _timestamp(draft, at, draft.on.l1[draft.on.tips[902].origin].info.timestamp + MAX_DRIFT_S + 1)


def _deposit_in_bundle(draft: Draft, index: int) -> None:
    part = draft.slots[index].blocks[-1].payload.bundles[0]
    draft.change_block(index, {"bundles": (replace(part, transactions=("0x7e00",)),)})


def _torn_part(draft: Draft, index: int) -> None:
    part = draft.slots[index].blocks[-1].payload.bundles[0]
    draft.change_block(index, {"bundles": (replace(part, legs=(0, 1)),)})


def _set(**members: object) -> Break:
    def breaks(draft: Draft, index: int) -> None:
        for name, value in members.items():
            setattr(draft, name, value)

    return breaks


def _twice(draft: Draft, index: int) -> None:
    draft.change(index, blocks=(draft.slots[index].blocks[-1],) * 2)


BREAKS: dict[str, tuple[str, Break]] = {
    "number ahead": ("does not follow", _set(number=2)),
    "number back": ("does not follow", _set(number=0)),
    "parent": ("does not follow", _set(parent=OTHER)),
    "term lower": ("term 2 is over, 3 rules", _set(term=2)),
    "slot parent": ("does not follow slot", lambda d, i: d.change(i, parent=OTHER)),
    "slot number ahead": ("does not follow slot", lambda d, i: d.change(i, number=d.slots[i].number + 1)),
    "slot number back": ("does not follow slot", lambda d, i: d.change(i, number=d.slots[i].number - 1)),
    "block number gap": (
        "does not follow block",
        lambda d, i: d.change_block(i, number=d.slots[i].blocks[-1].number + 1),
    ),
    "block number back": (
        "does not follow block",
        lambda d, i: d.change_block(i, number=d.slots[i].blocks[-1].number - 1),
    ),
    "unknown chain": ("no such rollup", lambda d, i: d.change_block(i, chain_id=999)),
    "chain order": ("order of their chain ids", lambda d, i: d.change(i, blocks=d.slots[i].blocks[::-1])),
    "one chain twice": ("order of their chain ids", _twice),
    "origin skips an epoch": ("origin 4 after", _origin(2)),
    "origin goes back": ("origin 1 after 2", _origin(-1)),
    "origin of another branch": ("not on the L1 chain", _origin(0, OTHER)),
    "origin ahead of L1": ("not on the L1 chain", _origin(50)),
    "timestamp back": ("is before its parent's", lambda d, i: _timestamp(d, i, d.slots[i].timestamp - 60)),
    "late transactions": (f"more than {MAX_DRIFT_S} s", lambda d, i: _late(d, i, bundles=False)),
    "late bundles": (f"more than {MAX_DRIFT_S} s", lambda d, i: _late(d, i, bundles=True)),
    "a deposit": ("holds a deposit", lambda d, i: d.change_block(i, {"transactions": ("0x7e00",)})),
    "a deposit in a bundle": ("holds a deposit", _deposit_in_bundle),
    "legs without transactions": ("legs", _torn_part),
    "sender": ("is not the batcher", _set(sender="0x" + "99" * 20)),
}


def _begun(window: int = 50) -> tuple[ToyL1, Rules]:
    """An L1 with deposits that holds one superbatch of term 3, up to epoch 2; the next block is number 7."""
    l1, rules = ToyL1(), toy_rules(CHAINS, window)
    for number in range(5):
        l1.mine({901: [number], 902: [number, number]}, timestamp=l1.blocks[-1].info.timestamp + 12)
    draft = Draft.after(Naive.read(rules, l1.blocks))
    draft.term = 3
    for blocks in (STAY, BOTH, BOTH, STAY):
        draft.slot([(chain, opens, 40, count) for chain, opens, _, count in blocks])
    l1.mine(batches=[draft.transaction()])
    return l1, rules


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", BREAKS)
def test_one_broken_rule_makes_all_of_a_superbatch_count_for_nothing(name: str, place: int) -> None:
    """Wherever in it the rule is broken: the state stays, the reason is named, and the honest one after it counts."""
    l1, rules = _begun()
    before = Naive.read(rules, l1.blocks)
    honest, broken = Draft.after(before), Draft.after(before)
    for draft in (honest, broken):
        for _ in range(3):
            draft.slot(STAY)
    reason, breaks = BREAKS[name]
    breaks(broken, place)
    wrong, right = broken.transaction(), honest.transaction()
    l1.mine(batches=[wrong, right])
    derivation = derive(rules, l1.blocks[:-1])
    assert before.chains == _derived(Derivation(rules), l1.blocks[:-1]).chains
    first, *rest = derivation.add(l1.blocks[-1])
    assert isinstance(first, Ignored)
    assert (wrong.hash, 7) == (first.l1_tx, first.l1_block)
    assert reason in first.reason
    assert [DerivedSlot] * 3 == [type(event) for event in rest]
    assert (2, 3, 7) == (derivation.state.superbatches, derivation.state.term, derivation.state.slots)
    _same(Naive.read(rules, l1.blocks), _derived(Derivation(rules), l1.blocks))
    alone = derive(rules, l1.blocks[:-1])
    (only,) = alone.add(replace(l1.blocks[-1], batches=(wrong,)))
    assert isinstance(only, Ignored)
    assert alone.state_at(6) == alone.state


def test_a_timestamp_that_no_block_can_hold_is_refused() -> None:
    """Late blocks without transactions are allowed, but time is a 64-bit number."""
    l1, rules = ToyL1(), toy_rules(CHAINS)
    l1.mine()
    draft = Draft.after(Naive.read(rules, l1.blocks))
    draft.slot([(901, False, 0, 0)])
    _timestamp(draft, 0, 2**64)
    l1.mine(batches=[draft.transaction()])
    (ignored,) = derive(rules, l1.blocks[:-1]).add(l1.blocks[-1])
    assert isinstance(ignored, Ignored)
    assert "64 bits" in ignored.reason


def test_a_block_earlier_than_its_origin_is_refused() -> None:
    """The next epoch cannot begin before its L1 block, though the slot's time has not gone back."""
    l1, rules = ToyL1(), toy_rules(CHAINS)
    l1.mine(timestamp=1_000)
    draft = Draft.after(Naive.read(rules, l1.blocks))
    draft.slot([(901, True, 1_000, 1)])
    _timestamp(draft, 0, 999)
    l1.mine(batches=[draft.transaction()])
    (ignored,) = derive(rules, l1.blocks[:-1]).add(l1.blocks[-1])
    assert isinstance(ignored, Ignored)
    assert "timestamp 999 is before" in ignored.reason
    _timestamp(draft, 0, 1_000)
    l1.mine(batches=[draft.transaction()])
    assert 1 == derive(rules, l1.blocks).state.superbatches


@pytest.mark.parametrize(
    ("seconds", "count", "counts"), [(0, 2, 1), (1, 0, 1), (1, 1, 0), (1, 2, 0), (9_000, 0, 1)]
)
def test_drift_is_a_bound_on_transactions_not_on_blocks(seconds: int, count: int, counts: int) -> None:
    """At the bound everything may be in a block; beyond it only what follows from the origin."""
    l1, rules = ToyL1(), toy_rules(CHAINS)
    l1.mine()
    draft = Draft.after(Naive.read(rules, l1.blocks))
    draft.slot([(901, False, l1.blocks[0].info.timestamp + MAX_DRIFT_S + seconds, count)])
    l1.mine(batches=[draft.transaction()])
    assert counts == derive(rules, l1.blocks).state.superbatches


@pytest.mark.parametrize("window", [1, 3])
def test_the_window_ends_for_a_superbatch_where_it_ends_for_the_forced_block(window: int) -> None:
    """Epoch n may be batched up to L1 block n + window; the next one forces all epochs, before its own batches."""
    for wait in range(1, window + 3):
        l1, rules = ToyL1(), toy_rules([901], window)
        l1.mine({901: [5]})
        draft = Draft.after(Naive.read(rules, l1.blocks))
        draft.slot([(901, True, 1_000, 1)])
        for _ in range(wait - 1):
            l1.mine()
        l1.mine(batches=[draft.transaction()])
        derivation = derive(rules, l1.blocks[:-1])
        events = derivation.add(l1.blocks[-1])
        if wait <= window:
            assert [DerivedSlot] == [type(event) for event in events]
            assert draft.built == [(901, events[0].slot.blocks[0].payload)]  # type: ignore[union-attr]
            continue
        # the block that ends the window forces every epoch up to itself
        *forced, ignored = events
        origins = [event.payload.origin.number for event in forced]  # type: ignore[union-attr]
        assert (list(range(1, window + 3)) if wait == window + 1 else []) == origins
        assert all(isinstance(event, ForcedBlock) for event in forced)
        assert isinstance(ignored, Ignored)
        assert f"block 1 of chain 901 does not follow block {window + 2}" in ignored.reason
        assert 0 == derivation.state_at(window + 1).heads[901].number


def test_a_block_of_an_epoch_whose_window_is_over_is_refused_before_anything_is_forced() -> None:
    """Epoch n may not grow after L1 block n + window, though epoch n + 1 has one more block of time."""
    for opens, counts in ((False, 0), (True, 1)):
        l1, rules = ToyL1(), toy_rules([901], 3)
        l1.mine()
        for _ in range(2):
            l1.mine()
        draft = Draft.after(Naive.read(rules, l1.blocks))
        draft.slot([(901, opens, 1_000, 1)])
        l1.mine(batches=[draft.transaction()])
        derivation = derive(rules, l1.blocks)
        assert (counts, counts) == (derivation.state.superbatches, derivation.state.heads[901].number)
        if not opens:
            again = derive(rules, l1.blocks[:-1])
            (ignored,) = again.add(l1.blocks[-1])
            assert isinstance(ignored, Ignored)
            assert "the window of origin 0 ended before L1 block 4" in ignored.reason


@given(st.binary(max_size=60))
def test_garbage_replays_and_copies_are_ignored(garbage: bytes) -> None:
    """Whatever bytes the batcher sends, an old superbatch, the same twice in one block: no effect; other inboxes: not even seen."""
    l1, rules = _begun()
    before = Naive.read(rules, l1.blocks)
    honest = Draft.after(before)
    honest.slot(STAY)
    old = next(batch for block in l1.blocks for batch in block.batches)
    sent = honest.transaction()
    junk = honest.transaction(data=garbage)
    elsewhere = honest.transaction(inbox="0x" + "55" * 20)
    l1.mine(batches=[elsewhere, junk, old, sent, sent, old])
    derivation = derive(rules, l1.blocks[:-1])
    events = derivation.add(l1.blocks[-1])
    assert [Ignored, Ignored, DerivedSlot, Ignored, Ignored] == [type(event) for event in events]
    assert [junk.hash, old.hash, sent.hash, sent.hash, old.hash] == [event.l1_tx for event in events]  # type: ignore[union-attr]
    assert 2 == derivation.state.superbatches


SLOTS = st.lists(
    st.dictionaries(
        st.sampled_from(CHAINS), st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 2)), max_size=2
    ).map(lambda chosen: [(chain, *rest) for chain, rest in chosen.items()]),
    max_size=4,
)
DEPOSITS = st.dictionaries(st.sampled_from(CHAINS), st.lists(st.integers(0, 3), max_size=3), max_size=2)


def _mutate(draft: Draft, data: st.DataObject) -> None:
    """Break a rule, as far as this draft has something to break and a number for it."""
    whole = list(draft.slots)
    try:
        BREAKS[data.draw(st.sampled_from(sorted(BREAKS)))][1](draft, data.draw(st.integers(0, 3)))
        draft.transaction()
    except (IndexError, ValueError, OverflowError):
        draft.slots = whole


def _grow(l1: ToyL1, rules: Rules, data: st.DataObject, *, dishonest: bool) -> list[Draft]:
    """One more L1 block with deposits and up to two superbatches, some of them wrong; returns the honest ones."""
    state, drafts, batches = Naive.read(rules, l1.blocks), [], []
    for _ in range(data.draw(st.sampled_from([0, 0, 1, 1, 2]))):
        draft = Draft.after(state)
        draft.term += data.draw(st.integers(0, 1))
        for blocks in data.draw(SLOTS):
            draft.slot(blocks)
        if dishonest and data.draw(st.booleans()):
            _mutate(draft, data)
            batches.append(draft.transaction())
            continue
        batches.append(draft.transaction())
        drafts.append(draft)
        state = draft.on
        state.superbatches.append(superbatch_hash(batches[-1].data))
        state.term = draft.term
    seen = [batch for block in l1.blocks for batch in block.batches]
    if dishonest and seen and data.draw(st.booleans()):
        batches.append(data.draw(st.sampled_from(seen)))
    later = l1.blocks[-1].info.timestamp + data.draw(st.integers(0, 5))
    l1.mine(data.draw(DEPOSITS), batches, timestamp=later)
    return drafts


@given(st.integers(1, 12), st.data())
@settings(max_examples=100, deadline=None)
def test_everything_an_honest_sequencer_publishes_counts_as_it_was_built(
    length: int, data: st.DataObject
) -> None:
    """In time and in order: nothing is ignored, nothing is forced, and derived payloads are the built ones."""
    l1, rules = ToyL1(), toy_rules(CHAINS, 50)
    built: dict[int, list[Payload]] = {chain: [] for chain in CHAINS}
    count = 0
    for _ in range(length):
        for draft in _grow(l1, rules, data, dishonest=False):
            count += 1
            for chain, payload in draft.built:
                built[chain].append(payload)
    derivation = Derivation(rules)
    said = _derived(derivation, l1.blocks)
    assert built == said.chains
    assert ([], dict.fromkeys(CHAINS, 0), count) == (said.ignored, said.forced, derivation.state.superbatches)


@given(st.integers(1, 4), st.integers(1, 14), st.data())
@settings(max_examples=300, deadline=None)
def test_honest_and_dishonest_superbatches_count_as_the_naive_rules_say(
    window: int, length: int, data: st.DataObject
) -> None:
    """Any mixture, any window: the same blocks, forced blocks and ignored transactions as a naive account of the rules."""
    l1, rules = ToyL1(), toy_rules(CHAINS, window)
    for _ in range(length):
        _grow(l1, rules, data, dishonest=True)
    said = _derived(Derivation(rules), l1.blocks)
    _same(Naive.read(rules, l1.blocks), said)
    _deposits_hold(l1, rules, said)


def _deposits_hold(l1: ToyL1, rules: Rules, said: Naive) -> None:
    """INV-16 and INV-22: each deposit once, in order, first in its epoch, and at the latest when the window is over."""
    for chain in CHAINS:
        asked = {block.info.number: list(block.deposits.get(portal(chain), ())) for block in l1.blocks}
        given_: dict[int, list[str]] = {}
        place = 0
        for payload in said.chains[chain]:
            assert payload.origin.number in (place, place + 1), "an epoch was left out"
            assert (payload.sequence == 0) == (payload.origin.number == place + 1)
            place = payload.origin.number
            attributes = decode_deposit(from_hex(payload.deposits[0]))
            assert payload.sequence == int.from_bytes(attributes.data[12:20], "big")
            assert place == int.from_bytes(attributes.data[28:36], "big")
            if payload.sequence == 0:
                given_[place] = list(payload.deposits[1:])
            else:
                assert 1 == len(payload.deposits)
        assert {n: asked[n] for n in range(1, place + 1)} == given_
        assert place >= l1.blocks[-1].info.number - rules.window - 1, "a window passed and nothing was forced"


@given(st.integers(1, 4), st.lists(DEPOSITS, min_size=1, max_size=10), st.integers(0, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_when_the_sequencer_falls_silent_l1_goes_on_alone(
    window: int, deposits: list[dict[int, list[int]]], honest: int, data: st.DataObject
) -> None:
    """After the window every epoch gives each rollup one block with its deposits and nothing else; a late batch changes nothing."""
    l1, rules = ToyL1(), toy_rules(CHAINS, window)
    for _ in range(honest):
        _grow(l1, rules, data, dishonest=False)
    late = Draft.after(Naive.read(rules, l1.blocks))
    late.slot(BOTH)
    spoken = l1.blocks[-1].info.number
    for asked in deposits:
        l1.mine(asked)
    for _ in range(window + 2):
        l1.mine()
    quiet = _derived(Derivation(rules), l1.blocks)
    _deposits_hold(l1, rules, quiet)
    for chain in CHAINS:
        forced = [p for p in quiet.chains[chain] if p.origin.number > spoken]
        assert [((), (), 0)] * len(forced) == [(p.transactions, p.bundles, p.sequence) for p in forced]
        assert list(range(spoken + 1, quiet.tips[chain].origin + 1)) == [p.origin.number for p in forced]
        assert len(forced) <= quiet.forced[chain]
    l1.mine(batches=[late.transaction()])
    derivation = Derivation(rules)
    said = _derived(derivation, l1.blocks)
    assert [late.transaction().hash] == said.ignored[-1:]
    assert derivation.state.superbatches == derivation.state_at(l1.blocks[-2].info.number).superbatches


@given(st.integers(1, 4), st.lists(st.one_of(st.just(0), st.integers(1, 6)), max_size=14), st.data())
@settings(max_examples=150, deadline=None)
def test_the_state_depends_only_on_the_present_chain(
    window: int, steps: list[int], data: st.DataObject
) -> None:
    """INV-26: after any blocks and reorganisations everything is as in a fresh derivation, and later events are the same."""
    l1, rules = ToyL1(), toy_rules(CHAINS, window)
    derivation = derive(rules, l1.blocks)
    for back in steps:
        if back:
            l1.go_back(back)
            derivation.rewind(l1.blocks[-1].info.number)
        _grow(l1, rules, data, dishonest=True)
        fresh = derive(rules, l1.blocks[:-1])
        assert fresh.add(l1.blocks[-1]) == derivation.add(l1.blocks[-1])
        assert fresh.l1_head == derivation.l1_head == l1.blocks[-1].info.number
        for number, block in enumerate(l1.blocks):
            assert fresh.state_at(number) == derivation.state_at(number)
            assert replace(block, batches=()) == derivation.l1_block(number)
        assert derivation.l1_block(len(l1.blocks)) is None
        assert derivation.l1_block(-1) is None


def test_all_of_l1_can_go() -> None:
    """Not even the genesis block is the same: the derivation begins anew."""
    rules = toy_rules(CHAINS)
    old, new = ToyL1(), ToyL1(genesis_time=9)
    for l1 in (old, new):
        l1.mine({901: [1]})
    derivation = derive(rules, old.blocks)
    derivation.rewind(-1)
    assert -1 == derivation.l1_head
    with pytest.raises(IndexError):
        _ = derivation.state
    for block in new.blocks:
        derivation.add(block)
    assert derive(rules, new.blocks).state == derivation.state


def test_blocks_that_do_not_follow_are_refused() -> None:
    """A gap, a repeated block, a block of another branch: ValueError, and nothing changes."""
    l1, rules = ToyL1(), toy_rules(CHAINS)
    for _ in range(4):
        l1.mine()
    derivation = derive(rules, l1.blocks[:3])
    other = replace(l1.blocks[3], info=replace(l1.blocks[3].info, parent=OTHER))
    for wrong in (l1.blocks[4], l1.blocks[2], l1.blocks[0], other):
        with pytest.raises(ValueError, match="does not follow block 2"):
            derivation.add(wrong)
    assert 2 == derivation.l1_head
    derivation.add(l1.blocks[3])
