"""Staging against the sequential rule: singles first, then one bundle after another, each in its true state."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import PeerUnreachable
from bridge.wire.slot import Origin, Payload
from bridge.wire.testing import Op, ToyState, run_bundle, run_virtual, signed
from shared_sequencer.mempool import Item
from shared_sequencer.staging import MAX_ROUNDS, Round, Staged, stage_slot
from shared_sequencer.testing import ToySet, bundle_item, transaction_item

CHAINS = (901, 902, 903)
OPS = st.sampled_from([Op.ADD, Op.ADD, Op.NEED, Op.BELOW, Op.ENTER])
PROGRAMS = st.lists(st.tuples(OPS, st.integers(0, 2), st.integers(1, 2)), max_size=3).map(tuple)
EPOCHS = {
    chain: Payload(5, (), (), Origin(3, "0x" + "33" * 32), chain - 900, (f"0x7e{chain:04x}",))
    for chain in CHAINS
}
Work = tuple[list[Item], list[Item]]


@st.composite
def slots(draw: st.DrawFn) -> Work:
    """Single transactions and bundles that step on each other."""
    nonces: Counter[tuple[int, int]] = Counter()

    def leg(accounts: range) -> Any:
        chain, account = draw(st.sampled_from(CHAINS)), draw(st.sampled_from(accounts))
        nonce = nonces[chain, account] + draw(st.sampled_from([0, 0, 0, 0, 0, 1]))
        nonces[chain, account] = nonce + 1
        return signed(chain, account, nonce, draw(PROGRAMS))

    singles = [transaction_item(leg(range(2))) for _ in range(draw(st.integers(0, 5)))]
    bundles = [
        bundle_item([leg(range(1, 5)) for _ in range(draw(st.integers(1, 3)))])
        for _ in range(draw(st.integers(0, 6)))
    ]
    return singles, bundles


def one_by_one(singles: list[Item], bundles: list[Item]) -> tuple[dict[str, Any], dict[int, ToyState]]:
    """What the rule says of each item, and the states it leaves."""
    states = {chain: ToyState() for chain in CHAINS}
    said: dict[str, Any] = {}
    for item in singles:
        status = states[item.legs[0].chain_id].run(item.legs[0])
        said[item.id] = {"success": "include", "failed": "include", "invalid": "drop", "gap": "wait"}[status]
    for item in bundles:
        outcome = run_bundle(states, item.legs)
        said[item.id] = ("abort", outcome.failed_leg) if outcome.outcome == "abort" else outcome.outcome
    return said, states


def conclusions(staged: Staged) -> dict[str, Any]:
    """What staging said of the items that it did not leave waiting."""
    return {
        **{item.id: "include" for item in staged.transactions},
        **{item.id: "commit" for item in staged.bundles},
        **{item.id: ("abort", abort.cause.leg) for item, abort in staged.aborted},
        **{item.id: "drop" for item, _ in staged.dropped},
    }


def round_of(work: Work, due: set[int] | None = None) -> Round:
    """A slot's work."""
    causes = {item.id: "sequencer/1/1" for item in [*work[0], *work[1]]}
    return Round(1, 0, 5, causes, list(work[0]), list(work[1]), set(due or ()), EPOCHS)


@given(slots())
@settings(max_examples=250, deadline=None)
def test_staging_concludes_what_the_sequential_rule_says(work: Work) -> None:
    """Every conclusion is the rule's; unless rounds ran out nothing else waits; and the staged blocks hold exactly that state."""
    toys = ToySet(CHAINS)
    staged = run_virtual(stage_slot(round_of(work), toys.rollups()))
    said, states = one_by_one(*work)
    told = conclusions(staged)
    rounds = Counter(chain for chain, node in toys.nodes.items() for method, _ in node.calls)
    if max(rounds.values(), default=0) < MAX_ROUNDS:
        assert {key: value for key, value in said.items() if value not in ("wait", "defer")} == told
        for chain, node in toys.nodes.items():
            if chain in staged.blocks:
                assert node.staged is not None
                assert states[chain] == node.staged.state
            else:
                assert ToyState() == states[chain]
    else:
        assert all(value == said[key] for key, value in told.items())
    for chain, block in staged.blocks.items():
        holding = toys.nodes[chain].staged
        assert holding is not None
        assert (block.payload, block.hash) == (holding.payload, holding.header["hash"])
        assert (1, holding.header) == (block.number, staged.headers[chain])
        assert EPOCHS[chain] == replace(block.payload, transactions=(), bundles=())


