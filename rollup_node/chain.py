"""The chain of one rollup, under two authorities: the sequencer decides blocks, and L1 says which of them stand.

::

    sequencer ── stage ──► a block above the gate (``gated``)
              ── commit ─► the gate opens for it, it is stored, readers see it
              ── rewind ─► blocks that it cancelled are gone
    L1 ──────── derive ──► confirms a block, adds one that the sequencer never told, or replaces what it had promised
              ── settle ─► how far the chain is safe and finalized

What L1 holds wins. A block that it confirmed is *safe*: no word of the sequencer replaces it or takes it away, only another word of
L1 (which was reorganised) does. Two payloads are the same if their digests are, and equal payloads on equal parents give equal
blocks, so confirming costs nothing.

All changes go through one lock, in the order in which they arrive. Each has one moment at which it happens, without waiting between
its parts (store, gate, what is safe): a request that is cancelled before that changed nothing, one after it everything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog

from bridge.wire.atomic import LegResult
from bridge.wire.crash_points import crash_point
from bridge.wire.journal import Journal
from bridge.wire.slot import Block, Payload, payload_digest, without
from rollup_node.derivation.votes import REASONS, failing
from rollup_node.engines.base import Engine, ExecutedBlock, Header, TransactionResult
from rollup_node.errors import Diverged, EngineFailed, NotNext, StaleTerm
from rollup_node.gated import GatedEngine, Staged
from rollup_node.gateway import Heads
from rollup_node.messages import Commit, StageRequest
from rollup_node.outcome import journal_outcome, journal_settled, journal_staged
from rollup_node.store import Store

LONGEST_ROLLBACK = 128
"""Blocks that the engine undoes in place; to go back further it starts over from a checkpoint."""
MUTATION_S = 6.0
"""Longest wait of a control method for a staged block's decision, seconds; a sequencer that died has none to give.

