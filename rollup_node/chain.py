"""The chain of one rollup: staged behind a gate, opened by a decision.

The problem: the engine can only execute a block by adding it to its chain, where every reader sees it; but until the sequencer's decision
is durable the block may vanish. So the node keeps a *gate*: the last committed header. Readers are pinned to it (``gateway``), a staged
block lies one above it, and is either committed (the gate moves), staged again differently, or rewound.

All changes go through one lock, in the order in which they arrive; each begins by bringing the engine back to a known
state, because a request that timed out or a node that was paused may have left anything behind. Rejected: hiding staged
blocks by snapshots and by holding reads back, which costs memory for every block and stalls readers when the sequencer dies.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from bridge.wire.errors import RpcError
from bridge.wire.fees import next_base_fee
from bridge.wire.journal import Journal
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Block, Payload, block_transactions
from bridge.wire.stages import Stage
from rollup_node.engines.base import BlockInput, Engine, ExecutedBlock, Header, TransactionResult
from rollup_node.errors import Diverged, EngineFailed, NotNext, StaleTerm
from rollup_node.store import Store

READ_TRIES = 5
"""Reads that keep meeting a moving head take the lock instead."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Staged:
    """A block that the engine holds above the gate."""

    payload: Payload
    executed: ExecutedBlock
    results: Mapping[str, TransactionResult]
    """By transaction hash."""


