"""Joint derivation: nodes with one rollup each come to what a verifier with all of them finds, whatever the sequencer publishes."""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.atomic import LegResult
from bridge.wire.slot import Block, BundlePart, BundleTerms, Payload, Slot
from bridge.wire.testing import Op, Program, run_virtual
from rollup_node.derivation.testing import DEADLINE, SALT
from rollup_node.derivation.testing_joint import CHAINS, FAILING, World
from rollup_node.derivation.votes import Place, Shared, Word, shared
from rollup_node.errors import NotNext


async def test_an_honest_slot_is_settled_without_executing_anything(tmp_path: Path) -> None:
    """Every node has its block; one question to each rollup that it shares a bundle with is all that L1's word costs."""
    world = await World(tmp_path).begin()
    for _ in range(3):
        await world.decide([world.bundle([(901, ()), (902, ())])])
        world.l1.mine(world.sequencer.publish())
    executions = {chain: node.engine.executions for chain, node in world.nodes.items()}
    await world.read_all()
    assert executions == {chain: node.engine.executions for chain, node in world.nodes.items()}
    assert [3, 3, 3] == [node.chain.safe for node in world.nodes.values()]
    assert 0 < world.asked
    await world.require_truth()
    world.close()


@pytest.mark.parametrize("failing", [0, 1])
async def test_no_node_calls_half_a_bundle_safe(tmp_path: Path, failing: int) -> None:
    """One leg fails, and the sequencer says it committed: the node that sees it refuses, the other undoes what it had served."""
    world = await World(tmp_path).begin()
    programs: list[tuple[int, Program]] = [(901, ((Op.ADD, 7, 1),)), (902, ((Op.ADD, 8, 1),))]
    programs[failing] = (programs[failing][0], FAILING)
    blocks = await world.decide([world.bundle(programs)])
    honest = CHAINS[1 - failing]
    assert {CHAINS[failing]: 0, honest: 1, 903: 1} == {
        chain: node.chain.gate.number for chain, node in world.nodes.items()
    }
    world.l1.mine(world.sequencer.publish())
    await world.read_all()
    for chain in (901, 902):
        assert world.nodes[chain].engine.blocks[-1].cells.keys() == {0}, chain
        assert world.nodes[chain].store.blocks()[0].payload.bundles == ()
    assert [block.hash for block in blocks][2] == world.nodes[903].chain.gate.hash
    await world.require_truth()
    world.close()


async def test_one_failure_runs_through_all_that_hangs_on_it(tmp_path: Path) -> None:
    """What needs the effects of a bundle that fails goes with it, over rollups that neither shares; what only shares their rollups stays."""
    world = await World(tmp_path).begin()
    chain_of_bundles = [
        world.bundle([(901, FAILING), (902, ((Op.ADD, 7, 1),))]),
        world.bundle([(902, ((Op.NEED, 7, 1),)), (903, ((Op.ADD, 8, 1),))]),
        world.bundle([(903, ((Op.NEED, 8, 1),)), (901, ((Op.ADD, 9, 1),))]),
        world.bundle([(901, ((Op.ADD, 10, 1),)), (903, ((Op.ADD, 10, 1),))]),
    ]
    await world.decide(chain_of_bundles)
    world.l1.mine(world.sequencer.publish())
    await world.read_all()
    cells = {chain: set(node.engine.blocks[-1].cells) for chain, node in world.nodes.items()}
    assert {901: {0, 10}, 902: {0}, 903: {0, 10}} == cells
    await world.require_truth()
    world.close()


async def test_nodes_and_verifier_judge_in_the_slots_order(tmp_path: Path) -> None:
    """On 901 only the second bundle has a part: it is judged after the first all the same, whose failure makes it succeed."""
    world = await World(tmp_path).begin()
    first = world.bundle([(902, ((Op.ADD, 7, 1),)), (903, FAILING)])
    second = world.bundle([(901, ((Op.ADD, 9, 1),)), (902, ((Op.BELOW, 7, 1), (Op.ADD, 8, 1)))])
    await world.decide([first, second])
    world.l1.mine(world.sequencer.publish())
    await world.read_all()
    cells = {chain: set(node.engine.blocks[-1].cells) for chain, node in world.nodes.items()}
    assert {901: {0, 9}, 902: {0, 8}, 903: {0}} == cells
    await world.require_truth()
    world.close()


