"""What other nodes say is looked at before it counts, and a node that says nothing costs nobody else a moment."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from bridge.wire.atomic import LegResult
from bridge.wire.derivation import Derivation
from bridge.wire.l1 import L1Block, Rewound
from bridge.wire.slot import Slot
from bridge.wire.testing import Op, Program, run_virtual
from rollup_node.derivation.joint import ASK_S, Joint
from rollup_node.derivation.live import LiveDerivation
from rollup_node.derivation.testing import ToyL1, ToyReader, rules
from rollup_node.derivation.testing_joint import CHAINS, FAILING, WINDOW, World
from rollup_node.derivation.verifier import Verifier
from rollup_node.derivation.votes import REASONS, Place, Shared, Word, failing
from rollup_node.errors import NotNext
from rollup_node.store import Store
from rollup_node.testing import ToyEngine

GOOD: Program = ((Op.ADD, 7, 1),)
STRANGE = "0x" + "99" * 32

Twist = Callable[[Word | None], Word | None]


def votes(change: Callable[[str, Sequence[LegResult]], Sequence[LegResult] | None]) -> Twist:
    """A liar that changes what it votes, bundle by bundle."""

    def twist(word: Word | None) -> Word | None:
        if word is None or word.results is None:
            return word
        changed = {bundle: change(bundle, legs) for bundle, legs in word.results.items()}
        return Word({bundle: legs for bundle, legs in changed.items() if legs is not None})

    return twist


LIES: dict[str, tuple[int, Twist]] = {
    "nothing was left out": (901, lambda _: Word(settled=frozenset())),
    "it omits the bundle": (902, votes(lambda _, __: None)),
    "it omits a leg": (902, votes(lambda _, legs: legs[1:])),
    "another chain's legs": (902, votes(lambda _, legs: [replace(leg, chain_id=901) for leg in legs])),
    "other legs": (902, votes(lambda _, legs: [replace(leg, leg=leg.leg + 1) for leg in legs])),
    "no status at all": (902, votes(lambda _, legs: [replace(leg, status="fine") for leg in legs])),  # type: ignore[arg-type]
    "bundles of another slot went": (902, lambda _: Word(settled=frozenset({STRANGE}))),
    "one more bundle": (902, lambda word: Word({**(word.results or {}), STRANGE: []}) if word else None),
}
"""Which leg fails, and what 902 says to 901 (and everybody)."""


async def halved(world: World, failing_chain: int) -> None:
    """A slot with a bundle of which one leg fails, said to have committed, on L1."""
    programs = [(chain, FAILING if chain == failing_chain else GOOD) for chain in (901, 902)]
    await world.decide([world.bundle(programs)])
    world.l1.mine(world.sequencer.publish())


async def through_lies(world: World, twist: Twist, failing_chain: int) -> None:
    """902 lies for a while: what 901 calls safe meanwhile is the truth; when it lies no more all is as it should be."""
    await halved(world, failing_chain)
    world.twist[902] = twist
    truth = await world.verified()
    for _ in range(4):
        for chain in world.chains:
            await world.read(chain)
        assert world.safe(901) == [truth.hashes[901][n + 1] for n in range(world.nodes[901].chain.safe)]
        assert not world.nodes[901].chain.safe
    world.twist.clear()
    await world.read_all()
    await world.require_truth()


@pytest.mark.parametrize("lie", LIES)
def test_a_word_that_cannot_be_true_is_not_taken(lie: str, tmp_path: Path) -> None:
    """An end against a leg that fails here, votes that omit or invent: refused, said so, and asked for again."""
    failing_chain, twist = LIES[lie]

    async def main() -> None:
        world = await World(tmp_path, chains=(901, 902)).begin()
        with capture_logs() as logs:
            await through_lies(world, twist, failing_chain)
        refused = [entry for entry in logs if entry["event"] == "derivation.word_refused"]
        assert {902} == {entry["rollup"] for entry in refused if entry["rollup"] == 902}
        world.close()

    run_virtual(main())


@pytest.mark.parametrize(
    ("rule", "lie"),
    [("refuses", "it omits the bundle"), ("told end", "nothing was left out")],
)
def test_each_rule_is_missed_when_it_is_taken_out(rule: str, lie: str, tmp_path: Path) -> None:
    """Without looking at votes, or at ends, half a bundle is safe."""

    async def believe(*arguments: Any) -> tuple[frozenset[str], str]:
        (end, *_) = arguments[3]
        return end, ""

    failing_chain, twist = LIES[lie]

    async def main() -> None:
        world = await World(tmp_path, chains=(901, 902)).begin()
        try:
            with pytest.raises(AssertionError):
                await through_lies(world, twist, failing_chain)
        finally:
            world.close()

    credulous = (
        patch.object(Shared, "refuses", lambda *_: "")
        if rule == "refuses"
        else patch.object(Joint, "_told_end", believe)
    )
    with credulous:
        run_virtual(main())


def test_one_liar_among_honest_rollups_deceives_nobody(tmp_path: Path) -> None:
    """It tells that nothing was left out, of a slot of which a bundle fails on a third rollup: whose vote says otherwise."""

    async def main() -> None:
        world = await World(tmp_path).begin()
        await world.decide(
            [world.bundle([(901, GOOD), (902, GOOD)]), world.bundle([(901, GOOD), (903, FAILING)])]
        )
        world.l1.mine(world.sequencer.publish())
        world.twist[902] = lambda _: Word(settled=frozenset())
        for _ in range(4):
            for chain in world.chains:
                await world.read(chain)
            assert [0, 0] == [world.nodes[chain].chain.safe for chain in (901, 903)]
        world.twist.clear()
        await world.read_all()
        await world.require_truth()
        world.close()

    run_virtual(main())


def any_bundles(rng: random.Random, liar: int) -> list[list[tuple[int, Program]]]:
    """Some, over some rollups, of which some legs fail; none of the liar's, for of those nobody else knows."""
    return [
        [
            (chain, rng.choice([GOOD, GOOD if chain == liar else FAILING]))
            for chain in rng.sample(CHAINS, rng.randint(1, 3))
        ]
        for _ in range(rng.randint(1, 3))
    ]