@given(slots(), st.sets(st.sampled_from(CHAINS), max_size=2), st.data())
@settings(max_examples=150, deadline=None)
def test_a_lost_rollup_takes_only_its_own_items_with_it(
    work: Work, lost: set[int], data: st.DataObject
) -> None:
    """Whichever rollups fail in whichever round: what needs them waits, and the others are judged as if it were not there."""
    toys = ToySet(CHAINS)
    fails_at = {chain: data.draw(st.integers(1, 3)) for chain in sorted(lost)}

    async def hook(chain: int) -> None:
        if len(toys.nodes[chain].calls) >= fails_at[chain]:
            raise PeerUnreachable("lost")

    for chain in lost:
        toys.nodes[chain].hook = lambda *_, chain=chain: hook(chain)
    rollups = toys.rollups()
    staged = run_virtual(stage_slot(round_of(work), rollups))
    really = {chain for chain in CHAINS if not rollups[chain].up}
    assert really <= lost
    told = conclusions(staged)
    stays = [[i for i in part if not any(leg.chain_id in really for leg in i.legs)] for part in work]
    dropped_first = {item.id for item, _ in staged.dropped if item.legs[0].chain_id in really}
    said, _ = one_by_one(*stays)
    assert all(value == said[key] for key, value in told.items() if key not in dropped_first)
    assert not set(staged.blocks) & really
    if max(len(node.calls) for node in toys.nodes.values()) < MAX_ROUNDS:
        expected = {key for key, value in said.items() if value not in ("wait", "defer")}
        assert expected == set(told) - dropped_first


def _chain_of_doom(length: int) -> list[Item]:
    """Bundle k is doomed by its leg on 902 and breaks bundle k+1 on 901: one abort a round, and in truth every odd one aborts."""
    items = []
    for k in range(length):
        legs = [
            signed(901, k, 0, ((Op.BELOW, 0, 1), (Op.ADD, 0, 1))),
            signed(902 + k % 2, k, 0, ((Op.NEED, 9, 1),)),
        ]
        items.append(bundle_item(legs))
    return items


def test_rounds_are_bounded_and_what_is_certain_goes_on() -> None:
    """More doomed bundles in a row than there are rounds: staging ends in time, right about all that it says, and says a lot."""
    toys = ToySet(CHAINS)
    doomed = _chain_of_doom(3 * MAX_ROUNDS)
    fine = [bundle_item([signed(903, 50, 0, ((Op.ADD, 5, 1),))])]
    staged = run_virtual(stage_slot(round_of(([], [*fine, *doomed])), toys.rollups()))
    said, _ = one_by_one([], [*fine, *doomed])
    told = conclusions(staged)
    assert all(value == said[key] for key, value in told.items())
    assert fine[0].id in told
    assert len(told) >= MAX_ROUNDS
    assert max(len(node.calls) for node in toys.nodes.values()) <= MAX_ROUNDS + 1


def test_only_changed_shares_are_staged_again() -> None:
    """A failing bundle on 901 costs the rollups that it does not touch nothing."""
    toys = ToySet(CHAINS)
    items = [
        bundle_item([signed(901, 0, 0, ((Op.NEED, 0, 1),)), signed(902, 0, 0)]),
        bundle_item([signed(903, 1, 0)]),
    ]
    staged = run_virtual(stage_slot(round_of(([], items), due={901, 902}), toys.rollups()))
    assert {items[0].id: ("abort", 0), items[1].id: "commit"} == conclusions(staged)
    assert {901: 2, 902: 2, 903: 1} == {chain: len(node.calls) for chain, node in toys.nodes.items()}
    assert {901, 902, 903} == set(staged.blocks)


def test_due_rollups_get_empty_blocks_and_others_none() -> None:
    """No work and no block due means no block."""
    toys = ToySet(CHAINS)
    staged = run_virtual(stage_slot(round_of(([], []), due={902}), toys.rollups()))
    assert {902} == set(staged.blocks)
    assert ((), ()) == (staged.blocks[902].payload.transactions, staged.blocks[902].payload.bundles)
    assert [0, 1, 0] == [len(node.calls) for node in toys.nodes.values()]


def test_rollups_are_staged_side_by_side() -> None:
    """One slow rollup costs its own time once, not the sum over all."""
    toys = ToySet(CHAINS)

    async def slow(*_: Any) -> None:
        await asyncio.sleep(1.0)

    for node in toys.nodes.values():
        node.hook = slow
    items = [bundle_item([signed(chain, 0, 0) for chain in CHAINS])]

    async def timed() -> float:
        await stage_slot(round_of(([], items)), toys.rollups())
        return asyncio.get_running_loop().time()

    assert run_virtual(timed()) < 1.5


def test_rollups_lost_one_after_the_other_stay_lost() -> None:
    """901 is lost in the first round, 903 in the second: neither is asked again, and 902 has its block in the third."""
    toys = ToySet(CHAINS)

    async def gone(*_: Any) -> None:
        raise PeerUnreachable("gone")

    async def later(*_: Any) -> None:
        if len(toys.nodes[903].calls) > 1:
            raise PeerUnreachable("gone")

    toys.nodes[901].hook, toys.nodes[903].hook = gone, later
    fine = bundle_item([signed(902, 0, 0)])
    both = bundle_item([signed(901, 0, 0), signed(903, 0, 0)])
    alone = bundle_item([signed(903, 1, 0)])
    staged = run_virtual(stage_slot(round_of(([], [fine, both, alone])), toys.rollups()))
    assert {fine.id: "commit"} == conclusions(staged)
    assert {901: 1, 902: 1, 903: 2} == {chain: len(node.calls) for chain, node in toys.nodes.items()}
