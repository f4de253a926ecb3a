"""The sequencer's eyes on L1: which origin its next blocks have, how far its batches count, and whether L1 contradicts its log.

::

    follower ─► Derivation (the verifiers' own rules) ─┬─► origin and deposits of the next blocks
                                                       ├─► what counts of the superbatches       ─► publisher
                                                       └─► forced blocks, origins that went away ─► cut of the log, a new life
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from bridge.wire.crash_points import crash_point
from bridge.wire.deposits import decode_deposit
from bridge.wire.derivation import (
    MAX_DRIFT_S,
    ChainHead,
    Derivation,
    DerivedSlot,
    Event,
    ForcedBlock,
    Ignored,
)
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex
from bridge.wire.l1 import L1Block, L1Changes, Rewound
from bridge.wire.slot import Payload, slot_hash
from shared_sequencer.errors import CutNeeded, WalDamaged
from shared_sequencer.slot_log import FORCED, Cut, Restore, SlotLog
from shared_sequencer.wal import WriteAheadLog

L1_PATIENCE = 0.2
"""Between two questions to an L1 that does not answer, seconds."""

log = structlog.get_logger()


@dataclass(slots=True)
class L1View:
    """What the sequencer knows of L1."""

    derivation: Derivation
    confirmations: int
    """L1 blocks on top of one before it becomes an origin."""
    slots: SlotLog
    wal: WriteAheadLog
    target: int = 0
    """L1 block that was the head when this life began: before it is seen, nothing is decided."""
    listeners: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    over: bool = False
    """The log was cut: nothing may follow in this life."""
    forced: list[ForcedBlock] = field(default_factory=list)
    """Blocks that L1 forces, as far as it was read."""

    @property
    def ready(self) -> bool:
        """Whether slots may be decided: L1 was read to its head, and to everything that the log rests on.

        That is each origin in use, and the ends of windows that forced blocks: on another branch they force the same ones or others,
        but not before.
        """
        forced = (block.l1_block for _, block in self.slots.forced)
        needed = max([self.target, self._used(), *forced])
        return not self.over and self.derivation.l1_head >= needed

    def head(self, chain_id: int) -> ChainHead:
        """The last block of a rollup."""
        return self.slots.heads.get(chain_id) or self.derivation.state_at(0).heads[chain_id]

    def time(self, chain_id: int) -> int:
        """Timestamp of the origin of a rollup's last block, unix seconds: no block on it may be earlier, whatever a clock says."""
        origin = self.derivation.l1_block(self.head(chain_id).origin.number)
        return origin.info.timestamp if origin is not None else 0

    def epoch(self, chain_id: int, timestamp: int) -> Payload:
        """The next block of a rollup without the users' work: origin, sequence number and deposits."""
        head = self.head(chain_id)
        following = self._next_origin(head)
        if following is None or following.info.timestamp > timestamp:
            following = self.derivation.l1_block(head.origin.number)
            assert following is not None, "ready says that origins in use are known"
        return self.derivation.payload(chain_id, head, following, timestamp)

    def opens_epoch(self, chain_id: int, timestamp: int) -> bool:
        """Whether the next block of a rollup could have a new origin."""
        following = self._next_origin(self.head(chain_id))
        return following is not None and following.info.timestamp <= timestamp

    def late(self, payload: Payload) -> bool:
        """Whether a block is too far from its origin to hold anything but deposits."""
        origin = self.derivation.l1_block(payload.origin.number)
        return origin is None or payload.timestamp > origin.info.timestamp + MAX_DRIFT_S

    def _next_origin(self, head: ChainHead) -> L1Block | None:
        number = head.origin.number + 1
        return (
            self.derivation.l1_block(number)
            if number + self.confirmations <= self.derivation.l1_head
            else None
        )

    async def follow(self, follower: L1Changes, client: Client) -> None:
        """Follow L1 for ever.

        Raises:
            CutNeeded: L1 contradicts the log; the cut is durable, the caller begins a new life.
            WalDamaged: L1 holds slots that this log does not have.
        """
        self.target = await _head(client)
        async for change in follower.changes():
            # a slot that is being made may have an origin that L1 has just lost: it ends first, and is looked at
            async with self.slots.deciding:
                if isinstance(change, Rewound):
                    log.warning("l1.reorganised", head=change.number, was=self.derivation.l1_head)
                    self.derivation.rewind(change.number)
                    self.forced = [block for block in self.forced if block.l1_block <= change.number]
                else:
                    events = self.derivation.add(change)
                    if events or change.info.number <= self._used():
                        await self._heed(change, events)
            for listener in self.listeners:
                await listener()

    def _used(self) -> int:
        """Number of the newest origin in use."""
        return max((chain.origin.number for chain in self.slots.heads.values()), default=0)

    async def _heed(self, block: L1Block, events: tuple[Event, ...]) -> None:
        await self._cut(lost_origin(self.slots, block))
        for index, event in enumerate(events):
            await self._cut(contradiction(self.slots, event))
            await self._restore(restoration(self.slots, self.forced, events[index:]))
            if isinstance(event, ForcedBlock):
                self.forced.append(event)
            if isinstance(event, Ignored):
                log.warning("superbatch.ignored", l1_tx=event.l1_tx, reason=event.reason)
            elif isinstance(event, ForcedBlock) and not _known(self.slots, event):
                log.warning("block.forced", chain_id=event.chain_id, number=event.number)
                await self.wal.append([{"kind": "forced", "block": event}])
                crash_point("sequencer.forced.logged")
                self.slots.force(event)

    async def _cut(self, cut: Cut | None) -> None:
        if cut is None:
            return
        dropped = len(self.slots.slots) - cut.slots
        log.error("log.cut", slots=cut.slots, dropped=dropped, reason=cut.reason)
        self.over = True
        await self.wal.append(
            [{"kind": "cut", "slots": cut.slots, "forced": cut.forced, "reason": cut.reason}]
        )
        crash_point("sequencer.cut.logged")
        raise CutNeeded(cut.reason)

    async def _restore(self, restore: Restore | None) -> None:
        if restore is None:
            return
        count = len(restore.restored)
        dropped = len(self.slots.slots) - restore.slots
        log.error("log.restored", slots=restore.slots, restored=count, dropped=dropped, reason=restore.reason)
        self.over = True
        record = {"slots": restore.slots, "forced": restore.forced, "restored": restore.restored}
        await self.wal.append([{"kind": "restore", **record, "reason": restore.reason}])
        crash_point("sequencer.restore.logged")
        raise CutNeeded(restore.reason)