def test_whatever_one_liar_says_safe_is_the_truth() -> None:
    """Any slots, any liar, any lie of those above: what the others call safe is what the verifier finds, and all of it in the end."""

    async def main(folder: Path, rng: random.Random) -> None:
        world = await World(folder).begin()
        try:
            for _ in range(3):
                liar = rng.choice(CHAINS)
                await world.decide([world.bundle(legs) for legs in any_bundles(rng, liar)])
                world.l1.mine(world.sequencer.publish())
                world.twist = {liar: rng.choice(list(LIES.values()))[1]}
                for _ in range(4):
                    for chain in rng.sample(CHAINS, 3):
                        await world.read(chain)
                truth = await world.verified()
                for chain in set(CHAINS) - {liar}:
                    safe = world.safe(chain)
                    assert safe == [truth.hashes[chain][number + 1] for number in range(len(safe))]
            world.twist = {}
            await world.read_all()
            await world.require_truth()
        finally:
            world.close()

    for seed in range(20):
        with TemporaryDirectory() as folder:
            print(f"seed {seed}")  # noqa: T201 - the last one is the failing one
            run_virtual(main(Path(folder), random.Random(seed)))


def test_torn_bundles_are_never_mentioned(tmp_path: Path) -> None:
    """Whoever has the slot knows them: a liar with very many can't make questions and answers long."""

    def lie(slot: Slot) -> Slot:
        blocks = [
            replace(block, payload=replace(block.payload, bundles=block.payload.bundles[1:]))
            if block.chain_id == 902
            else block
            for block in slot.blocks
        ]
        return replace(slot, blocks=tuple(blocks))

    async def main() -> None:
        world = await World(tmp_path, chains=(901, 902)).begin()
        bundles = [world.bundle([(901, GOOD), (902, program)]) for program in (GOOD, FAILING, GOOD)]
        await world.decide(bundles, lie=lie)
        place = Place(len(world.l1.blocks), world.l1.mine(world.sequencer.publish()).info.hash)
        torn_one = bundles[0][901].bundle
        asked: list[frozenset[str]] = []
        plain = Joint.vote

        def vote(self: Joint, where: Place, slot: str, dropped: frozenset[str]) -> Word | None:
            asked.append(dropped)
            return plain(self, where, slot, dropped)

        with patch.object(Joint, "vote", vote):
            await world.read_all()
        assert asked
        assert not [dropped for dropped in asked if torn_one in dropped]
        ((name, (where, end)),) = world.joints[901]._ends.items()
        assert (place, frozenset({bundles[1][901].bundle})) == (where, end)
        assert Word(settled=end) == world.joints[902].vote(place, name, frozenset())
        await world.require_truth()
        world.close()

    run_virtual(main())