async def test_a_lie_that_l1_contradicts_is_not_served_again(tmp_path: Path) -> None:
    """While the vote on the rest of the slot is missing, the sequencer repeats its decision again and again: the gate stays where it is."""
    world = await World(tmp_path).begin()
    await world.decide([])
    world.l1.mine(world.sequencer.publish())
    await world.read_all()
    world.down = {902}
    torn_one, whole = world.bundle([(901, ()), (903, ())]), world.bundle([(901, ()), (902, ())])

    def lie(slot: Slot) -> Slot:
        blocks = [
            replace(block, payload=replace(block.payload, bundles=())) if block.chain_id == 903 else block
            for block in slot.blocks
        ]
        return replace(slot, blocks=tuple(blocks))

    blocks = await world.decide([torn_one, whole], lie=lie)
    node = world.nodes[901]
    assert 2 == node.chain.gate.number
    world.l1.mine(world.sequencer.publish())
    await world.read(901)
    assert (1, 1) == (node.chain.gate.number, node.chain.safe)
    for _ in range(3):
        with pytest.raises(NotNext, match="L1 holds it"):
            await node.commit(blocks[0], parent=None)
        await world.read(901)
        assert 1 == node.chain.gate.number
    await world.read_all()
    await world.require_truth()
    world.close()


async def test_the_safe_head_waits_for_the_word_of_a_rollup_that_is_down(tmp_path: Path) -> None:
    """It does not go on, nor back; new blocks are served all the same; and it follows once the other one is back."""
    world = await World(tmp_path).begin()
    await world.decide([])
    world.l1.mine(world.sequencer.publish())
    await world.read_all()
    world.down = {902}
    await world.decide([world.bundle([(901, ()), (902, ())])])
    world.l1.mine(world.sequencer.publish())
    for _ in range(3):
        for chain in CHAINS:
            await world.read(chain)
    heads = {chain: world.nodes[chain].chain.heads for chain in (901, 903)}
    assert {901: (2, 1), 903: (2, 2)} == {chain: (h.latest, h.safe) for chain, h in heads.items()}
    await world.read_all()
    assert 2 == world.nodes[901].chain.safe
    await world.require_truth()
    world.close()


async def test_l1_may_take_back_what_is_waited_for(tmp_path: Path) -> None:
    """A slot whose vote is missing is gone after a reorganisation: nobody waits for it any more."""
    world = await World(tmp_path).begin()
    world.down = {902}
    await world.decide([world.bundle([(901, ()), (902, ())])])
    world.l1.mine(world.sequencer.publish())
    await world.read(901)
    assert (1, 0) == (world.nodes[901].chain.gate.number, world.nodes[901].chain.safe)
    world.l1.reorganise(0)
    world.l1.mine()
    await world.sequencer.restart()
    await world.decide([])
    world.l1.mine(world.sequencer.publish())
    await world.read(901)
    assert 1 == world.nodes[901].chain.safe
    await world.read_all()
    await world.require_truth()
    world.close()


async def test_who_comes_late_hears_how_it_ended(tmp_path: Path) -> None:
    """A node that was away while the others found a lie asks them afterwards, though they have long gone on and been restarted."""
    world = await World(tmp_path).begin()
    world.down = {903}
    lie = [
        world.bundle([(901, FAILING), (902, ((Op.ADD, 7, 1),))]),
        world.bundle([(902, ((Op.NEED, 7, 1),)), (901, ((Op.ADD, 8, 1),))]),
    ]
    await world.decide(lie)
    world.l1.mine(world.sequencer.publish())
    for _ in range(5):
        for chain in (901, 902):
            await world.read(chain)
    assert [1, 1] == [world.nodes[chain].chain.safe for chain in (901, 902)]
    world.l1.finalized = len(world.l1.blocks) - 1
    for _ in range(2):
        world.l1.mine()
        for chain in (901, 902):
            await world.read(chain)
    for chain in (901, 902):
        await world.start(chain)
    await world.read_all()
    await world.require_truth()
    world.close()


