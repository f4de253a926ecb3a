"""Derivation: which blocks follow from L1, for a whole sequencing set. Pure.

::

    L1Block ─► forced blocks (a window passed without a batch) ─► superbatches of its inbox ─► Slot, Forced, Ignored
                                          state after each L1 block; a reorganisation goes back to an earlier one

The rules are the OP Stack's (specs: derivation, deposits), for several rollups at once:

- a block's *origin* is its parent's or the next L1 block; it begins with the origin's L1 attributes, and the first block of an
  epoch also holds that L1 block's deposits;
- a superbatch counts if it comes from the batcher, follows the last one that counted (number, parent hash, term never
  lower), and *all* its slots fit: they continue the chain of slots, their blocks continue their chains, origins are on the
  L1 chain, timestamps neither go back nor run ahead, and it is on L1 within the sequencing window of each origin. One
  that does not fit has no effect at all, so no bundle can be torn by a half-valid superbatch;
- when a rollup's next epoch was not batched within the window, blocks with nothing but deposits follow by themselves, one for
  each epoch up to the L1 block that ended the window. They come before that L1 block's superbatches, and take the
  numbers that late blocks claim.

The last rule is where we differ from the OP Stack, which forces one epoch for each L1 block from then on: a sequencer that comes back then
finds a chain that is a whole window old and stays so old, because whatever it builds there is late the moment it is built
(op-node needs a recovery mode for it). Catching up at once bounds a deposit's delay as well, and leaves a whole window to build in.

What executing the blocks gives (hashes, which bundles take effect) is not decided here but by the state transition,
which ``rollup_node.derivation`` runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bridge.wire.deposits import DEPOSIT_TYPE, l1_attributes
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.l1 import BatchTransaction, L1Block
from bridge.wire.slot import GENESIS_PARENT, Block, Origin, Payload, Slot, slot_hash
from bridge.wire.superbatch import Superbatch, decode_superbatch, superbatch_hash

MAX_DRIFT_S = 1800
"""A block this much later than its origin, seconds, holds nothing but deposits (OP Stack: ``max_sequencer_drift`` since Fjord)."""


@dataclass(frozen=True, slots=True)
class Member:
    """One rollup of the set, as L1 knows it."""

    chain_id: int
    portal: str
    """Lower-case address of its OptimismPortal."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a sequencing set agreed on before its first block."""

    members: tuple[Member, ...]
    inbox: str
    """Lower-case address that superbatches are sent to."""
    batcher: str
    """Lower-case address that they come from."""
    window: int
    """Sequencing window, L1 blocks."""


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last block of one rollup, as far as the next one depends on it."""

    number: int
    origin: Origin
    sequence: int
    timestamp: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class SafeState:
    """What L1 says up to some block."""

    heads: Mapping[int, ChainHead]
    """By chain id."""
    superbatches: int = 0
    superbatch: str = GENESIS_PARENT
    """Hash of the last one that counted."""
    term: int = 0
    slots: int = 0
    slot: str = GENESIS_PARENT
    """Hash of the last slot."""


@dataclass(frozen=True, slots=True)
class DerivedSlot:
    """A slot that L1 holds; its payloads are complete, deposits included."""

    slot: Slot
    superbatch: int
    l1_tx: str
    l1_block: int


@dataclass(frozen=True, slots=True)
class ForcedBlock:
    """A block that follows because the sequencing window passed."""

    chain_id: int
    number: int
    payload: Payload
    l1_block: int
    """The L1 block that ended the window."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A transaction in the inbox that has no effect, and why."""

    l1_tx: str
    l1_block: int
    reason: str


Event = DerivedSlot | ForcedBlock | Ignored


