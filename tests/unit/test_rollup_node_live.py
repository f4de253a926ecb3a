"""Live derivation: the node's chain is what L1 says as far as L1 says anything, and its heads tell exactly how far that is."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.deposits import Deposit, encode_deposit
from bridge.wire.derivation import Derivation
from bridge.wire.keccak import to_hex
from bridge.wire.l1 import L1Block, Rewound
from bridge.wire.slot import Payload
from bridge.wire.testing import signed
from rollup_node.derivation.joint import Joint
from rollup_node.derivation.live import LiveDerivation
from rollup_node.derivation.testing import CHAINS, ToyL1, ToySequencer, derived, portal, rules
from rollup_node.errors import EngineFailed, NotNext
from rollup_node.testing import Node

OWN, OTHER = CHAINS
WINDOW = 4


class Watched:
    """A follower that tells what L1 tells and notes the node's heads between any two words of it."""

    def __init__(self, l1: ToyL1, node: Node) -> None:
        self._l1, self._node = l1, node
        self.seen: list[tuple[int, int]] = []
        self.limit = 10**6
        """Changes that are told; then there seem to be no more."""

    @property
    def finalized(self) -> int:
        """Number of L1's finalized block."""
        return self._l1.finalized

    async def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """As L1."""
        async for change in self._l1.changes():
            yield change
            heads = self._node.chain.heads
            self.seen.append((heads.safe, heads.finalized))
            if len(self.seen) >= self.limit:
                return


class Setting:
    """One node of the set, its derivation, L1 and the sequencer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.l1 = folder, ToyL1()
        self.sequencer = ToySequencer(self.l1, WINDOW)
        self.node: Node
        self.live: LiveDerivation
        self.watched: Watched
        self.changed = 0
        self._sent = 0

    async def begin(self) -> "Setting":
        """The node's next life."""
        self.node = await Node(self.folder).begin()
        self.l1.forget()
        self.watched = Watched(self.l1, self.node)
        joint = Joint(self.node.chain, OWN, {})
        derivation = Derivation(rules(WINDOW))
        self.live = LiveDerivation(self.node.chain, OWN, derivation, joint, self.watched, self._count)
        return self

    async def read(self) -> None:
        """The node reads L1 to its head."""
        await self.live.run(self.l1)  # type: ignore[arg-type]

    async def decide(self, heard: bool, chains: tuple[int, ...] = CHAINS) -> None:
        """One slot with a transaction on some rollups; the node hears of it or not."""
        self._sent += 1
        raws = {chain: [to_hex(signed(chain, self._sent, 0).raw)] for chain in chains}
        for block in await self.sequencer.slot(raws):
            if block.chain_id == OWN and heard:
                parent = self.sequencer.blocks[OWN][-2].hash if block.number > 1 else None
                try:
                    await self.node.commit(block, parent=parent)
                except NotNext:
                    return  # it missed one before

    def payloads(self) -> list[Payload]:
        """The node's chain."""
        return [block.payload for block in self.node.store.blocks()]

    def _count(self) -> None:
        self.changed += 1


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """A node that has read the first L1 block, and a sequencer that has begun."""
    made = await Setting(tmp_path / "data").begin()
    await made.sequencer.restart()
    await made.read()
    yield made
    made.node.close()


async def test_l1_confirms_what_the_node_has(setting: Setting) -> None:
    """The common case: nothing is executed again or changed, and what L1 (finalized L1) holds is safe (finalized)."""
    for _ in range(3):
        await setting.decide(heard=True)
    setting.l1.mine(setting.sequencer.publish())
    await setting.decide(heard=True)
    executions = setting.node.engine.executions
    await setting.read()
    assert (executions, 0, 4, 3, 0) == (
        setting.node.engine.executions,
        setting.changed,
        setting.node.chain.gate.number,
        setting.node.chain.heads.safe,
        setting.node.chain.heads.finalized,
    )
    setting.l1.finalized = 1
    setting.l1.mine()
    await setting.read()
    assert (3, 3) == setting.watched.seen[-1]


