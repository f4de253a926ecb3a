"""Decided slots, in memory; the write-ahead log has them all.

Beside the slots stand the blocks that nobody decided: those that L1 forced when the sequencing window passed. Together they say
where each rollup's chain is, so the next block's origin and number follow from here alone. Should L1 contradict the log (a
reorganisation took an origin away, or a forced block took a number), the log is *cut*: what comes after counts no more, and its
items wait again. Should L1 then hold slots that were cut (it went back to the branch on which they count, or took a superbatch in time that had
been late before), they are *restored*: in the place that they had, instead of whatever was decided there since.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.wire.derivation import ChainHead, ForcedBlock
from bridge.wire.slot import GENESIS_PARENT, Payload, Slot, slot_hash
from shared_sequencer.errors import WalDamaged

FORCED = -1
"""Stands for the slot of a block that no slot decided."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of a log stays."""

    slots: int
    """The first so many slots."""
    forced: int
    """The first so many forced blocks."""
    reason: str


@dataclass(frozen=True, slots=True)
class Restore:
    """How much of a log stays, and which of the slots that were cut follow it again."""

    slots: int
    """The first so many slots."""
    forced: tuple[int, ...]
    """Places of the forced blocks that stay: L1 forces them still."""
    restored: tuple[Slot, ...]
    reason: str


@dataclass(slots=True)
class SlotLog:
    """Decided slots and forced blocks."""

    slots: list[Slot] = field(default_factory=list)
    causes: dict[str, str] = field(default_factory=dict)
    """Journal events that replace those of the record (emitted again after a crash)."""
    by_chain: dict[int, list[int]] = field(default_factory=dict)
    """For each rollup, slot number of each of its blocks (or :data:`FORCED`): block ``n`` stands at ``n - 1``."""
    forced: list[tuple[int, ForcedBlock]] = field(default_factory=list)
    """Each with the number of slots before it."""
    heads: dict[int, ChainHead] = field(default_factory=dict)
    """Last block of each rollup that has one."""
    hashes: dict[int, str | None] = field(default_factory=dict)
    """Its hash, where a slot decided it."""
    origins: dict[int, str] = field(default_factory=dict)
    """Hash of each L1 block that blocks stand on, by number."""
    cancelled: set[str] = field(default_factory=set)
    """Hashes of blocks that a cut took back."""
    taken_back: dict[str, Slot] = field(default_factory=dict)
    """Slots that a cut took back, by hash."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a slot is made or the log is cut: neither may happen in the middle of the other."""
    head: str = GENESIS_PARENT
    """Hash of the last slot."""

    def now(self, wall: float) -> float:
        """The set's time, unix seconds: slot timestamps never go back, so a clock that was set back is behind it."""
        return max(wall, float(self.slots[-1].timestamp)) if self.slots else wall

    def add(self, slot: Slot) -> None:
        """One more decided slot.

        Raises:
            WalDamaged: it does not follow the last one.
        """
        if slot.number != len(self.slots) or slot.parent != self.head:
            raise WalDamaged(f"slot {slot.number} does not follow slot {len(self.slots) - 1}")
        self.slots.append(slot)
        self.head = slot_hash(slot)
        for block in slot.blocks:
            self.cancelled.discard(block.hash)  # the same block may be decided again
            self._extend(block.chain_id, block.number, block.payload, slot.number, block.hash)

    def force(self, block: ForcedBlock) -> None:
        """One more block that L1 forced.

        Raises:
            WalDamaged: it does not follow its chain.
        """
        self.forced.append((len(self.slots), block))
        self._extend(block.chain_id, block.number, block.payload, FORCED, None)

    def cut(self, cut: Cut) -> list[Slot]:
        """Keep only the beginning; returns the slots that count no more."""
        return self._keep(cut.slots, self.forced[: cut.forced])

    def restore(self, restore: Restore) -> list[Slot]:
        """Keep only the beginning, so that the restored slots can be added to it; returns the slots that count no more."""
        return self._keep(restore.slots, [self.forced[place] for place in restore.forced])

    def _keep(self, count: int, forced: Sequence[tuple[int, ForcedBlock]]) -> list[Slot]:
        slots, gone = self.slots[:count], self.slots[count:]
        self.cancelled |= {block.hash for slot in gone for block in slot.blocks}
        self.taken_back |= {slot_hash(slot): slot for slot in gone}
        self.slots, self.by_chain, self.forced, self.heads, self.hashes = [], {}, [], {}, {}
        self.head, self.origins = GENESIS_PARENT, {}
        waiting = list(forced)
        for slot in slots:
            while waiting and waiting[0][0] <= len(self.slots):
                self.force(waiting.pop(0)[1])
            self.add(slot)
        for _, block in waiting:
            self.force(block)
        return gone

    def parent(self, chain_id: int, number: int) -> str | None:
        """Hash of the block before a rollup's block ``number``, where a slot decided it."""
        place = self.by_chain[chain_id][number - 2] if number > 1 else FORCED
        if place == FORCED:
            return None
        return next(block.hash for block in self.slots[place].blocks if block.chain_id == chain_id)

    def forced_head(self, chain_id: int) -> Payload | None:
        """The payload of a rollup's last block, if L1 forced that."""
        if self.by_chain.get(chain_id, [0])[-1] != FORCED:
            return None
        return next(block.payload for _, block in reversed(self.forced) if block.chain_id == chain_id)

    def _extend(self, chain_id: int, number: int, payload: Payload, slot: int, digest: str | None) -> None:
        numbers = self.by_chain.setdefault(chain_id, [])
        if number != len(numbers) + 1:
            raise WalDamaged(f"block {number} of {chain_id} after {len(numbers)} (slot {slot})")
        numbers.append(slot)
        self.heads[chain_id] = ChainHead(number, payload.origin, payload.sequence, payload.timestamp)
        self.hashes[chain_id] = digest
        self.origins[payload.origin.number] = payload.origin.hash