class Timed(ToyReader):
    """A follower that notes when each change was asked for."""

    def __init__(self, l1: ToyL1) -> None:
        super().__init__(l1)
        self.times: list[float] = []

    async def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """As L1, with the time of each."""
        async for change in super().changes():
            yield change
            self.times.append(asyncio.get_running_loop().time())


def test_a_node_that_hangs_does_not_hold_up_the_reading_of_l1(tmp_path: Path) -> None:
    """Its word is missing, so nothing of the slot is safe; L1 is read on at once, and others are heard meanwhile."""

    async def main() -> None:
        world = await World(tmp_path).begin()
        world.hung = {902}
        await world.decide([world.bundle([(901, GOOD), (902, GOOD)])])
        world.l1.mine(world.sequencer.publish())
        for _ in range(20):
            world.l1.mine()
        timed = Timed(world.l1)
        began = asyncio.get_running_loop().time()
        node = world.nodes[901]
        derivation = Derivation(rules(WINDOW, world.chains))
        world.lives[901] = LiveDerivation(node.chain, 901, derivation, world.joints[901], timed, lambda: None)
        await world.read(901)
        assert len(world.l1.blocks) == len(timed.times)
        assert max(timed.times) - began < ASK_S / 20
        assert 0 == node.chain.safe
        world.hung.clear()
        await world.read_all()
        await world.require_truth()
        world.close()

    run_virtual(main())


def test_a_rollup_that_is_back_is_heard_though_another_hangs(tmp_path: Path) -> None:
    """Everybody is asked at once: two words that are there do not wait for a third that never comes."""

    async def main() -> None:
        world = await World(tmp_path).begin()
        world.hung = {903}
        await world.decide([world.bundle([(901, GOOD), (902, GOOD), (903, GOOD)])])
        world.l1.mine(world.sequencer.publish())
        await world.read(902)
        reading = asyncio.ensure_future(world.read(901))
        await asyncio.sleep(ASK_S / 10)
        ((_, rounds),) = world.joints[901]._rounds.items()
        assert {902} == rounds.words.keys()
        await reading
        world.hung.clear()
        await world.read_all()
        await world.require_truth()
        world.close()

    run_virtual(main())


async def test_a_forged_hash_stops_nobody(tmp_path: Path) -> None:
    """An honest payload with another hash, told and published: refused, derived from L1, named once, and the chain goes on."""
    world = await World(tmp_path, chains=(901, 902)).begin()

    def lie(slot: Slot) -> Slot:
        forged = replace(slot.blocks[0], hash=STRANGE, state_root=STRANGE)
        return replace(slot, blocks=(forged, *slot.blocks[1:]))

    world.down = {901}
    (block, _) = await world.decide([world.bundle([(901, GOOD), (902, GOOD)])], lie=lie)
    world.down.clear()
    node = world.nodes[901]
    for parent in (node.chain.gate.hash, None):
        with pytest.raises(NotNext, match="decided as"):
            await node.commit(replace(block, hash=STRANGE), parent=parent)
    with pytest.raises(NotNext, match="decided as"):
        await node.commit(replace(block, state_root=STRANGE))
    assert 0 == node.chain.gate.number
    world.l1.mine(world.sequencer.publish())
    await world.read_all()
    assert (block.hash, 1) == (node.chain.gate.hash, node.chain.safe)
    with pytest.raises(NotNext, match="committed here"):
        await node.commit(replace(block, hash=STRANGE))
    (told,) = [event for event in node.journal.events if event.event == "claim.false"]
    assert (1, STRANGE, block.hash) == tuple(told.attrs[key] for key in ("block", "claimed", "derived"))
    assert not [event for event in world.nodes[902].journal.events if event.event == "claim.false"]
    await world.decide([])
    assert 2 == node.chain.gate.number
    world.l1.mine(world.sequencer.publish())
    await world.read_all()
    await world.require_truth()
    findings = (await world.verified()).findings
    assert {("block hash", 1), ("state root", 1)} == {(found.what, found.block) for found in findings}
    world.close()