async def test_l1_adds_what_the_node_never_heard_of(setting: Setting) -> None:
    """A batch of blocks that were never told: they are executed, safe at once, and whoever follows the log is woken."""
    for _ in range(3):
        await setting.decide(heard=False)
    setting.l1.mine(setting.sequencer.publish())
    await setting.read()
    assert [block.hash for block in setting.sequencer.blocks[OWN]] == [
        block.hash for block in setting.node.store.blocks()
    ]
    assert (3, 3) == (setting.node.chain.safe, setting.changed)


async def test_a_window_without_a_batch_forces_deposits_in(setting: Setting) -> None:
    """A silent sequencer holds no deposit back: the node's own promises go, blocks with the deposits come, and a late word is refused."""
    raw = encode_deposit(Deposit(bytes(32), b"\x01" * 20, b"\x02" * 20, 7, 0, 21_000, False, b""))
    setting.l1.mine(deposits={portal(OWN): (to_hex(raw),), portal(OTHER): ()})
    await setting.decide(heard=True)
    promised = setting.node.store.blocks()
    assert 1 == len(promised)
    for _ in range(WINDOW + 1):
        setting.l1.mine()
    await setting.read()
    payloads = setting.payloads()
    assert [block.info.number for block in setting.l1.blocks[1:]] == [p.origin.number for p in payloads]
    assert to_hex(raw) == payloads[0].deposits[1]
    assert all(not payload.transactions for payload in payloads)
    assert len(payloads) == setting.node.chain.safe == setting.node.chain.gate.number
    with pytest.raises(NotNext, match="L1 holds another"):
        await setting.node.commit(promised[0])


@pytest.mark.parametrize("depth", range(-1, 4))
async def test_an_l1_reorganisation_of_any_depth_is_followed(setting: Setting, depth: int) -> None:
    """Batches that are gone are not safe any more, at once; what the new L1 holds replaces what it contradicts."""
    for _ in range(3):
        await setting.decide(heard=True)
        setting.l1.mine(setting.sequencer.publish())
    await setting.read()
    before = setting.payloads()
    assert (3, 3) == (len(before), setting.node.chain.safe)

    setting.l1.reorganise(depth)
    if depth < 3:
        setting.l1.mine()
    setting.watched.seen.clear()
    await setting.read()
    kept = max(depth, 0)
    assert (before, kept) == (setting.payloads(), setting.node.chain.safe)
    assert {(kept, 0)} >= set(setting.watched.seen)

    await setting.sequencer.restart()
    await setting.decide(heard=False)
    setting.l1.mine(setting.sequencer.publish())
    await setting.read()
    expected, _ = derived(setting.l1, WINDOW, OWN)
    assert expected == setting.payloads()
    assert kept + 1 == len(expected) == setting.node.chain.safe


async def test_heads_stand_while_a_restarted_node_reads_l1_again(setting: Setting) -> None:
    """Safe and finalized are those of the last life from the first moment on; they go up when L1 has more, never back."""
    for _ in range(6):
        await setting.decide(heard=True)
        setting.l1.mine(setting.sequencer.publish())
    setting.l1.finalized = 4
    await setting.read()
    assert (6, 4) == setting.watched.seen[-1]
    setting.node.close()
    await setting.begin()
    heads = setting.node.chain.heads
    assert (6, 4) == (heads.safe, heads.finalized)
    setting.l1.finalized = 5
    await setting.decide(heard=False)
    setting.l1.mine(setting.sequencer.publish())
    await setting.read()
    assert sorted(setting.watched.seen) == setting.watched.seen
    assert ((6, 4), (7, 5)) == (setting.watched.seen[0], setting.watched.seen[-1])


async def test_a_reorganisation_while_the_node_was_away_is_found(setting: Setting) -> None:
    """What L1 lost meanwhile is not safe once L1 has been read; what it replaced is replaced."""
    for _ in range(4):
        await setting.decide(heard=True)
        setting.l1.mine(setting.sequencer.publish())
    await setting.read()
    setting.node.close()
    setting.l1.reorganise(2)
    await setting.begin()
    assert 4 == setting.node.chain.safe
    await setting.read()
    assert (4, 2) == (setting.node.chain.gate.number, setting.node.chain.safe)
    setting.l1.mine()
    await setting.sequencer.restart()
    await setting.decide(heard=False)
    setting.l1.mine(setting.sequencer.publish())
    await setting.read()
    assert (3, 3) == (setting.node.chain.gate.number, setting.node.chain.safe)