@dataclass(frozen=True, slots=True)
class StageRequest:
    """The sequencer asks for a block above the gate."""

    term: int
    slot: int
    attempt: int
    """Round within the slot, from 0."""
    parent: str
    """Hash of the committed head that the block builds on."""
    payload: Payload
    causes: Mapping[str, str]
    """Journal event of each bundle or transaction, by hash."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StageRequest":
        """Decode the message."""
        return cls(**{**data, "payload": Payload.from_json(data["payload"])})


@dataclass(frozen=True, slots=True)
class Commit:
    """The sequencer's word on one slot, as far as it concerns one rollup."""

    term: int
    slot: int
    block: Block | None
    aborted: tuple[tuple[str, tuple[int, ...]], ...]
    """Aborted bundles with their legs on this rollup."""
    causes: Mapping[str, str]
    """Journal event of each decision, by bundle or transaction hash."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Commit":
        """Decode the message."""
        return cls(
            data["term"],
            data["slot"],
            Block.from_json(data["block"]) if data["block"] is not None else None,
            tuple((bundle, tuple(legs)) for bundle, legs in data["aborted"]),
            data["causes"],
        )


@dataclass(slots=True)
class Chain:
    """One rollup's blocks."""

    engine: Engine
    store: Store
    journal: Journal
    gate: Header
    """The last committed header."""
    safe: int = 0
    """The last block whose superbatch is known to be on L1."""
    hidden: set[str] = field(default_factory=set)
    """Hashes of the transactions that are being staged or lie staged: readers must not see their results."""
    on_commit: list[Callable[[Header], None]] = field(default_factory=list)
    replayed: int = 0
    """Blocks executed again since the last checkpoint."""
    _staged: Staged | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _version: int = 0
    """Counts changes of the engine's head; a read during which it moved is asked again."""
    _still: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the engine's head does not move."""

    def __post_init__(self) -> None:
        self._still.set()

    async def read(self, method: str, params: Sequence[Any]) -> Any:
        """Ask the engine something, untouched by staging.

        The engine resolves a block number first and takes its lock afterwards: a read of block G that meets the mining of G + 1 is
        answered from G + 1. So a read waits until the head stands still and is asked again if it moved meanwhile.

        Raises:
            RpcError: the engine's own refusal.
            PeerUnreachable: the engine is gone.
        """
        for _ in range(READ_TRIES):
            await self._still.wait()
            if not self._still.is_set():
                continue  # it moved again before this task woke up
            version = self._version
            try:
                result = await self.engine.request(method, params)
            except RpcError:
                if version == self._version:
                    raise
                continue
            if version == self._version:
                return result
        async with self._lock:
            return await self.engine.request(method, params)

    async def greet(self, term: int) -> Header:
        """A sequencer begins: whatever an earlier one left undecided is undone (presumed abort)."""
        async with self._lock:
            self._fence(term)
            await self._unstage()
            return self.gate

    async def stage(
        self, request: StageRequest
    ) -> tuple[ExecutedBlock, dict[str, TransactionResult], dict[str, list[str]]]:
        """Execute a payload above the gate.

        Returns:
            The block, the result of each transaction by hash, and the journal events of each bundle's (or transaction's) legs.

        Raises:
            StaleTerm: a deposed sequencer.
            NotNext: ``parent`` is not the gate.
            EngineFailed: the engine must be restarted.
        """
        async with self._lock:
            self._fence(request.term)
            if request.parent != self.gate.hash:
                raise NotNext(
                    f"block on {request.parent}, but the head is {self.gate.number} {self.gate.hash}"
                )
            staged = self._staged
            if staged is None or staged.payload != request.payload:
                staged = await self._execute(request.payload)
            events = self._journal_staged(staged, request)
            return staged.executed, dict(staged.results), events

    async def commit(self, message: Commit, *, recovered: bool = False) -> Header:
        """Open the gate for a decided block; doing it twice changes nothing.

        Raises:
            StaleTerm: a deposed sequencer.
            NotNext: blocks before this one are missing here.
            Diverged: the block executes to another hash than the decided one.
        """
        async with self._lock:
            if not recovered:
                self._fence(message.term)
            block = message.block
            if block is not None:
                if block.number == self.gate.number and block.hash != self.gate.hash:
                    raise Diverged(
                        f"block {block.number}: decided {block.hash}, committed here {self.gate.hash}"
                    )
                if block.number <= self.gate.number:
                    return self.gate
                if block.number != self.gate.number + 1:
                    raise NotNext(f"block {block.number} is decided, but the head is {self.gate.number}")
                await self._open_gate(block)
            self._journal_outcome(message, recovered=recovered)
            return self.gate

    async def replay(self, blocks: Sequence[Block]) -> None:
        """Execute blocks of this node's own store again (nothing is journaled or stored: it has been)."""
        async with self._lock:
            for block in blocks:
                await self._open_gate(block, stored=True)

    async def checkpoint(self) -> None:
        """Store the engine's state at the gate."""
        async with self._lock:
            await self._unstage()
            await self._store_state()

    async def mutate(self, method: str, params: Sequence[Any]) -> Any:
        """Run one of the engine's control methods while nothing is staged (only where the topology allows it).

        No block holds what it changes, so replay would diverge: the state is stored before anything builds on it.
        """
        async with self._lock:
            await self._unstage()
            with self._moving():
                result = await self.engine.request(method, params)
            await self._store_state()
            return result

    async def accounts(self, addresses: Sequence[str]) -> list[list[str]]:
        """Nonce and balance of accounts at the gate, hexadecimal; no lock: reads never wait for staging."""
        gate = hex(self.gate.number)
        async with asyncio.TaskGroup() as group:
            tasks = [
                [
                    group.create_task(self.read(method, [address, gate]))
                    for method in ("eth_getTransactionCount", "eth_getBalance")
                ]
                for address in addresses
            ]
        return [[task.result() for task in account] for account in tasks]

    async def _store_state(self) -> None:
        temporary = self.store.temporary()
        await self.engine.checkpoint(temporary)
        temporary.replace(self.store.checkpoint_path(self.gate.number, self.gate.hash))
        self.store.keep_checkpoints(2)
        self.replayed = 0

    def _fence(self, term: int) -> None:
        if term < self.store.term:
            raise StaleTerm(f"term {term} is over, this rollup follows term {self.store.term}")
        self.store.raise_term(term)

    async def _execute(self, payload: Payload) -> Staged:
        await self._unstage()
        number = self.gate.number + 1
        transactions = block_transactions(payload, number)
        self.hidden = {to_hex(keccak256(raw)) for raw in transactions}
        fee = next_base_fee(self.gate.base_fee, self.gate.gas_used, self.gate.gas_limit)
        with self._moving():
            executed = await self.engine.execute(BlockInput(self.gate, payload.timestamp, fee, transactions))
        legs = {to_hex(keccak256(from_hex(raw))) for part in payload.bundles for raw in part.transactions}
        results = {result.hash: result for result in executed.results}
        for digest in legs:
            if results[digest].status == "failed":
                reason, data = await self.engine.explain(digest)
                results[digest] = TransactionResult(digest, "failed", reason, data)
        self._staged = Staged(payload, executed, results)
        return self._staged

    async def _unstage(self) -> None:
        """Bring the engine back to the gate, whatever happened since."""
        self._staged = None
        with self._moving():
            await self.engine.rewind(self.gate.number)
        self.hidden = set()

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        self._version += 1
        self._still.clear()
        try:
            yield
        finally:
            self._still.set()

    async def _open_gate(self, block: Block, *, stored: bool = False) -> None:
        staged = self._staged
        if staged is None or staged.payload != block.payload:
            staged = await self._execute(block.payload)
        header = staged.executed.header
        if header.hash != block.hash:
            raise Diverged(
                f"block {block.number}: decided {block.hash}, executed {header.hash}"
                f" (state root {block.state_root} against {header.state_root})"
            )
        if not stored:
            self.store.append(block)
        self.gate, self._staged, self.hidden = header, None, set()
        self.replayed += 1
        for callback in self.on_commit:
            callback(header)

    def _journal_staged(self, staged: Staged, request: StageRequest) -> dict[str, list[str]]:
        events: dict[str, list[str]] = {}
        for raw in staged.payload.transactions:
            result = staged.results[to_hex(keccak256(from_hex(raw)))]
            events[result.hash] = [
                self.journal.emit(
                    Stage.LEG_STAGED,
                    msg_id=result.hash,
                    cause=_cause(request.causes, result.hash),
                    slot=request.slot,
                    round=request.attempt,
                    status=result.status,
                )
            ]
        for part in staged.payload.bundles:
            events[part.bundle] = [
                self.journal.emit(
                    Stage.LEG_STAGED,
                    bundle_id=part.bundle,
                    leg=leg,
                    cause=_cause(request.causes, part.bundle),
                    slot=request.slot,
                    round=request.attempt,
                    status=staged.results[to_hex(keccak256(from_hex(raw)))].status,
                )
                for leg, raw in zip(part.legs, part.transactions, strict=True)
            ]
        return events

    def _journal_outcome(self, message: Commit, *, recovered: bool) -> None:
        marks: dict[str, Any] = {"slot": message.slot} | ({"recovered": True} if recovered else {})
        for bundle, legs in message.aborted:
            for leg in legs:
                self.journal.emit(
                    Stage.LEG_REVERTED,
                    bundle_id=bundle,
                    leg=leg,
                    cause=_cause(message.causes, bundle),
                    **marks,
                )
        if message.block is None:
            return
        marks["block"] = message.block.number
        for raw in message.block.payload.transactions:
            digest = to_hex(keccak256(from_hex(raw)))
            self.journal.emit(
                Stage.LEG_EXECUTED, msg_id=digest, cause=_cause(message.causes, digest), tx=digest, **marks
            )
        for part in message.block.payload.bundles:
            for leg, raw in zip(part.legs, part.transactions, strict=True):
                digest = to_hex(keccak256(from_hex(raw)))
                self.journal.emit(
                    Stage.LEG_EXECUTED,
                    bundle_id=part.bundle,
                    leg=leg,
                    cause=_cause(message.causes, part.bundle),
                    tx=digest,
                    **marks,
                )


