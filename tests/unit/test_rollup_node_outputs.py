"""Outputs: what is proposed of a block is that block's, whatever became of the file, the node or the block meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import PeerUnreachable
from bridge.wire.slot import Block
from rollup_node.chain import Chain
from rollup_node.errors import EngineFailed
from rollup_node.outputs import Output, Outputs, read_output
from rollup_node.recovery import recover
from rollup_node.testing import Decided, Node, ToyEngine, payload

INTERVAL = 3


class Proposing:
    """A node that notes outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.decided = folder, Decided()
        self.node: Node
        self.outputs: Outputs

    @property
    def path(self) -> Path:
        """Where outputs are kept."""
        return self.folder / "outputs.log"

    async def begin(self) -> "Proposing":
        """The node's next life."""
        self.node = Node(self.folder)
        self.outputs = Outputs(self.node.engine, self.path, INTERVAL)
        self.node.chain = await recover(
            self.node.engine, self.node.store, self.node.journal, [self.outputs.note]
        )
        return self

    async def again(self) -> None:
        """Killed and started."""
        self.node.close()
        await self.begin()

    async def commit(self, height: int, account: int = 0) -> Block:
        """The next block, one of several."""
        block = await self.decided.on(self.node.store.blocks(), payload(height, account))
        await self.node.commit(block)
        return block

    async def expected(self) -> dict[int, Output]:
        """Of every due block, from an engine that executed the stored chain."""
        fresh, found = Decided(), {}
        for block in self.node.store.blocks():
            await fresh.decide(block.payload)
            if block.number % INTERVAL == 0:
                found[block.number] = await read_output(fresh.engine, fresh.engine.blocks[-1].header)
        return found

    def noted(self) -> dict[int, Output]:
        """What would be proposed."""
        found = {number: self.outputs.at(number) for number in range(1, self.node.chain.gate.number + 1)}
        return {number: output for number, output in found.items() if output is not None}


@pytest.fixture
async def proposing(tmp_path: Path) -> AsyncIterator[Proposing]:
    """A fresh node."""
    made = await Proposing(tmp_path / "data").begin()
    yield made
    made.node.close()


async def test_due_blocks_are_noted_and_survive_the_engines_history(proposing: Proposing) -> None:
    """Every interval-th block, before it is served; after a restart from a checkpoint, too, where the engine has no old states."""
    for height in range(1, 8):
        block = await proposing.commit(height)
        assert (block.hash if height % INTERVAL == 0 else None) == getattr(
            proposing.outputs.at(height), "block_hash", None
        )
    await proposing.node.chain.checkpoint()
    expected = await proposing.expected()
    assert ([3, 6], expected) == (sorted(expected), proposing.noted())
    await proposing.again()
    assert (7, expected) == (proposing.node.engine.floor, proposing.noted())


async def test_a_torn_file_costs_nothing(proposing: Proposing) -> None:
    """Cut at any byte, or with rubbish at its end: what the replayed blocks give is noted again, and only that."""
    for height in range(1, 8):
        await proposing.commit(height)
    whole, expected = proposing.path.read_bytes(), await proposing.expected()
    for damage in (
        *(whole[:cut] for cut in range(len(whole))),
        whole + b"{}\n",
        whole + b"[1",
        whole + b"\n",
    ):
        proposing.path.write_bytes(damage)
        await proposing.again()
        assert (expected, whole) == (proposing.noted(), proposing.path.read_bytes())
    await proposing.again()
    assert whole == proposing.path.read_bytes(), "what is known is not noted twice"


async def test_a_block_is_not_committed_without_its_output(
    proposing: Proposing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine dies before it told the output: the block is not there yet, and the next life makes both."""

    async def silent(self: ToyEngine, method: str, params: object) -> None:
        raise PeerUnreachable("gone")

    for height in (1, 2):
        await proposing.commit(height)
    with monkeypatch.context() as patch:
        patch.setattr(ToyEngine, "request", silent)
        with pytest.raises(EngineFailed, match="no output of block 3"):
            await proposing.commit(3)
    assert (2, 2) == (proposing.node.chain.gate.number, len(proposing.node.store.blocks()))
    await proposing.again()
    await proposing.commit(3)
    assert await proposing.expected() == proposing.noted()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, 3)),
        st.tuples(st.just("commit"), st.integers(0, 3)),
        st.tuples(st.just("derive"), st.integers(1, 20)),
        st.tuples(st.just("rewind"), st.integers(0, 20)),
        st.tuples(st.just("checkpoint"), st.just(0)),
        st.tuples(st.just("crash"), st.integers(0, 400)),
    ),
    max_size=30,
)


async def _step(proposing: Proposing, what: str, value: int) -> None:
    """One thing that happens to a node."""
    chain: Chain = proposing.node.chain
    head = chain.gate.number
    match what:
        case "commit":
            await proposing.commit(head + 1, value)
        case "derive" if head:
            number = 1 + value % head
            await chain.derive(901, number, payload(number, 4 + value % 3))
        case "rewind" if head >= chain.safe:
            await chain.rewind(max(chain.safe, head - value % (head + 1)), None)
        case "checkpoint":
            await chain.checkpoint()
        case "crash":
            held = proposing.path.read_bytes() if proposing.path.exists() else b""
            # outputs of blocks that are replayed may be lost with the crash; those of older ones were there long before
            if not proposing.node.store.checkpoints():
                proposing.path.write_bytes(held[: max(0, len(held) - value)])
            await proposing.again()


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_what_would_be_proposed_is_the_chains_own(steps: list[tuple[str, int]]) -> None:
    """Over any history of commits, replacements, rewinds, checkpoints and crashes: each due block's output, never a replaced block's."""

    async def main(folder: Path) -> None:
        proposing = await Proposing(folder).begin()
        for what, value in steps:
            try:
                await _step(proposing, what, value)
            except EngineFailed:  # further back than the engine goes
                await proposing.again()
            assert await proposing.expected() == proposing.noted()
        proposing.node.close()

    with TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))