async def test_l1_that_became_shorter_meanwhile_is_all_there_is_to_read(setting: Setting) -> None:
    """It was reorganised while a restarted node read it: the node has caught up at the new head, not at the old height."""
    for _ in range(6):
        await setting.decide(heard=True)
        setting.l1.mine(setting.sequencer.publish())
    await setting.read()
    setting.node.close()
    await setting.begin()
    setting.watched.limit = 5
    await setting.read()
    assert {(6, 0)} == set(setting.watched.seen)
    setting.l1.reorganise(2)
    setting.watched.limit = 10**6
    await setting.read()
    assert (6, 2) == (setting.node.chain.gate.number, setting.node.chain.safe)


async def test_no_word_of_l1s_height_holds_the_heads(setting: Setting) -> None:
    """While L1 doesn't say how far it goes, nothing can be said to be caught up: heads stand, and move with the next block."""
    setting.node.close()
    await setting.begin()
    await setting.decide(heard=False)
    setting.l1.mine(setting.sequencer.publish())
    setting.l1.finalized, setting.l1.down = 1, True
    await setting.read()
    assert [(0, 0), (1, 0)] == setting.watched.seen
    setting.l1.down = False
    setting.l1.mine()
    await setting.read()
    assert (1, 1) == setting.watched.seen[-1]


async def _step(setting: Setting, what: str, value: Any) -> None:
    """One thing that happens, to L1, to the sequencer or to the node."""
    l1 = setting.l1
    match what:
        case "decide":
            await setting.decide(*value)
        case "publish":
            data = setting.sequencer.publish()
            l1.mine(*([data] if value else []))  # or it never gets there, and nothing after it counts
        case "mine":
            l1.finalized += value // 2
            for _ in range(value):
                l1.mine()
        case "reorganise":
            l1.reorganise(value)
            l1.mine()
        case "cancel":
            await setting.sequencer.restart()
        case "checkpoint":
            await setting.node.chain.checkpoint()
        case "restart":
            setting.node.close()
            await setting.begin()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.tuples(st.booleans(), st.sampled_from([CHAINS, (OWN,), (OTHER,)]))),
        st.tuples(st.just("publish"), st.sampled_from([True, True, False])),
        st.tuples(st.just("mine"), st.integers(1, 4)),
        st.tuples(st.just("reorganise"), st.integers(-1, 12)),
        st.tuples(st.sampled_from(["read", "restart", "checkpoint", "cancel"]), st.none()),
    ),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_whatever_happens_the_chain_is_what_l1_says_as_far_as_it_says_anything(
    steps: list[tuple[str, Any]],
) -> None:
    """Over any history: L1's blocks, then what the node had beyond them if L1 does not contradict it; safe and finalized are L1's."""

    async def read(setting: Setting) -> None:
        before = setting.payloads()
        try:
            await setting.read()
        except (
            EngineFailed
        ):  # L1 replaced what lies before a restored checkpoint: the node's next life does it
            await _step(setting, "restart", None)
            await setting.read()
        held, counts = derived(setting.l1, WINDOW, OWN)
        expected = before if before[: len(held)] == held else held
        assert expected == setting.payloads()
        final = counts[min(setting.l1.finalized, len(counts) - 1)]
        heads = setting.node.chain.heads
        assert (len(expected), len(held), final) == (heads.latest, heads.safe, heads.finalized)

    async def main(folder: Path) -> None:
        setting = await Setting(folder).begin()
        await setting.sequencer.restart()
        for what, value in [*steps, ("read", None)]:
            await _step(setting, what, value)
            if what == "read":
                await read(setting)
                await setting.sequencer.restart()
        setting.node.close()

    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
