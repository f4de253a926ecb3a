"""Recovery of a node: checkpoint, own store, and what is missing from the log; whatever is broken costs time, not truth."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.wire.slot import Block
from rollup_node.errors import Diverged, EngineFailed
from rollup_node.store import Store
from rollup_node.testing import Decided, Node, payload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The node's data folder."""
    return tmp_path / "data"


@pytest.fixture
async def node(folder: Path) -> Any:
    """A fresh node at genesis."""
    made = await Node(folder).begin()
    yield made
    made.close()


async def _history(folder: Path, heights: Iterator[int] | range, checkpoint_at: set[int]) -> Decided:
    """A node that lived through some blocks and was killed."""
    node, decided = await Node(folder).begin(), Decided()
    for height in heights:
        await node.commit(await decided.decide(payload(height)))
        if height in checkpoint_at:
            await node.chain.checkpoint()
    await node.stage(payload(99))
    node.close()
    return decided


@pytest.mark.parametrize("checkpoints", [set(), {3}, {2, 4}, {1, 3, 5}, {6}])
async def test_recovery_continues_where_the_node_was(folder: Path, checkpoints: set[int]) -> None:
    """From genesis or from the newest checkpoint, the node's own store brings it back; only the blocks after it are executed."""
    decided = await _history(folder, range(1, 7), checkpoints)
    again = await Node(folder).begin()
    assert decided.blocks[-1].hash == again.chain.gate.hash
    assert 6 - max(checkpoints, default=0) == again.engine.executions == again.chain.replayed
    assert again.at_gate()
    recovered = again.journal.events[-1]
    assert {
        "checkpoint": max(checkpoints, default=0),
        "replayed": again.engine.executions,
        "head": 6,
    } == recovered.attrs
    assert ["node.recovered"] == [event.event for event in again.journal.events]
    assert min(2, len(checkpoints)) == len(again.store.checkpoints())
    await again.commit(await decided.decide(payload(7)))
    assert decided.blocks == list(again.store.blocks())
    again.close()


@pytest.mark.parametrize("damage", [b"", b"garbage", b'[{"number":5}', "another block"])
async def test_a_broken_checkpoint_falls_back_to_the_one_before(folder: Path, damage: bytes | str) -> None:
    """Unreadable or of another block: it is dropped, and recovery goes on with an older one, or from genesis."""
    decided = await _history(folder, range(1, 7), {2, 5})
    newest, older = Store(folder).checkpoints()
    newest.path.write_bytes(older.path.read_bytes() if isinstance(damage, str) else damage)
    again = await Node(folder).begin()
    assert (decided.blocks[-1].hash, 4) == (again.chain.gate.hash, again.engine.executions)
    assert not newest.path.exists()
    again.close()
    older.path.write_bytes(b"{")
    last = await Node(folder).begin()
    assert (decided.blocks[-1].hash, 6) == (last.chain.gate.hash, last.engine.executions)
    last.close()


async def test_a_checkpoint_of_a_block_that_was_replaced_does_not_count(folder: Path) -> None:
    """Killed between taking a block back and deleting its checkpoint: another block stands there, and it is the one that counts."""
    decided = await _history(folder, range(1, 5), {2, 4})
    stale = Store(folder).checkpoints()[0]
    state = stale.path.read_bytes()
    node = await Node(folder).begin()
    await node.chain.rewind(4, None)
    with pytest.raises(EngineFailed):
        await node.chain.rewind(3, decided.blocks[2].hash)
    node.close()
    node = await Node(folder).begin()
    other = await decided.on(decided.blocks[:3], payload(4, 1))
    await node.commit(other)
    node.close()
    stale.path.write_bytes(state)
    again = await Node(folder).begin()
    assert (other.hash, 2) == (again.chain.gate.hash, again.engine.executions)
    assert not stale.path.exists()
    again.close()


async def test_a_store_with_a_hole_is_used_up_to_the_hole(folder: Path) -> None:
    """What is missing comes from the sequencer's log, and after that the store is whole again."""
    decided = await _history(folder, range(1, 7), set())
    lines = (folder / "blocks.log").read_bytes().splitlines(keepends=True)
    (folder / "blocks.log").write_bytes(b"".join([*lines[:2], *lines[3:]]))
    again = await Node(folder).begin()
    assert (2, decided.blocks[1].hash) == (again.chain.gate.number, again.chain.gate.hash)
    for block in decided.blocks[2:]:
        await again.commit(block, recovered=True)
    again.close()
    whole = await Node(folder).begin()
    assert (decided.blocks[-1].hash, 6) == (whole.chain.gate.hash, whole.engine.executions)
    whole.close()


async def test_a_stored_block_that_executes_differently_stops_the_node(folder: Path) -> None:
    """Its own history must come out the same, or nothing may be served."""
    decided = await _history(folder, range(1, 3), set())
    store = Store(folder)
    store.append(Block(901, 3, decided.blocks[0].hash, decided.blocks[0].state_root, payload(3)))
    store.close()
    node = Node(folder)
    with pytest.raises(Diverged):
        await node.begin()
    node.close()


async def test_control_methods_survive_a_restart(node: Node, folder: Path) -> None:
    """What a control method changes is in no block, so it is stored at once and the next life builds on it."""
    decided = Decided()
    await node.commit(await decided.decide(payload(1)))
    await node.stage(payload(2))
    await node.chain.mutate("anvil_setCell", [7, 9])
    assert node.at_gate()
    again = await Node(folder).begin()
    assert 9 == again.engine.blocks[-1].cells[7]
    again.close()
