"""A toy sequencing set of three rollups with a node for each, and a sequencer that says anything: for tests of joint derivation."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from bridge.wire.bundle import decode_bundle
from bridge.wire.derivation import Derivation
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.slot import Block, BundlePart, Slot
from bridge.wire.testing import Op, Program, signed
from rollup_node.derivation.joint import ASK_S, Joint
from rollup_node.derivation.live import LiveDerivation
from rollup_node.derivation.testing import DEADLINE, SALT, ToyL1, ToyReader, ToySequencer, rules
from rollup_node.derivation.verifier import Verified, Verifier
from rollup_node.derivation.votes import Place, Word
from rollup_node.errors import EngineFailed, NotNext
from rollup_node.testing import Node, ToyEngine

CHAINS = (901, 902, 903)
WINDOW = 6
FAILING: Program = ((Op.NEED, 200, 1),)
"""A program that reverts: nobody adds to that cell."""
Parts = dict[int, list[BundlePart]]


@dataclass
class Wire:
    """Asks a node as another one does, through JSON."""

    world: "World"
    chain: int

    async def vote(self, place: Place, slot: str, dropped: frozenset[str]) -> Word | None:
        """None if the node is down, or this question is lost."""
        await asyncio.sleep(0)
        self.world.asked += 1
        if self.chain in self.world.down or self.world.lose():
            return None
        if self.chain in self.world.hung:
            await asyncio.sleep(ASK_S)
            return None
        word = self.world.joints[self.chain].vote(place, slot, dropped)
        if word is not None:
            word = Word.from_json(orjson.loads(orjson.dumps(word.to_json())))
        return self.world.twist.get(self.chain, _as_it_is)(word)


def _as_it_is(word: Word | None) -> Word | None:
    return word


@dataclass
class World:
    """An L1, a sequencer that says anything, and one node for each rollup."""

    folder: Path
    chains: Sequence[int] = CHAINS
    l1: ToyL1 = field(default_factory=ToyL1)
    nodes: dict[int, Node] = field(default_factory=dict)
    joints: dict[int, Joint] = field(default_factory=dict)
    lives: dict[int, LiveDerivation] = field(default_factory=dict)
    down: set[int] = field(default_factory=set)
    hung: set[int] = field(default_factory=set)
    """Nodes that take questions and answer none."""
    twist: dict[int, Callable[[Word | None], Word | None]] = field(default_factory=dict)
    """What nodes that lie make of their words."""
    asked: int = 0
    lose: Callable[[], bool] = field(default=lambda: False)
    accounts: int = 0

    async def begin(self) -> "World":
        """All nodes at genesis."""
        self.sequencer = ToySequencer(self.l1, WINDOW, self.chains)
        await self.sequencer.restart()
        for chain in self.chains:
            await self.start(chain)
        return self

    async def start(self, chain: int) -> None:
        """A node's next life."""
        if chain in self.nodes:
            self.nodes[chain].close()
        node = self.nodes[chain] = await Node(self.folder / str(chain)).begin()
        peers = {other: Wire(self, other) for other in self.chains if other != chain}
        joint = self.joints[chain] = Joint(node.chain, chain, peers)
        derivation = Derivation(rules(WINDOW, self.chains))
        self.lives[chain] = LiveDerivation(
            node.chain, chain, derivation, joint, ToyReader(self.l1), lambda: None
        )

    async def read(self, chain: int) -> None:
        """A node reads L1 to its head, and does what it can."""
        if chain in self.down:
            return
        try:
            await self.lives[chain].run(self.l1)  # type: ignore[arg-type]
        except EngineFailed:
            await self.start(chain)
            await self.lives[chain].run(self.l1)  # type: ignore[arg-type]

    async def read_all(self) -> None:
        """Until nobody waits for anybody: a slot takes a few rounds, an L1 block a few slots."""
        self.lose = lambda: False
        for chain in sorted(self.down):
            await self.start(chain)
        self.down.clear()
        for _ in range(200):
            for chain in self.chains:
                await self.read(chain)
            if all(not live.waits for live in self.lives.values()):
                return
        raise AssertionError("the nodes wait for each other for ever")

    def transaction(self, chain: int, program: Program = ((Op.ADD, 0, 1),)) -> str:
        """Of an account of its own."""
        self.accounts += 1
        return to_hex(signed(chain, self.accounts, 0, program).raw)

    def bundle(self, programs: Sequence[tuple[int, Program]]) -> dict[int, BundlePart]:
        """Parts by chain of a bundle whose legs are these programs."""
        legs = [(chain, self.transaction(chain, program)) for chain, program in programs]
        name = to_hex(decode_bundle([from_hex(raw) for _, raw in legs], DEADLINE, from_hex(SALT)).hash)
        parts = {}
        for chain in {chain for chain, _ in legs}:
            mine = [(index, raw) for index, (where, raw) in enumerate(legs) if where == chain]
            parts[chain] = BundlePart(name, tuple(i for i, _ in mine), tuple(raw for _, raw in mine))
        return parts

    async def decide(
        self,
        bundles: Sequence[Mapping[int, BundlePart]],
        heard: Sequence[bool] = (True, True, True),
        lie: Callable[[Slot], Slot] = lambda slot: slot,
    ) -> list[Block]:
        """A slot with these bundles and a transaction on each rollup, said to have committed them all."""
        parts: Parts = {chain: [b[chain] for b in bundles if chain in b] for chain in self.chains}
        plain = {chain: [self.transaction(chain)] for chain in self.chains}
        order = [part.bundle for bundle in bundles for part in list(bundle.values())[:1]]
        blocks = await self.sequencer.slot(plain, parts, order=order, lie=lie)
        for block, hears in zip(blocks, heard, strict=False):
            if hears and block.chain_id not in self.down:
                try:
                    await self.nodes[block.chain_id].commit(block, parent=None)
                except NotNext:
                    continue  # a lie that it sees, or it missed one before
        return blocks

    async def verified(self) -> Verified:
        """What L1 holds, by one process with all engines."""
        verifier = Verifier(rules(WINDOW, self.chains), {chain: ToyEngine() for chain in self.chains})
        await verifier.start()
        for block in self.l1.blocks:
            await verifier.add(block)
        return verifier.result

    def safe(self, chain: int) -> list[str]:
        """Hashes of a node's blocks up to the safe one."""
        node = self.nodes[chain]
        return [block.hash for block in node.store.blocks()[: node.chain.safe]]

    async def require_truth(self) -> None:
        """Everything that nodes call safe is what the verifier finds, and all of it."""
        truth = await self.verified()
        for chain in self.chains:
            derived = [hash_ for number, hash_ in sorted(truth.hashes[chain].items()) if number]
            assert derived == self.safe(chain), chain

    def close(self) -> None:
        """Files only."""
        for node in self.nodes.values():
            node.close()
