"""How a node comes back: the newest usable checkpoint, then its own store; the sequencer's log and L1 have the rest."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog

from bridge.wire.crash_points import crash_point
from bridge.wire.journal import Journal
from bridge.wire.slot import Block, block_transactions
from rollup_node.chain import Chain
from rollup_node.engines.base import Engine, Header
from rollup_node.errors import EngineFailed
from rollup_node.store import Checkpoint, Store

log = structlog.get_logger()


async def recover(
    engine: Engine,
    store: Store,
    journal: Journal,
    before_commit: Sequence[Callable[[Header], Awaitable[None]]] = (),
) -> Chain:
    """Build the chain of a node that starts.

    Args:
        engine: not started yet.
        store: the node's files.
        journal: told of the recovery.
        before_commit: run for each block that is executed, replayed ones included.

    Raises:
        EngineFailed: the engine does not come up.
        Diverged: a stored block executes differently.
    """
    stored = _whole(store.blocks())
    gate = await _restored(engine, store, stored)
    crash_point("rollup.boot.restored")
    chain = Chain(engine, store, journal, gate)
    present = [block for block in stored.values() if block.number <= gate.number]
    following = [block for block in stored.values() if block.number > gate.number]
    await engine.learn({block.number: block_transactions(block.payload, block.number) for block in present})
    chain.remember(present, store.claims)
    chain.before_commit += before_commit
    await chain.replay(following)
    crash_point("rollup.boot.replayed")
    chain.settle(store.safe, store.finalized)
    journal.emit("node.recovered", checkpoint=gate.number, replayed=len(following), head=chain.gate.number)
    return chain


def _whole(blocks: Sequence[Block]) -> dict[int, Block]:
    """Stored blocks from the first up to a hole, by number: the sequencer's log has the rest."""
    whole: dict[int, Block] = {}
    for block in blocks:
        if block.number != len(whole) + 1:
            break
        whole[block.number] = block
    return whole


async def _restored(engine: Engine, store: Store, stored: Mapping[int, Block]) -> Header:
    """Start the engine, from the newest checkpoint that is whole and of a block that counts; else from genesis."""
    gate = await engine.start()
    for checkpoint in store.checkpoints():
        if not _counts(checkpoint, gate, stored):
            log.warning("checkpoint.unusable", path=checkpoint.path.name, error="its block does not count")
            checkpoint.path.unlink(missing_ok=True)
            crash_point("rollup.checkpoint.refused")
            continue
        try:
            restored = await engine.restore(checkpoint.path)
        except (EngineFailed, OSError) as exc:
            log.warning("checkpoint.unusable", path=checkpoint.path.name, error=str(exc))
        else:
            if (restored.number, restored.hash) == (checkpoint.number, checkpoint.hash):
                return restored
            log.warning("checkpoint.unusable", path=checkpoint.path.name, found=restored.hash)
        await engine.stop()
        gate = await engine.start()
        checkpoint.path.unlink(missing_ok=True)
    return gate


def _counts(checkpoint: Checkpoint, genesis: Header, stored: Mapping[int, Block]) -> bool:
    if checkpoint.number == genesis.number:
        return checkpoint.hash == genesis.hash
    block = stored.get(checkpoint.number)
    return block is not None and block.hash == checkpoint.hash
