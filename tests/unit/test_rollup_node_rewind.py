"""Going back: replaced and cancelled blocks at any depth, cut short at any step, and batches that claim what is not so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.testing import Op
from rollup_node import chain as chain_module
from rollup_node.errors import EngineFailed
from rollup_node.testing import Decided, Node, payload

FAILING = ((Op.NEED, 0, 1),)
"""A program that reverts."""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A fresh node at genesis."""
    made = await Node(tmp_path / "data").begin()
    yield made
    made.close()


async def test_l1_replaces_more_than_the_engine_can_undo(node: Node) -> None:
    """Deeper than the engine goes back in place: the node starts over, from a checkpoint that still counts, and then follows L1."""
    decided = Decided()
    depth = chain_module.LONGEST_ROLLBACK + 2
    for height in range(1, 11 + depth):
        await node.commit(await decided.decide(payload(height)))
        if height in (5, 100):
            await node.chain.checkpoint()
    with pytest.raises(EngineFailed, match=f"back {depth} blocks to 10"):
        await node.chain.derive(901, 11, payload(11, 1))
    again = await Node(node.folder).begin()
    assert (10, 5) == (again.chain.gate.number, again.engine.executions)
    assert decided.blocks[:10] == again.store.blocks()
    assert [5] == [checkpoint.number for checkpoint in again.store.checkpoints()]
    assert not await again.chain.derive(901, 11, payload(11, 1))
    assert (11, 11) == (again.chain.gate.number, again.chain.safe)
    again.close()


async def test_a_false_commit_is_confirmed_again_after_a_restart(tmp_path: Path) -> None:
    """A batch claims a bundle that fails: the block is made without it, and the same batch read again changes nothing."""
    claim = payload(1, 0, FAILING, bundled=True)
    for moment in ("at first", "after a restart", "after a restart from a checkpoint"):
        node = await Node(tmp_path).begin()
        for _ in range(2):
            assert not await node.derive(1, claim), moment
        assert [()] == [block.payload.bundles for block in node.store.blocks()]
        if moment == "after a restart":
            await node.chain.checkpoint()
        node.close()


@given(
    st.sampled_from(["derive", "rewind"]),
    st.integers(0, 4),
    st.integers(0, 40),
    st.sampled_from([None, 3, 5]),
)
@settings(max_examples=250, deadline=None)
def test_a_change_that_is_cut_short_happened_or_did_not(
    kind: str, number: int, steps: int, checkpoint: int | None
) -> None:
    """Cancel a replacement or a rewind after any step: gate and store tell the same chain, and the next request finds or finishes it."""

    async def main(folder: Path) -> None:
        node, decided = await Node(folder).begin(), Decided()
        for height in range(1, 6):
            await node.commit(await decided.decide(payload(height)))
            if height == checkpoint:
                await node.chain.checkpoint()
        if checkpoint is not None:
            node.close()
            node = await Node(folder).begin()

        def change() -> Coroutine[Any, Any, Any]:
            if kind == "derive":
                return node.chain.derive(901, number + 1, payload(number + 1, 1))
            return node.chain.rewind(number, None)

        task = asyncio.ensure_future(change())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, EngineFailed):
            await task
        stored = node.store.blocks()
        before = [block.payload for block in decided.blocks]
        after = [*before[:number], payload(number + 1, 1)]
        possible = [before, before[:number], *([after] if kind == "derive" else [])]
        assert [block.payload for block in stored] in possible
        try:
            await node.chain.greet(1)
            assert node.at_gate()
            assert [node.chain.gate.hash] == [block.hash for block in stored][-1:] or not stored
            await change()
        except EngineFailed:
            node.close()
            node = await Node(folder).begin()
            await change()
        finished = after if kind == "derive" else before[:number]
        assert finished == [block.payload for block in node.store.blocks()]
        assert (len(finished), True) == (node.chain.gate.number, node.at_gate())
        node.close()

    with TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