class Derivation:
    """The rules applied to a growing (or reorganised) L1 chain. No input or output: feed it with blocks in order."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._members = {member.chain_id: member for member in rules.members}
        self._blocks: list[L1Block] = []
        self._states: list[SafeState] = []

    @property
    def state(self) -> SafeState:
        """After the last L1 block.

        Raises:
            IndexError: no L1 block was seen yet.
        """
        return self._states[-1]

    @property
    def l1_head(self) -> int:
        """Number of the last L1 block; -1 before the first."""
        return len(self._blocks) - 1

    def state_at(self, l1_number: int) -> SafeState:
        """After an earlier L1 block."""
        return self._states[l1_number]

    def l1_block(self, number: int) -> L1Block | None:
        """An L1 block of the present chain; its inbox is not kept."""
        return self._blocks[number] if 0 <= number < len(self._blocks) else None

    def rewind(self, number: int) -> None:
        """L1 was reorganised: forget everything after block ``number``."""
        del self._blocks[number + 1 :], self._states[number + 1 :]

    def add(self, block: L1Block) -> tuple[Event, ...]:
        """The next L1 block; what follows from it, in order.

        Raises:
            ValueError: not the next block of the chain.
        """
        if block.info.number != len(self._blocks) or (
            self._blocks and block.info.parent != self._blocks[-1].info.hash
        ):
            raise ValueError(f"L1 block {block.info.number} does not follow block {self.l1_head}")
        self._blocks.append(replace(block, batches=()))
        if block.info.number == 0:
            origin = Origin(0, block.info.hash)
            heads = {member.chain_id: ChainHead(0, origin, 0, 0) for member in self.rules.members}
            self._states.append(SafeState(heads))
            return ()
        state = self._states[-1]
        events: list[Event] = []
        for forced in self._forced(state, block.info.number):
            state = _with_block(state, forced.chain_id, forced.number, forced.payload)
            events.append(forced)
        for batch in block.batches:
            state, found = self._read(state, batch, block.info.number)
            events += found
        self._states.append(state)
        return tuple(events)

    def payload(self, chain_id: int, head: ChainHead, origin: L1Block, timestamp: int) -> Payload:
        """The next block of a chain with nothing but what follows from its origin (the head's, or the next L1 block)."""
        sequence = head.sequence + 1 if origin.info.number == head.origin.number else 0
        return Payload(
            timestamp,
            (),
            (),
            Origin(origin.info.number, origin.info.hash),
            sequence,
            self._deposits(chain_id, origin, sequence),
        )

    def _forced(self, state: SafeState, l1_number: int) -> Iterator[ForcedBlock]:
        for chain_id, start in sorted(state.heads.items()):
            if start.origin.number + 1 + self.rules.window >= l1_number:
                continue
            head = start
            while head.origin.number < l1_number:
                origin = self._blocks[head.origin.number + 1]
                timestamp = max(head.timestamp, origin.info.timestamp)
                payload = self.payload(chain_id, head, origin, timestamp)
                yield ForcedBlock(chain_id, head.number + 1, payload, l1_number)
                head = ChainHead(head.number + 1, payload.origin, 0, timestamp)

    def _read(
        self, state: SafeState, batch: BatchTransaction, l1_number: int
    ) -> tuple[SafeState, Sequence[Event]]:
        if batch.inbox != self.rules.inbox:
            return state, ()
        try:
            if batch.sender != self.rules.batcher:
                raise Malformed(f"sent by {batch.sender}, which is not the batcher")
            superbatch = decode_superbatch(batch.data)
            return self._accept(state, superbatch, batch, l1_number)
        except Malformed as exc:
            return state, (Ignored(batch.hash, l1_number, str(exc)),)

    def _accept(
        self, state: SafeState, superbatch: Superbatch, batch: BatchTransaction, l1_number: int
    ) -> tuple[SafeState, Sequence[Event]]:
        if superbatch.number != state.superbatches or superbatch.parent != state.superbatch:
            raise Malformed(
                f"superbatch {superbatch.number} on {superbatch.parent} does not follow"
                f" superbatch {state.superbatches - 1} {state.superbatch}"
            )
        if superbatch.term < state.term:
            raise Malformed(
                f"superbatch {superbatch.number}: term {superbatch.term} is over, {state.term} rules"
            )
        events: list[Event] = []
        for slot in superbatch.slots:
            state, complete = self._slot(state, slot, l1_number)
            events.append(DerivedSlot(complete, superbatch.number, batch.hash, l1_number))
        return replace(
            state,
            superbatches=superbatch.number + 1,
            superbatch=superbatch_hash(batch.data),
            term=superbatch.term,
        ), events

    def _slot(self, state: SafeState, slot: Slot, l1_number: int) -> tuple[SafeState, Slot]:
        if slot.number != state.slots or slot.parent != state.slot:
            raise Malformed(f"slot {slot.number} on {slot.parent} does not follow slot {state.slots - 1}")
        chains = [block.chain_id for block in slot.blocks]
        if chains != sorted(set(chains)):
            raise Malformed(f"slot {slot.number}: its blocks are not in the order of their chain ids")
        blocks: list[Block] = []
        for block in slot.blocks:
            complete = self._block(state, block, l1_number)
            state = _with_block(state, block.chain_id, block.number, complete.payload)
            blocks.append(complete)
        # the hash covers what is on L1, and that says nothing of deposits
        return replace(state, slots=slot.number + 1, slot=slot_hash(slot)), replace(
            slot, blocks=tuple(blocks)
        )

    def _block(self, state: SafeState, block: Block, l1_number: int) -> Block:
        name = f"block {block.number} of chain {block.chain_id}"
        head = state.heads.get(block.chain_id)
        if head is None:
            raise Malformed(f"{name}: no such rollup in this set")
        if block.number != head.number + 1:
            raise Malformed(f"{name} does not follow block {head.number}")
        origin = self.l1_block(block.payload.origin.number)
        if origin is None or origin.info.hash != block.payload.origin.hash:
            raise Malformed(f"{name}: its origin {block.payload.origin} is not on the L1 chain")
        step = origin.info.number - head.origin.number
        if step not in (0, 1):
            raise Malformed(f"{name}: origin {origin.info.number} after {head.origin.number}")
        if l1_number > origin.info.number + self.rules.window:
            raise Malformed(
                f"{name}: the window of origin {origin.info.number} ended before L1 block {l1_number}"
            )
        self._check_time(name, head, block.payload, origin)
        _check_content(name, block.payload)
        sequence = 0 if step else head.sequence + 1
        deposits = self._deposits(block.chain_id, origin, sequence)
        return replace(block, payload=replace(block.payload, sequence=sequence, deposits=deposits))

    def _check_time(self, name: str, head: ChainHead, payload: Payload, origin: L1Block) -> None:
        if payload.timestamp < max(head.timestamp, origin.info.timestamp):
            raise Malformed(f"{name}: timestamp {payload.timestamp} is before its parent's or its origin's")
        if payload.timestamp >> 64:
            raise Malformed(f"{name}: timestamp {payload.timestamp} exceeds 64 bits")
        late = payload.timestamp > origin.info.timestamp + MAX_DRIFT_S
        if late and (payload.transactions or payload.bundles):
            raise Malformed(f"{name}: more than {MAX_DRIFT_S} s after its origin, yet it holds transactions")

    def _deposits(self, chain_id: int, origin: L1Block, sequence: int) -> tuple[str, ...]:
        attributes = to_hex(l1_attributes(origin.info, sequence, from_hex(self.rules.batcher, 20)))
        own = origin.deposits.get(self._members[chain_id].portal, ()) if sequence == 0 else ()
        return (attributes, *own)


def _check_content(name: str, payload: Payload) -> None:
    if any(len(part.legs) != len(part.transactions) for part in payload.bundles):
        raise Malformed(f"{name}: a bundle has other numbers of legs and of transactions")
    for raw in (*payload.transactions, *(raw for part in payload.bundles for raw in part.transactions)):
        if from_hex(raw)[:1] == DEPOSIT_TYPE:
            raise Malformed(f"{name}: a batch holds a deposit")


def _with_block(state: SafeState, chain_id: int, number: int, payload: Payload) -> SafeState:
    head = ChainHead(number, payload.origin, payload.sequence, payload.timestamp)
    return replace(state, heads={**state.heads, chain_id: head})
