"""Derivation, rule by rule: what counts on L1; what does not count has no effect and a reason."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.derivation import MAX_DRIFT_S, Derivation, DerivedSlot, ForcedBlock, Ignored, Rules
from bridge.wire.testing_breaks import BOTH, BREAKS, OTHER, STAY, put_timestamp
from bridge.wire.testing_derivation import Draft, Naive, derived, require_same
from shared_sequencer.testing_l1 import ToyL1, derive, toy_rules

CHAINS = (901, 902)


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
    assert before.chains == derived(Derivation(rules), l1.blocks[:-1]).chains
    first, *rest = derivation.add(l1.blocks[-1])
    assert isinstance(first, Ignored)
    assert (wrong.hash, 7) == (first.l1_tx, first.l1_block)
    assert reason in first.reason
    assert [DerivedSlot] * 3 == [type(event) for event in rest]
    assert (2, 3, 7) == (derivation.state.superbatches, derivation.state.term, derivation.state.slots)
    require_same(Naive.read(rules, l1.blocks), derived(Derivation(rules), l1.blocks))
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
    put_timestamp(draft, 0, 2**64)
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
    put_timestamp(draft, 0, 999)
    l1.mine(batches=[draft.transaction()])
    (ignored,) = derive(rules, l1.blocks[:-1]).add(l1.blocks[-1])
    assert isinstance(ignored, Ignored)
    assert "timestamp 999 is before" in ignored.reason
    put_timestamp(draft, 0, 1_000)
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