def test_what_cannot_be_judged_apart() -> None:
    """Rollups tied by bundles, directly or through others; broken bundles tie nothing; order is the slot's."""
    names = ["0x" + f"{index:064x}" for index in range(5)]
    touched = {0: (901, 902), 1: (903,), 2: (902, 904), 3: (905, 906), 4: (901, 903)}

    def block(chain: int) -> Block:
        parts = tuple(BundlePart(names[i], (0,), ("0x",)) for i, chains in touched.items() if chain in chains)
        return Block(chain, 1, names[0], names[0], Payload(0, (), parts))

    terms = tuple(BundleTerms(name, DEADLINE, SALT) for name in names)
    slot = Slot(1, 0, names[0], 0, tuple(map(block, range(901, 907))), (), {}, terms)

    def part(bundles: tuple[int, ...], others: tuple[int, ...], own: int) -> Shared:
        legs = {
            chain: {names[i]: (0,) for i in bundles if chain in touched[i]}
            for chain in sorted((own, *others))
        }
        return Shared(tuple(names[i] for i in bundles), others, legs)

    assert part((3,), (906,), 905) == shared(slot, (), 905)
    assert part((0, 1, 2, 4), (902, 903, 904), 901) == shared(slot, (), 901)
    assert part((0, 2), (902, 904), 901) == shared(slot, {names[4]}, 901)
    assert part((1,), (), 903) == shared(slot, {names[4]}, 903)
    assert part((), (), 901) == shared(slot, set(names), 901)


@given(st.dictionaries(st.text(max_size=4), st.lists(st.integers(0, 9), max_size=3), max_size=3))
def test_a_word_survives_the_wire(bundles: dict[str, list[int]]) -> None:
    """Votes and ends come back as they were sent."""
    results = {name: [LegResult(leg, 901, "failed") for leg in legs] for name, legs in bundles.items()}
    for word in (Word(results), Word(settled=frozenset(bundles))):
        assert word == Word.from_json(orjson.loads(orjson.dumps(word.to_json())))


TEARING = ("drop a part", "turn the order", "double a part", "other leg numbers")


def any_program(rng: random.Random) -> Program:
    """Writes a cell; may depend on what others wrote, may revert, may not even enter a block."""
    cell, to = rng.randint(1, 3), rng.randint(1, 3)
    return rng.choice(
        [
            ((Op.ADD, cell, 1),),
            ((Op.ADD, cell, 1),),
            ((Op.NEED, cell, 1), (Op.ADD, to, 1)),
            ((Op.BELOW, cell, 2), (Op.ADD, to, 1)),
            ((Op.ENTER, cell, 2),),
            FAILING,
        ]
    )


def any_step(rng: random.Random) -> tuple[str, Any]:
    """Something that happens."""
    what = rng.choices(
        ["decide", "publish", "mine", "reorganise", "read", "restart", "down", "losses"],
        [30, 18, 6, 6, 20, 4, 6, 4],
    )[0]
    match what:
        case "decide":
            bundles = [
                [(chain, any_program(rng)) for chain in rng.sample(CHAINS, rng.randint(1, 3))]
                for _ in range(rng.randint(0, 3))
            ]
            tear = rng.choice(TEARING) if rng.random() < 0.15 else "none"
            return what, (bundles, [rng.random() < 0.7 for _ in CHAINS], tear)
        case "publish":
            return what, rng.random() < 0.85
        case "mine" | "reorganise" | "losses":
            return what, rng.randint(0, 5)
    return what, rng.choice(CHAINS)


