"""A running node's own reading of L1: which of its blocks stand, and which others follow.

::

    L1 ─► Derivation ─► events of each L1 block, in order ─► Joint (which bundles take effect) ─► Chain.derive ─► heads

The node has most blocks before L1 does, so nearly always this only confirms them. It adds blocks when the sequencer is gone (batches that
this node never heard of, blocks that the end of a window forces), and it replaces blocks that L1 contradicts. Where it has to wait for
the word of another rollup, everything after that waits too, and L1 is read on: it may take back what is waited for. Asking goes on
beside reading, so that a node that hangs holds up nothing but what needs its word.

What a batch claims of a block, its hash and its state root, is a claim: the block is what its payload comes to here, and a claim that is
another is named (``claim.false``), as ``rollnet verify`` does.

A node that starts reads L1 from its beginning again. Until it has come as far as L1 was then, the safe and finalized heads of its last
life stand: they went up to there, and they must not go back only because the node was restarted.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bridge.wire.derivation import Derivation, DerivedSlot, Event, ForcedBlock
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.l1 import L1Block, L1Changes, Rewound
from bridge.wire.slot import Block, Payload
from rollup_node.chain import Chain
from rollup_node.derivation.joint import Joint
from rollup_node.derivation.votes import Place

log = structlog.get_logger()


@dataclass(slots=True)
class _Read:
    """An L1 block that was read, with what follows from it and is not done yet."""

    place: Place
    events: deque[Event]
    reached: int = 0
    """The last block of this rollup that was derived from it; 0 for none."""


class LiveDerivation:
    """Keeps a chain true to L1.

    Args:
        chain: this node's.
        chain_id: its chain id.
        derivation: the rules of its sequencing set, fresh.
        joint: judges bundles together with the rollups that share them.
        follower: L1.
        on_change: run when derivation moved the chain's head.
    """

    def __init__(
        self,
        chain: Chain,
        chain_id: int,
        derivation: Derivation,
        joint: Joint,
        follower: L1Changes,
        on_change: Callable[[], None],
    ) -> None:
        self.derivation = derivation
        self._chain, self._chain_id, self._joint = chain, chain_id, joint
        self._follower, self._on_change = follower, on_change
        self.caught_up = False
        """Whether the chain's safe head is what this life has read on L1, not what an earlier one knew."""
        self._target: int | None = None
        """Number of L1's head when reading began; None while it is not known."""
        self._waiting: deque[_Read] = deque()
        self._done = -1
        """Number of the last L1 block of which everything is done."""
        self._unsettled = True
        """Whether that moved since the heads were last set by it."""
        self._final = 0
        """Number of the finalized L1 block by which they were."""
        self._belied = False
        """Whether the last block was not what its batch claims."""

    @property
    def waits(self) -> bool:
        """Whether something of L1 that was read is not done: another rollup's word is missing."""
        return bool(self._waiting)

    async def run(self, l1: Client) -> None:
        """Follow L1 for ever.

        Raises:
            EngineFailed: the engine must be restarted.
        """
        changes = self._follower.changes()
        following = asyncio.ensure_future(anext(changes, None))
        asking = asyncio.ensure_future(self._joint.ask())
        hearing = asyncio.ensure_future(self._joint.heard.wait())
        try:
            while True:
                awaited = {following, hearing} if asking.done() else {following, hearing, asking}
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    asking.result()  # there is nobody to ask
                if hearing.done():
                    self._joint.heard.clear()
                    hearing = asyncio.ensure_future(self._joint.heard.wait())
                told = following.done()
                change = following.result() if told else None
                if change is not None:
                    self._take(change)
                await self._go_on(l1)
                if told and change is None:  # only L1s of tests have an end
                    while self._waiting and await self._joint.answered():
                        self._joint.heard.clear()
                        await self._go_on(l1)
                    return
                if told:
                    following = asyncio.ensure_future(anext(changes, None))
        finally:
            for task in (following, asking, hearing):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task  # whatever it says now, the reason for the end is another

    async def _go_on(self, l1: Client) -> None:
        """Do what can be done by now, and serve the heads that follow from it."""
        await self._advance()
        if self._unsettled or self._final != self._follower.finalized:
            await self._settle(l1)

    def _take(self, change: L1Block | Rewound) -> None:
        if isinstance(change, L1Block):
            place = Place(change.info.number, change.info.hash)
            self._waiting.append(_Read(place, deque(self.derivation.add(change))))
            return
        log.warning("l1.reorganised", head=change.number, was=self.derivation.l1_head)
        self.derivation.rewind(change.number)
        self._joint.rewind(change.number)
        self._chain.l1_moved()
        self._waiting = deque(read for read in self._waiting if read.place.number <= change.number)
        self._done, self._unsettled = min(self._done, change.number), True
        self._target = None  # L1 may be shorter than it was

    async def _advance(self) -> None:
        """Do what follows from L1, in order, as far as it is known."""
        while self._waiting:
            read = self._waiting[0]
            while read.events:
                if not await self._apply(read, read.events[0]):
                    return
                read.events.popleft()
            self._waiting.popleft()
            self._joint.passed(read.place)
            self._done, self._unsettled = read.place.number, True

    async def _apply(self, read: _Read, event: Event) -> bool:
        """Do what one event asks for; False if another rollup's word is missing."""
        if isinstance(event, ForcedBlock) and event.chain_id == self._chain_id:
            if await self._derive(event.number, event.payload):
                log.warning("block.forced", number=event.number, l1_block=event.l1_block)
            read.reached = event.number
        elif isinstance(event, DerivedSlot):
            for block in event.slot.blocks:
                if block.chain_id == self._chain_id:
                    dropped = await self._joint.dropped(read.place, event.slot, block)
                    if dropped is None:
                        return False
                    await self._derive(block.number, block.payload, dropped)
                    self._name_false_claim(block, read.place)
                    read.reached = block.number
        return True

    def _name_false_claim(self, block: Block, place: Place) -> None:
        """Say where a batch claims another block than its payload gives; of those that only follow from that nothing more."""
        derived, claimed = self._chain.result(block.number), (block.hash, block.state_root)
        if derived != claimed and not self._belied:
            log.error("claim.false", block=block.number, claimed=claimed, derived=derived)
            self._chain.journal.emit(
                "claim.false",
                block=block.number,
                l1_block=place.number,
                claimed=block.hash,
                claimed_root=block.state_root,
                derived=derived[0],
                derived_root=derived[1],
            )
        self._belied = derived != claimed

    async def _derive(self, number: int, payload: Payload, dropped: frozenset[str] = frozenset()) -> bool:
        """Tell the chain of a block; whether that moved its head."""
        before = self._chain.gate
        await self._chain.derive(self._chain_id, number, payload, dropped)
        moved = self._chain.gate != before
        if moved:
            self._on_change()
        return moved

    async def _settle(self, l1: Client) -> None:
        """Serve the safe and finalized heads."""
        derivation, chain = self.derivation, self._chain
        if not self.caught_up and not await self._reached(l1):
            return
        self.caught_up, self._unsettled = True, False
        reached = self._waiting[0].reached if self._waiting else 0
        if self._done < 0:
            chain.settle(reached, 0)
            return
        self._final = self._follower.finalized
        final = derivation.state_at(min(max(self._final, 0), self._done))
        safe = derivation.state_at(self._done)
        # what was derived from the L1 block that is being read stays safe while the rest of it waits
        chain.settle(max(safe.heads[self._chain_id].number, reached), final.heads[self._chain_id].number)

    async def _reached(self, l1: Client) -> bool:
        """Whether everything is done up to where L1 was when reading began."""
        if self._target is None:
            try:
                self._target = int(await l1.call("eth_blockNumber"), 16)
            except (PeerUnreachable, RpcError):
                return False
        return self._done >= self._target
