"""Derivation in random runs: against a naive account of the rules, with a sequencer that breaks them, or falls silent; and mutants."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.deposits import decode_deposit
from bridge.wire.derivation import Derivation, Rules
from bridge.wire.keccak import from_hex
from bridge.wire.l1 import L1Block
from bridge.wire.slot import Payload
from bridge.wire.superbatch import superbatch_hash
from bridge.wire.testing_breaks import BOTH, BREAKS
from bridge.wire.testing_derivation import Draft, Naive, derived, require_same
from rollup_node.engines.options.testing_mutants import hunt, patched
from shared_sequencer.testing_l1 import ToyL1, derive, portal, toy_rules

CHAINS = (901, 902)
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
    said = derived(derivation, l1.blocks)
    assert built == said.chains
    assert ([], dict.fromkeys(CHAINS, 0), count) == (said.ignored, said.forced, derivation.state.superbatches)


MIXTURES = (st.integers(1, 4), st.integers(1, 14), st.data())


@given(*MIXTURES)
@settings(max_examples=300, deadline=None)
def test_honest_and_dishonest_superbatches_count_as_the_naive_rules_say(
    window: int, length: int, data: st.DataObject
) -> None:
    """Any mixture, any window: the same blocks, forced blocks and ignored transactions as a naive account of the rules."""
    l1, rules = ToyL1(), toy_rules(CHAINS, window)
    for _ in range(length):
        _grow(l1, rules, data, dishonest=True)
    said = derived(Derivation(rules), l1.blocks)
    require_same(Naive.read(rules, l1.blocks), said)
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


SILENCES = (st.integers(1, 4), st.lists(DEPOSITS, min_size=1, max_size=10), st.integers(0, 3), st.data())


@given(*SILENCES)
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
    quiet = derived(Derivation(rules), l1.blocks)
    _deposits_hold(l1, rules, quiet)
    for chain in CHAINS:
        forced = [p for p in quiet.chains[chain] if p.origin.number > spoken]
        assert [((), (), 0)] * len(forced) == [(p.transactions, p.bundles, p.sequence) for p in forced]
        assert list(range(spoken + 1, quiet.tips[chain].origin + 1)) == [p.origin.number for p in forced]
        assert len(forced) <= quiet.forced[chain]
    l1.mine(batches=[late.transaction()])
    derivation = Derivation(rules)
    said = derived(derivation, l1.blocks)
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


def _forgets_a_deposit(old: Any) -> Any:
    def deposits(self: Derivation, chain_id: int, origin: L1Block, sequence: int) -> tuple[str, ...]:
        found: tuple[str, ...] = old(self, chain_id, origin, sequence)
        return found[:1] + found[2:] if origin.info.number == FORGETFUL else found

    return deposits


def _swaps_two_deposits(old: Any) -> Any:
    def deposits(self: Derivation, chain_id: int, origin: L1Block, sequence: int) -> tuple[str, ...]:
        attributes, *own = old(self, chain_id, origin, sequence)
        return (attributes, *own[1::-1], *own[2:])

    return deposits


def _users_before_deposits(old: Any) -> Any:
    def block(self: Derivation, state: Any, claimed: Any, l1_number: int) -> Any:
        made = old(self, state, claimed, l1_number)
        attributes, *own = made.payload.deposits
        transactions = (*made.payload.transactions, *own)
        return replace(made, payload=replace(made.payload, deposits=(attributes,), transactions=transactions))

    return block


def _repeats_deposits(old: Any) -> Any:
    return lambda self, chain_id, origin, sequence: old(self, chain_id, origin, 0)


def _windows_never_end(old: Any) -> Any:
    return lambda self, state, l1_number: iter(())


def _windows_end_late(old: Any) -> Any:
    return lambda self, state, l1_number: old(self, state, l1_number - 1)


def _takes_late_batches(old: Any) -> Any:
    return lambda self, state, block, l1_number: old(self, state, block, 0)


FORGETFUL = 3
"""An L1 block of whose deposits a mutant loses the first."""
MIXED = (test_honest_and_dishonest_superbatches_count_as_the_naive_rules_say, MIXTURES)
SILENT = (test_when_the_sequencer_falls_silent_l1_goes_on_alone, SILENCES)
MUTANTS: list[tuple[str, Callable[[Any], Any], tuple[Callable[..., None], tuple[Any, ...]]]] = [
    ("_deposits", _forgets_a_deposit, SILENT),
    ("_deposits", _swaps_two_deposits, SILENT),
    ("_deposits", _repeats_deposits, MIXED),
    ("_block", _users_before_deposits, MIXED),
    ("_forced", _windows_never_end, SILENT),
    ("_forced", _windows_end_late, SILENT),
    ("_block", _takes_late_batches, MIXED),
]


@pytest.mark.parametrize(("name", "made", "held"), MUTANTS, ids=[one[1].__name__[1:] for one in MUTANTS])
def test_a_derivation_that_wrongs_deposits_is_caught(
    name: str, made: Callable[[Any], Any], held: tuple[Callable[..., None], tuple[Any, ...]]
) -> None:
    """I11: one of the two tests above fails on each."""
    test, drawn = held
    with patched(Derivation, name, made), pytest.raises(AssertionError):
        hunt(test, *drawn)