async def _head(client: Client) -> int:
    """Number of L1's head, as soon as L1 says it."""
    while True:
        try:
            return int(await client.call("eth_blockNumber"), 16)
        except (PeerUnreachable, RpcError) as exc:
            log.warning("l1.awaited", error=str(exc))
            await asyncio.sleep(L1_PATIENCE)


def lost_origin(slots: SlotLog, block: L1Block) -> Cut | None:
    """The cut that a (new) L1 block asks for, if blocks of the log have another origin of its number."""

    def lost(payload: Payload) -> bool:
        return payload.origin.number == block.info.number and payload.origin.hash != block.info.hash

    if slots.origins.get(block.info.number, block.info.hash) == block.info.hash:
        return None  # as nearly always: each life reads all of L1 again
    kept = next((n for n, slot in enumerate(slots.slots) if any(lost(b.payload) for b in slot.blocks)), None)
    for index, (before, forced) in enumerate(slots.forced):
        if lost(forced.payload) and (kept is None or before <= kept):
            return Cut(before, index, _went_away(block))
    if kept is None:
        return None
    return Cut(kept, sum(1 for before, _ in slots.forced if before <= kept), _went_away(block))


def contradiction(slots: SlotLog, event: Event) -> Cut | None:
    """The cut that what L1 forces asks for."""
    if not isinstance(event, ForcedBlock) or _known(slots, event):
        return None
    numbers = slots.by_chain.get(event.chain_id, [])
    if event.number > len(numbers):
        return None
    reason = f"block {event.number} of {event.chain_id} was forced by L1 block {event.l1_block}"
    place = numbers[event.number - 1]
    if place == FORCED:
        index = next(
            i
            for i, (_, b) in enumerate(slots.forced)
            if (b.chain_id, b.number) == (event.chain_id, event.number)
        )
        return Cut(slots.forced[index][0], index, reason)
    return Cut(place, sum(1 for before, _ in slots.forced if before <= place), reason)


def restoration(slots: SlotLog, forced: Sequence[ForcedBlock], events: Sequence[Event]) -> Restore | None:
    """The slots to bring back, if L1 holds one that was cut from the log.

    Args:
        slots: the log.
        forced: what L1 has forced before.
        events: what L1 says next; the first decides, those behind it come back with it.

    Raises:
        WalDamaged: L1 holds a slot that this log never had: it is not this sequencer's log.
    """
    first = events[0]
    if not isinstance(first, DerivedSlot) or _holds(slots, first):
        return None
    restored = []
    for event in events:
        slot = slots.taken_back.get(slot_hash(event.slot)) if isinstance(event, DerivedSlot) else None
        if slot is None:
            break
        restored.append(slot)
    if not restored:
        raise WalDamaged(
            f"L1 holds slot {first.slot.number} (superbatch {first.superbatch}), which this log does not have:"
            " it is older than what was published"
        )
    still = {(block.chain_id, block.number): block.payload for block in forced}
    kept = tuple(
        place
        for place, (_, block) in enumerate(slots.forced)
        if still.get((block.chain_id, block.number)) == block.payload
    )
    reason = f"L1 holds superbatch {first.superbatch} after all"
    return Restore(first.slot.number, kept, tuple(restored), reason)


def _holds(slots: SlotLog, event: DerivedSlot) -> bool:
    number = event.slot.number
    return number < len(slots.slots) and slot_hash(slots.slots[number]) == slot_hash(event.slot)


def deposit_gas(payload: Payload) -> int:
    """Gas that a block's deposits may use."""
    return sum(decode_deposit(from_hex(raw)).gas for raw in payload.deposits)


def _known(slots: SlotLog, event: ForcedBlock) -> bool:
    return any(
        (block.chain_id, block.number, block.payload) == (event.chain_id, event.number, event.payload)
        for _, block in slots.forced
    )


def _went_away(block: L1Block) -> str:
    return f"L1 block {block.info.number} was replaced by {block.info.hash}"


def forced_from_record(record: Any) -> ForcedBlock:
    """A forced block of the write-ahead log."""
    return ForcedBlock(**{**record["block"], "payload": Payload.from_json(record["block"]["payload"])})