async def test_every_failing_leg_is_named(tmp_path: Path) -> None:
    """By the nodes and by the verifier: which legs, where, why; of very many the first, with how many there are."""
    world = await World(tmp_path).begin()
    await world.decide([world.bundle([(901, FAILING), (902, GOOD), (903, FAILING), (902, FAILING)])])
    world.l1.mine(world.sequencer.publish())
    with capture_logs() as logs:
        await world.read_all()
    reasons = [entry["reason"] for entry in logs if entry["event"] == "derivation.false_commit"]
    assert 3 == len(reasons)
    for reason in reasons:
        for leg, chain in ((0, 901), (2, 903), (3, 902)):
            assert f"leg {leg} on chain {chain} is failed (toy revert of " in reason
        assert "leg 1 " not in reason
    (finding,) = [found for found in (await world.verified()).findings if found.what == "bundle"]
    assert f"{reasons[0]}, so the bundle has no effect" == finding.derived
    many = [LegResult(leg, 901, "failed") for leg in range(REASONS + 3)]
    assert failing(many).endswith(f"leg {REASONS - 1} on chain 901 is failed; and 3 more")
    world.close()


async def test_a_liar_can_not_have_very_many_legs_explained(tmp_path: Path) -> None:
    """A trace takes its time, and derivation waits for it: nodes and verifier ask for a few in all."""
    world = await World(tmp_path, chains=(901, 902)).begin()
    world.down = {901}
    await world.decide([world.bundle([(901, FAILING), (902, GOOD)]) for _ in range(2 * REASONS)])
    world.down.clear()
    world.l1.mine(world.sequencer.publish())
    asked: list[str] = []
    plain = ToyEngine.explain

    async def explain(self: ToyEngine, transaction: str) -> tuple[str, str]:
        asked.append(transaction)
        return await plain(self, transaction)

    with patch.object(ToyEngine, "explain", explain):
        await world.read(901)
        assert REASONS == len(asked)
        asked.clear()
        verifier = Verifier(rules(WINDOW, (901, 902)), {chain: ToyEngine() for chain in (901, 902)})
        await verifier.start()
        for block in world.l1.blocks:
            await verifier.add(block)
        assert REASONS == len(asked)
    await world.read_all()
    await world.require_truth()
    world.close()


async def survives_lost_tails(folder: Path) -> None:
    """The machine dies at any time and takes any part of the log's end with it, and none of the small files: no half bundle is safe."""
    world = await World(folder, chains=(901, 902)).begin()
    await world.decide([])
    await halved(world, 902)
    world.l1.finalized = len(world.l1.blocks) - 1
    world.l1.mine()
    await world.read_all()
    world.l1.finalized = len(world.l1.blocks) - 1
    world.l1.mine()
    await world.read_all()
    assert 2 == world.nodes[901].chain.finalized
    truth = await world.verified()
    for chain in (901, 902):
        log = folder / str(chain) / "blocks.log"
        content = log.read_bytes()
        files = {path: path.read_bytes() for path in log.parent.iterdir() if path != log}
        lines = content.splitlines(keepends=True)
        ends = {sum(map(len, lines[:count])) for count in range(len(lines) + 1)}
        for cut in sorted(ends | {end - 3 for end in ends if end}):
            log.write_bytes(content[:cut])
            for path, held in files.items():
                path.write_bytes(held)
            await world.start(chain)
            heads, safe = world.nodes[chain].chain.heads, world.safe(chain)
            assert heads.finalized <= heads.safe <= heads.latest
            assert safe == [truth.hashes[chain][number + 1] for number in range(len(safe))]
            await world.read_all()
            await world.require_truth()
            assert 2 == world.nodes[chain].chain.finalized
    world.close()


async def test_a_lost_tail_brings_back_no_half_of_a_bundle(tmp_path: Path) -> None:
    """What the log says was judged is all that is safe and final after a restart; the rest is judged again."""
    await survives_lost_tails(tmp_path)


async def test_small_files_alone_would_bring_it_back(tmp_path: Path) -> None:
    """Without the log's own word on what was judged a promise that L1 contradicted is final again."""
    plain = Store.blocks

    def blocks(self: Store) -> Any:
        found = plain(self)
        self.judged = 10**9
        return found

    with patch.object(Store, "blocks", blocks), pytest.raises(AssertionError):
        await survives_lost_tails(tmp_path)


async def test_the_journal_of_a_node_says_nothing_of_honest_claims(tmp_path: Path) -> None:
    """No lie, no word of one, over restarts too."""
    world = await World(tmp_path, chains=(901, 902)).begin()
    for _ in range(3):
        await world.decide([world.bundle([(901, GOOD), (902, GOOD)])])
        world.l1.mine(world.sequencer.publish())
    await world.read_all()
    await world.start(901)
    await world.read_all()
    for node in world.nodes.values():
        assert not [event for event in node.journal.events if event.event == "claim.false"]
    world.close()
