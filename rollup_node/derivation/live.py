"""A running node's own reading of L1: which of its blocks stand, and which others follow.

The node has most blocks before L1 does, so nearly always this only confirms them. It adds blocks when the sequencer is gone (batches that
this node never heard of, blocks that the end of a window forces), and it replaces blocks that L1 contradicts.

A node that starts reads L1 from its beginning again. Until it has come as far as L1 was then, the safe and finalized heads of its last
life stand: they went up to there, and they must not go back only because the node was restarted.
"""

from collections.abc import Callable

import structlog

from bridge.wire.derivation import Derivation, DerivedSlot, Event, ForcedBlock
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.l1 import L1Changes, Rewound
from bridge.wire.slot import Block, Payload, Slot, without
from bridge.wire.wholeness import torn
from rollup_node.chain import Chain

log = structlog.get_logger()


class LiveDerivation:
    """Keeps a chain true to L1.

    Args:
        chain: this node's.
        chain_id: its chain id.
        derivation: the rules of its sequencing set, fresh.
        follower: L1.
        on_change: run when derivation moved the chain's head.
    """

    def __init__(
        self,
        chain: Chain,
        chain_id: int,
        derivation: Derivation,
        follower: L1Changes,
        on_change: Callable[[], None],
    ) -> None:
        self.derivation = derivation
        self._chain, self._chain_id, self._follower, self._on_change = chain, chain_id, follower, on_change
        self.caught_up = False
        """Whether the chain's safe head is what this life has read on L1, not what an earlier one knew."""
        self._target: int | None = None
        """Number of L1's head when reading began; None while it is not known."""

    async def run(self, l1: Client) -> None:
        """Follow L1 for ever.

        Raises:
            EngineFailed: the engine must be restarted.
        """
        async for change in self._follower.changes():
            if isinstance(change, Rewound):
                log.warning("l1.reorganised", head=change.number, was=self.derivation.l1_head)
                self.derivation.rewind(change.number)
                self._target = None  # L1 may be shorter than it was
            else:
                for event in self.derivation.add(change):
                    await self._apply(event)
            await self._settle(l1)

    async def _apply(self, event: Event) -> None:
        if isinstance(event, ForcedBlock) and event.chain_id == self._chain_id:
            if await self._derive(event.number, event.payload):
                log.warning("block.forced", number=event.number, l1_block=event.l1_block)
        elif isinstance(event, DerivedSlot):
            for block in event.slot.blocks:
                if block.chain_id == self._chain_id:
                    await self._derive(block.number, _whole(event.slot, block))

    async def _derive(self, number: int, payload: Payload) -> bool:
        """Tell the chain of a block; whether that moved its head."""
        before = self._chain.gate
        await self._chain.derive(self._chain_id, number, payload)
        moved = self._chain.gate != before
        if moved:
            self._on_change()
        return moved

    async def _settle(self, l1: Client) -> None:
        """Serve the safe and finalized heads."""
        derivation, chain = self.derivation, self._chain
        if not self.caught_up and not await self._reached(l1):
            return
        self.caught_up = True
        if derivation.l1_head < 0:
            chain.settle(0, 0)
            return
        final = derivation.state_at(min(max(self._follower.finalized, 0), derivation.l1_head))
        chain.settle(derivation.state.heads[self._chain_id].number, final.heads[self._chain_id].number)

    async def _reached(self, l1: Client) -> bool:
        """Whether L1 was read as far as it went when reading began."""
        if self._target is None:
            try:
                self._target = int(await l1.call("eth_blockNumber"), 16)
            except (PeerUnreachable, RpcError):
                return False
        return self.derivation.l1_head >= self._target


def _whole(slot: Slot, block: Block) -> Payload:
    """The block's payload without the bundles that the slot tears."""
    broken = torn(slot) if block.payload.bundles else {}
    for bundle, reason in broken.items():
        log.error("derivation.torn_bundle", bundle=bundle, reason=reason, slot=slot.number)
    return without(block.payload, broken)
