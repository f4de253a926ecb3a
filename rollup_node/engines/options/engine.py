"""The options engine behind the engine seam: the pure transition, a chain around it, and answers to reads. In the node's own process.

::

    execute ─► transition on the world ─► header ─► archive            rewind ─► undo log
    request ─► the world at the block that is asked for (travel) ─► reads
    checkpoint, restore ─► the state in one file; what came after it is executed again by the node

One piece of work at a time, in the order in which it is asked for. A large block, and reads that may take long, run in a thread, so that the
node answers others meanwhile; whoever asked may give up, the work is still done to its end: the next one finds a whole chain.
"""

import asyncio
import gc
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from bridge.wire.crash_points import crash_within
from bridge.wire.disk import DISK, Disk
from bridge.wire.errors import Malformed
from bridge.wire.keccak import to_hex
from rollup_node.engines.base import BlockInput, ExecutedBlock, Header, TransactionResult
from rollup_node.engines.options import checkpoint as checkpoints
from rollup_node.engines.options.archive import Archive
from rollup_node.engines.options.blocks import Head
from rollup_node.engines.options.genesis import Genesis, GenesisWrong, read_genesis
from rollup_node.engines.options.headers import header_of
from rollup_node.engines.options.reads.answering import answer
from rollup_node.engines.options.reads.methods import SLOW
from rollup_node.engines.options.reads.scene import Chain
from rollup_node.engines.options.state.world import TooFarBack
from rollup_node.engines.options.transition.block import BlockContent, Result, execute
from rollup_node.engines.options.transition.sealing import seal
from rollup_node.engines.options.travel import Travel
from rollup_node.errors import EngineFailed

COLLECTOR: Final = 50_000, 20, 50
"""Thresholds of Python's collector from :meth:`OptionsEngine.start` on: state is millions of small objects, and none of them is garbage in a cycle, so
with the usual ones the book spends a tenth of its time looking at them."""
INLINE: Final = 32
"""Transactions of a block that is executed at once, in about 6 ms; longer ones leave the event loop free."""

T = TypeVar("T")