def tearing(how: str) -> Callable[[Slot], Slot]:
    """What is published instead of a slot."""

    def lie(slot: Slot) -> Slot:
        victim = next((block for block in slot.blocks if block.payload.bundles), None)
        if victim is None or how == "none":
            return slot
        parts = victim.payload.bundles
        torn_parts = {
            "drop a part": parts[1:],
            "turn the order": parts[::-1],
            "double a part": (*parts, parts[0]),
            "other leg numbers": (
                replace(parts[0], legs=tuple(leg + 1 for leg in parts[0].legs)),
                *parts[1:],
            ),
        }[how]
        changed = replace(victim, payload=replace(victim.payload, bundles=torn_parts))
        return replace(slot, blocks=tuple(changed if block is victim else block for block in slot.blocks))

    return lie


async def _step(world: World, what: str, value: Any) -> None:
    match what:
        case "decide":
            bundles, heard, how = value
            await world.decide([world.bundle(legs) for legs in bundles], heard, tearing(how))
        case "publish":
            data = world.sequencer.publish()
            world.l1.mine(*([data] if value else []))
        case "mine":
            world.l1.finalized += value // 2
            for _ in range(value):
                world.l1.mine()
        case "reorganise":
            number = max(value, world.l1.finalized)
            world.l1.reorganise(number)
            world.l1.mine()
            await world.sequencer.restart()
        case "read":
            await world.read(value)
        case "restart":
            await world.start(value)
            world.down.discard(value)
        case "down":
            world.down.add(value)
        case "losses":
            count = itertools.count()
            world.lose = (lambda: next(count) % 2 == 0) if value else (lambda: False)


@pytest.mark.parametrize("part", range(4))
def test_whatever_is_published_all_nodes_come_to_the_verifiers_truth(part: int) -> None:
    """Lies of any kind, nodes that are down, restarted or deaf, reorganisations: safe is never half a bundle, and in the end all agree."""

    async def main(folder: Path, rng: random.Random) -> None:
        world = await World(folder).begin()
        try:
            safe, moved = dict.fromkeys(CHAINS, 0), set[int]()
            for _ in range(rng.randint(5, 30)):
                what, value = any_step(rng)
                await _step(world, what, value)
                if what == "reorganise":
                    moved = set(CHAINS)
                for chain in CHAINS:
                    now = world.nodes[chain].chain.safe
                    assert now >= safe[chain] or chain in moved, f"{chain} goes back"
                    safe[chain] = now
                if what == "read" and value not in world.down and not world.lives[value].waits:
                    moved.discard(value)
                if what == "read" and value not in world.down and not world.lives[value].waits:
                    truth, number = await world.verified(), world.nodes[value].chain.safe
                    assert world.safe(value) == [truth.hashes[value][n] for n in range(1, number + 1)]
            await world.read_all()
            await world.require_truth()
        finally:
            world.close()

    for seed in range(40 * part, 40 * (part + 1)):
        with TemporaryDirectory() as folder:
            print(f"seed {seed}")  # noqa: T201 - the last one is the failing one
            run_virtual(main(Path(folder), random.Random(seed)))


async def test_a_vote_is_about_one_place_on_one_branch(tmp_path: Path) -> None:
    """The same slot in another L1 block, or after a reorganisation, is another question: nobody answers it with what he found there."""
    world = await World(tmp_path).begin()
    world.down = {902}
    await world.decide([world.bundle([(901, FAILING), (902, ())])])
    world.l1.mine(world.sequencer.publish())
    await world.read(901)
    ((name, rounds),) = world.joints[901]._rounds.items()
    here, joint = rounds.place, world.joints[901]
    elsewhere = (Place(here.number, "0x" + "77" * 32), Place(here.number + 1, here.hash))

    def answers(place: Place) -> Word | None:
        return joint.vote(place, name, frozenset())

    assert answers(here) is not None
    assert [None, None] == list(map(answers, elsewhere))
    await world.read_all()
    settled = answers(here)
    assert settled is not None
    assert 1 == len(settled.settled or ())
    assert [None, None] == list(map(answers, elsewhere))
    honest = Place(0, world.l1.blocks[0].info.hash)
    assert Word(settled=frozenset()) == joint.vote(honest, "0x" + "11" * 32, frozenset())
    world.l1.reorganise(here.number - 1)
    world.l1.mine()
    world.l1.mine()
    await world.read(901)
    assert answers(here) is None
    world.close()