def _cause(causes: Mapping[str, str], key: str) -> tuple[str, ...]:
    return (causes[key],) if key in causes else ()


async def recover(engine: Engine, store: Store, journal: Journal) -> Chain:
    """Build the chain of a node that starts: the newest usable checkpoint, then its own store.

    Raises:
        EngineFailed: the engine does not come up.
        Diverged: a stored block executes differently.
    """
    stored = {block.number: block for block in store.blocks()}
    gate = await engine.start()
    for checkpoint in store.checkpoints():
        try:
            restored = await engine.restore(checkpoint.path)
        except (EngineFailed, OSError) as exc:
            log.warning("checkpoint.unusable", path=checkpoint.path.name, error=str(exc))
        else:
            if (restored.number, restored.hash) == (checkpoint.number, checkpoint.hash):
                gate = restored
                break
            log.warning("checkpoint.unusable", path=checkpoint.path.name, found=restored.hash)
        await engine.stop()
        gate = await engine.start()
        checkpoint.path.unlink(missing_ok=True)
    chain = Chain(engine, store, journal, gate)
    start = gate.number
    following: list[Block] = []
    while (number := start + 1 + len(following)) in stored:  # up to a hole: the sequencer's log has the rest
        following.append(stored[number])
    await chain.replay(following)
    journal.emit("node.recovered", checkpoint=start, replayed=len(following), head=chain.gate.number)
    return chain