Longer than a sequencer waits for the slowest rollup of a slot (5 s): until then the decision may still come."""
MUTATION_LOOK_S = 0.01
"""Between two looks at it."""

log = structlog.get_logger()


class Chain:
    """One rollup's blocks.

    Args:
        engine: running.
        store: the node's files.
        journal: the node's.
        gate: the engine's head.
    """

    def __init__(self, engine: Engine, store: Store, journal: Journal, gate: Header) -> None:
        self.engine, self.store, self.journal = engine, store, journal
        self.mutation_s = MUTATION_S
        """See :data:`MUTATION_S`."""
        self.safe = 0
        """The last block that L1 is known to hold."""
        self.finalized = 0
        """The last block that a finalized L1 block holds."""
        self.before_commit: list[Callable[[Header], Awaitable[None]]] = []
        """Awaited while the engine stands at a block that is about to be committed, or replayed."""
        self.on_commit: list[Callable[[Header], None]] = []
        self.on_rewind: list[Callable[[Header], None]] = []
        """Told the new head when blocks after it are gone."""
        self.replayed = 0
        """Blocks executed since the last checkpoint."""
        self._gated = GatedEngine(engine, gate)
        self._digests: dict[int, str] = {}
        """Of each block's payload as L1 would tell it, by number: what derivation compares."""
        self._contents: dict[int, str] = {}
        """Of the payload that was executed, where bundles of L1's take no effect."""
        self._results: dict[int, tuple[str, str]] = {}
        """Hash and state root of each block, by number."""
        self._void: tuple[int, str] | None = None
        """Number and digest of a payload that L1 holds and that is no block as it stands: bundles of it take no effect."""

    @property
    def gate(self) -> Header:
        """The last committed header."""
        return self._gated.gate

    @property
    def hidden(self) -> set[str]:
        """Hashes of the transactions whose results readers must not see."""
        return self._gated.hidden

    @property
    def heads(self) -> Heads:
        """What block tags mean at the moment."""
        return Heads(self.gate.number, self.safe, self.finalized)

    async def read(self, method: str, params: Sequence[Any]) -> Any:
        """Ask the engine something, untouched by staging; see :meth:`GatedEngine.read`."""
        return await self._gated.read(method, params)

    async def accounts(self, addresses: Sequence[str]) -> list[list[str]]:
        """Nonce and balance of accounts at the gate, hexadecimal."""
        return await self._gated.accounts(addresses)

    async def greet(self, term: int) -> Header:
        """A sequencer begins: whatever an earlier one left undecided is undone (presumed abort).

        Raises:
            StaleTerm: a deposed sequencer.
            EngineFailed: the engine must be restarted; every method that awaits it may say so.
        """
        async with self._gated.lock:
            self._fence(term)
            await self._gated.unstage()
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
        """
        async with self._gated.lock:
            self._fence(request.term)
            if request.parent != self.gate.hash:
                head = f"{self.gate.number} {self.gate.hash}"
                raise NotNext(f"block on {request.parent}, but the head is {head}")
            staged = await self._gated.stage(request.payload)
            crash_point("rollup.stage.executed")
            events = journal_staged(self.journal, request, staged.results)
            crash_point("rollup.stage.told")
            return staged.executed, dict(staged.results), events

    async def commit(self, message: Commit, *, recovered: bool = False) -> Header:
        """Open the gate for a decided block; doing it twice changes nothing.

        Args:
            message: the decision.
            recovered: whether it comes from the log, where terms that are over count.

        Raises:
            StaleTerm: a deposed sequencer.
            NotNext: blocks before this one are missing here, another one is in its place, or it is not what it is said to be: a
                bundle in it fails here, or it executes to another hash or state root. No honest sequencer decides that: the
                block is not served, and L1's word on it is waited for.
        """
        async with self._gated.lock:
            if not recovered:
                self._fence(message.term)
            block = message.block
            if block is not None:
                if block.number <= self.gate.number:
                    self._check_committed(block, message.parent)
                    return self.gate
                if block.number != self.gate.number + 1:
                    raise NotNext(f"block {block.number} is decided, but the head is {self.gate.number}")
                if message.parent not in (None, self.gate.hash):
                    raise NotNext(f"{block.number} is decided on {message.parent}, not on {self.gate.hash}")
                if self._void == (block.number, payload_digest(block.payload)):
                    raise NotNext(f"block {block.number}: L1 holds it, and a bundle in it takes no effect")
                crash_point("rollup.commit.asked")
                await self._open_gate(block, sure_of_parent=message.parent is not None)
            journal_outcome(self.journal, message, recovered=recovered)
            crash_point("rollup.commit.told")
            return self.gate

    async def rewind(self, number: int, digest: str | None) -> Header:
        """Drop committed blocks after ``number``: the sequencer has cancelled them.

        Args:
            number: of the last block that stays.
            digest: its hash, if known.

        Raises:
            NotNext: L1 holds later blocks, or another block is at ``number``.
            EngineFailed: the engine must be restarted (it also is when it cannot go back that far).
        """
        async with self._gated.lock:
            if number < self.safe:
                raise NotNext(f"block {number} cannot be the head: L1 holds the chain up to {self.safe}")
            await self._gated.unstage()
            found = await self.engine.header(number)
            if found is None or digest not in (None, found.hash):
                raise NotNext(f"block {number} {digest} is not on this chain")
            await self._rewind(number)
            return self.gate

    async def results(
        self, chain_id: int, number: int, payload: Payload, dropped: Collection[str]
    ) -> dict[str, list[LegResult]]:
        """How the legs of bundles go in block ``number``, if L1 holds this payload and some bundles take no effect.

        Nothing is executed if this chain has that very block; another one in its place is contradicted by L1, whatever comes out.

        Raises:
            NotNext: blocks before it are missing.
            EngineFailed: the engine must be restarted (it also is when it cannot go back that far).
        """
        async with self._gated.lock:
            content = without(payload, dropped)
            if content != payload:
                self._void = (number, payload_digest(payload))  # nobody's word brings it back
            if self._holds(number, payload, content):
                return {
                    part.bundle: [LegResult(leg, chain_id, "success") for leg in part.legs]
                    for part in content.bundles
                }
            await self._make_room(number, payload)
            return (await self._gated.stage(content, reasons=REASONS)).legs(chain_id)

    async def derive(
        self, chain_id: int, number: int, payload: Payload, dropped: Collection[str] = ()
    ) -> bool:
        """L1 says that this is block ``number``: confirm it, add it, or replace what stands there.

        Args:
            chain_id: of this rollup.
            number: of the block.
            payload: as L1 holds it.
            dropped: bundles of it that take no effect (see ``derivation.joint``).

        Returns:
            Whether the chain had another block there, which is gone.

        Raises:
            NotNext: blocks before it are missing.
            EngineFailed: the engine must be restarted (it also is when it cannot go back that far).
        """
        async with self._gated.lock:
            content = without(payload, dropped)
            replaced = False
            if not self._holds(number, payload, content):
                replaced = await self._make_room(number, payload)
                staged = await self._gated.stage(content, reasons=REASONS)
                crash_point("rollup.derive.executed")
                header = staged.executed.header
                block = Block(chain_id, number, header.hash, header.state_root, content)
                await self._accept(staged, block, payload_digest(payload))
            safe = max(self.safe, number)
            self.store.note_judged(number)
            # noted before anybody is told: a restart must not let it go back
            self.store.note_settled(safe, self.finalized)
            self.safe = safe
            return replaced

    def final(self, number: int, payload: Payload, broken: Collection[str]) -> bool:
        """Whether finalized L1 held this payload for block ``number`` when this node read it, and all but what is torn took effect."""
        return number <= self.finalized and self._holds(number, payload, without(payload, broken))

    def result(self, number: int) -> tuple[str, str]:
        """Hash and state root of a block of this chain, the head's or an earlier one's."""
        return self._results[number]

    def l1_moved(self) -> None:
        """L1 was reorganised: what it contradicted may count again."""
        self._void = None

    def _holds(self, number: int, payload: Payload, content: Payload) -> bool:
        """Whether this chain's block ``number`` is what L1's payload comes to."""
        claim = payload_digest(payload)
        if number > self.gate.number or self._digests.get(number) != claim:
            return False
        return self._contents.get(number, claim) == payload_digest(content)

    async def _make_room(self, number: int, payload: Payload) -> bool:
        """Let ``number`` be the next block; returns whether another one stood there."""
        replaced = number <= self.gate.number
        if replaced:
            origin = payload.origin.number
            log.warning("chain.superseded", block=number, head=self.gate.number, l1_origin=origin)
            await self._rewind(number - 1)
        if number > self.gate.number + 1:
            raise NotNext(f"L1 holds block {number}, but the head is {self.gate.number}")
        return replaced

    @property
    def claim(self) -> str | None:
        """Digest of the head's payload; None at genesis."""
        return self._digests.get(self.gate.number)

    def settle(self, safe: int, finalized: int) -> None:
        """How far L1, and finalized L1, hold this chain; never further than it was held against L1 as it stands in the log."""
        self.safe = min(safe, self.gate.number, self.store.judged)
        self.finalized = min(finalized, self.safe)
        self.store.note_settled(self.safe, self.finalized)

    def covered(self, number: int, **output: Any) -> None:
        """A final output on L1 covers the safe blocks up to this one: tell the journal of those that it was not told of.

        Args:
            number: of the block that the output is of.
            output: details of the output, for the journal.
        """
        first, last = self.store.settled + 1, min(number, self.safe)
        if last < first:
            return
        for height in range(first, last + 1):
            journal_settled(self.journal, height, self.store.block(height).payload, **output)
        # told before it is noted: a crash in between tells it twice, which is harmless, and never not at all
        crash_point("rollup.settled.told")
        self.store.note_told(last)

    async def replay(self, blocks: Sequence[Block]) -> None:
        """Execute blocks of this node's own store again (nothing is journaled or stored: it has been).

        Raises:
            Diverged: one executes to another hash.
        """
        async with self._gated.lock:
            for block in blocks:
                await self._open_gate(block, stored=True)

    def remember(self, blocks: Iterable[Block], claims: Mapping[int, str]) -> None:
        """Blocks that need no execution (they came with a checkpoint), and what L1 claims where that is something else."""
        for block in blocks:
            self._note(block, claims.get(block.number) or payload_digest(block.payload))

    async def checkpoint(self) -> None:
        """Store the engine's state at the gate."""
        async with self._gated.lock:
            await self._gated.unstage()
            await self._store_state()

    async def mutate(self, method: str, params: Sequence[Any]) -> Any:
        """Run one of the engine's control methods while nothing is staged (only where the topology allows it).

        No block holds what it changes, so replay would diverge: the state is stored before anything builds on it. A staged block may
        have been decided already and must come out as it was decided, so its commit is waited for.
        """
        end = time.monotonic() + self.mutation_s
        while True:
            async with self._gated.lock:
                if not self._gated.holds_staged or time.monotonic() > end:
                    result = await self._gated.control(method, params)
                    crash_point("rollup.control.done")
                    await self._store_state()
                    return result
            await asyncio.sleep(MUTATION_LOOK_S)

    async def _store_state(self) -> None:
        temporary = self.store.temporary()
        await self.engine.checkpoint(temporary)
        crash_point("rollup.checkpoint.written")
        temporary.replace(self.store.checkpoint_path(self.gate.number, self.gate.hash))
        crash_point("rollup.checkpoint.renamed")
        self.store.keep_checkpoints(2)
        self.replayed = 0

    def _fence(self, term: int) -> None:
        if term < self.store.term:
            raise StaleTerm(f"term {term} is over, this rollup follows term {self.store.term}")
        self.store.raise_term(term)

    def _check_committed(self, block: Block, parent: str | None) -> None:
        """A decided block must be the one that is here: if not, this node missed that the sequencer, or L1, changed its mind."""
        number, name = block.number, f"block {block.number}: decided {block.hash}"
        if self._digests.get(number) != payload_digest(block.payload) or number in self._contents:
            raise NotNext(f"{name}, but {'L1 holds' if number <= self.safe else 'here is'} another")
        if number == self.gate.number and block.hash != self.gate.hash:
            where = "" if parent == self.gate.parent else " on another parent"
            raise NotNext(f"{name}, committed here {self.gate.hash}{where}")

    async def _open_gate(self, block: Block, *, stored: bool = False, sure_of_parent: bool = True) -> None:
        staged = await self._gated.stage(block.payload, reasons=REASONS)
        header = staged.executed.header
        if not stored:
            _require_success(block, staged)
            _require_result(block, header, sure_of_parent=sure_of_parent)
        elif header.hash != block.hash:
            raise Diverged(f"block {block.number}: committed here as {_told(block, header)}")
        crash_point("rollup.commit.executed")
        own = payload_digest(block.payload)
        await self._accept(staged, block, self.store.claims.get(block.number, own) if stored else own, stored)

    async def _accept(self, staged: Staged, block: Block, claim: str, stored: bool = False) -> None:
        for prepare in self.before_commit:
            await prepare(staged.executed.header)
        if not stored:
            crash_point("rollup.output.noted")
            self.store.append(block, None if claim == payload_digest(block.payload) else claim)
            crash_point("rollup.block.stored")
        header = self._gated.open(staged)
        crash_point("rollup.gate.opened")
        self._note(block, claim)
        self.replayed += 1
        for callback in self.on_commit:
            callback(header)

    def _note(self, block: Block, claim: str) -> None:
        own = payload_digest(block.payload)
        self._digests[block.number] = claim
        self._results[block.number] = block.hash, block.state_root
        self._contents.pop(block.number, None)
        if own != claim:
            self._contents[block.number] = own

    async def _rewind(self, number: int) -> None:
        await self._gated.unstage()
        dropped = self.gate.number - number
        if dropped <= 0:
            return
        header = await self.engine.header(number)
        crash_point("rollup.rewind.asked")
        # the store comes first: an engine that cannot go back starts over from what the store says
        self.store.rewind(number)
        crash_point("rollup.rewind.noted")
        if dropped > LONGEST_ROLLBACK or header is None:
            raise EngineFailed(f"back {dropped} blocks to {number}: starting over from a checkpoint")
        self._gated.go_back(header)
        self.safe, self.finalized = min(self.safe, number), min(self.finalized, number)
        self.journal.emit("chain.rewound", head=number, dropped=dropped)
        crash_point("rollup.rewind.told")
        for callback in self.on_rewind:
            callback(header)
        await self._gated.unstage()


def _told(block: Block, header: Header) -> str:
    return f"{block.hash}, executed {header.hash} (state root {block.state_root} against {header.state_root})"


def _require_result(block: Block, header: Header, *, sure_of_parent: bool) -> None:
    """Refuse a decision that claims another result than its payload has here: a claim is no reason to stop, nor to serve it."""
    if (block.hash, block.state_root) == (header.hash, header.state_root):
        return
    lie = f"decided as {_told(block, header)}"
    if not sure_of_parent:
        raise NotNext(f"block {block.number}: {lie}: its parent may be another")
    log.error("commit.false", block=block.number, reason=lie)
    raise NotNext(f"block {block.number}: {lie}")


def _require_success(block: Block, staged: Staged) -> None:
    """Refuse a decision with a bundle that fails here: no honest sequencer makes it, so L1's word is waited for."""
    for bundle, legs in staged.legs(block.chain_id).items():
        lie = failing(legs)
        if lie:
            log.error("commit.false", block=block.number, bundle=bundle, reason=lie)
            found = f"block {block.number} is decided with a bundle that has no effect"
            raise NotNext(f"{found}: {bundle}: {lie}")