class OptionsEngine:
    """Implements :class:`rollup_node.engines.base.Engine`.

    Args:
        genesis: file, see :mod:`rollup_node.engines.options.genesis`.
        folder: for what it keeps; its own.
        disk: where that is.
    """

    def __init__(self, genesis: Path, folder: Path, disk: Disk = DISK) -> None:
        self._path, self._folder, self._disk = genesis, folder, disk
        self._lock = asyncio.Lock()
        self._chain: Chain | None = None
        self._results: dict[str, Result] = {}
        """Of the last block that was executed, by hash."""
        self._ended: asyncio.Event = asyncio.Event()
        self._tasks: set[asyncio.Future[Any]] = set()

    async def start(self) -> Header:
        """From genesis; what an earlier life kept is looked at by :meth:`restore` alone.

        Raises:
            EngineFailed: the genesis isn't one, or the disk refuses.
        """
        gc.set_threshold(*COLLECTOR)  # of the whole process: it is the node's, and the engine is what it does
        async with self._lock:
            self._close()
            try:
                genesis = read_genesis(self._path.read_bytes())
                self._chain = _chain(genesis, self._folder, self._disk)
            except (GenesisWrong, OSError) as exc:
                raise EngineFailed(f"{self._path}: {exc}") from exc
            self._ended.clear()
            return header_of(self._chain.archive.head.sealed)

    async def stop(self) -> None:
        """Forget everything, once the running work is done; safe to run twice."""
        async with self._lock:
            self._close()
            self._ended.set()

    async def ended(self) -> int:
        """Wait until it ends; it never does by itself."""
        await self._ended.wait()
        return 0

    async def head(self) -> Header:
        """The last block."""
        return await self._alone(lambda chain: header_of(chain.archive.head.sealed))

    async def header(self, number: int) -> Header | None:
        """Of a block of the chain, or None."""

        def found(chain: Chain) -> Header | None:
            head = chain.archive.head_of(number)
            return None if head is None else header_of(head.sealed)

        return await self._alone(found)

    async def execute(self, block: BlockInput) -> ExecutedBlock:
        """Add one block; see :class:`rollup_node.engines.base.Engine`."""
        return await self._alone(partial(self._execute, block), aside=len(block.transactions) > INLINE)

    async def rewind(self, number: int) -> None:
        """Undo blocks after ``number``."""
        await self._alone(partial(_rewind, number))

    async def explain(self, transaction: str) -> tuple[str, str]:
        """Reason and error of a failed transaction: the transition said them."""
        found = self._results.get(transaction)
        return (
            (found.reason, to_hex(found.data)) if found else (f"{transaction} isn't in the last block", "0x")
        )

    async def checkpoint(self, path: Path) -> None:
        """Write state and heads; what is before it is on disk first."""
        await self._alone(partial(_checkpoint, path), aside=True)

    async def restore(self, path: Path) -> Header:
        """Continue from a checkpoint of this chain."""
        return await self._alone(partial(_restore, path), aside=True)

    async def learn(self, blocks: Mapping[int, Sequence[bytes]]) -> None:
        """Nothing: what it kept of blocks before a checkpoint is in its archive."""

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Answer a read; see :mod:`rollup_node.engines.options.reads`."""
        return await self._alone(lambda chain: answer(chain, method, params), aside=method in SLOW)

    async def _alone(self, work: Callable[[Chain], T], *, aside: bool = False) -> T:
        """Do one piece of work while no other is done.

        Args:
            work: to do.
            aside: in a thread; then it goes on if the caller gives up.
        """
        if not aside:
            async with self._lock:
                return work(self._running())
        task = asyncio.ensure_future(self._in_a_thread(work))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def _in_a_thread(self, work: Callable[[Chain], T]) -> T:
        async with self._lock:
            return await asyncio.to_thread(work, self._running())

    def _forget(self, task: "asyncio.Future[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it is told to whoever still waits; nobody may

    def _running(self) -> Chain:
        if self._chain is None:
            raise EngineFailed("the options engine isn't running")
        return self._chain

    def _close(self) -> None:
        if self._chain is not None:
            self._chain.archive.close()
        self._chain, self._results = None, {}

    def _execute(self, block: BlockInput, chain: Chain) -> ExecutedBlock:
        head = chain.archive.head
        if block.parent.hash != to_hex(head.hash):
            raise EngineFailed(
                f"a block on {block.parent.hash} can't follow {head.number} {to_hex(head.hash)}"
            )
        world = chain.travel.go(head.number)
        parameters = chain.parameters
        base_fee = 0 if parameters.gas_free else block.base_fee
        content = BlockContent(head.number + 1, block.timestamp, base_fee, block.transactions)
        before, passed = world.mark(), len(world.messages)
        try:
            executed = execute(world, parameters, content)
            sealed = seal(executed, content, head.hash, parameters.gas_limit)
            receipts = executed.receipts
            size = len(sealed.encoded) + sum(len(receipt.raw) for receipt in receipts)
            hashes = tuple(receipt.hash for receipt in receipts)
            made = Head(sealed, hashes, tuple(islice(world.messages, passed, None)), size)
            chain.archive.append(made, receipts)
        except Exception as exc:
            world.undo(before)
            raise EngineFailed(
                f"block {content.number} can't be executed: {type(exc).__name__}: {exc}"
            ) from exc
        chain.travel.grown()
        self._results = {to_hex(one.hash): one for one in executed.results}
        return ExecutedBlock(header_of(sealed), tuple(map(_result, executed.results)))


def _chain(genesis: Genesis, folder: Path, disk: Disk) -> Chain:
    world = genesis.world()
    archive = Archive(folder / "blocks.archive", genesis.head(world), disk)
    return Chain(genesis.parameters, archive, Travel(world, 0))


def _rewind(number: int, chain: Chain) -> None:
    head = chain.archive.head.number
    if head < number:
        raise EngineFailed(f"the engine is at block {head}, behind {number}")
    try:
        chain.travel.cut(number)
    except TooFarBack as exc:
        raise EngineFailed(f"the engine can't go back from block {head} to {number}: {exc}") from exc
    chain.archive.cut(number)


def _checkpoint(path: Path, chain: Chain) -> None:
    archive, number = chain.archive, chain.archive.head.number
    world = chain.travel.go(number)
    known = [archive.head_of(one) for one in range(max(0, number + 1 - checkpoints.HEADS), number + 1)]
    heads = [head for head in known if head is not None]
    genesis = archive.head_of(0)
    assert genesis is not None
    archive.sync()
    written = checkpoints.encode(genesis.hash, heads, world)
    crash_within("options.checkpoint.torn", path.write_bytes, written)
    path.write_bytes(written)


def _restore(path: Path, chain: Chain) -> Header:
    archive = chain.archive
    genesis = archive.head_of(0)
    assert genesis is not None
    try:
        found = checkpoints.decode(path.read_bytes(), genesis.hash)
    except Malformed as exc:
        raise EngineFailed(f"{path} can't be restored: {exc}") from exc
    head = found.heads[-1]
    archive.adopt(head.number, head.hash, found.heads)
    chain.travel = Travel(found.world, head.number)
    return header_of(head.sealed)


def _result(result: Result) -> TransactionResult:
    return TransactionResult(to_hex(result.hash), result.status, result.reason, to_hex(result.data))
