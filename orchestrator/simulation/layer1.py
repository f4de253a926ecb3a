"""L1 of a simulated devnet: a toy chain that mines by itself, stalls, holds back and changes its mind; and how nodes follow it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.l1 import BatchTransaction, L1Block, Rewound
from bridge.wire.superbatch import decode_superbatch, encode_superbatch
from orchestrator.simulation.loop import Clock, SimulatedLoop
from shared_sequencer.testing_l1 import BATCHER, ToyFollower, ToyL1


class Layer1:
    """Mines a toy chain.

    Args:
        loop: of the schedule.
        block_s: seconds between two blocks.
        inbox: where superbatches go.
    """

    def __init__(self, loop: SimulatedLoop, block_s: float, inbox: str) -> None:
        self._loop, self._block_s, self._inbox = loop, block_s, inbox
        self.chain = ToyL1(int(Clock.EPOCH) - 2)
        self.stalled = self.held = 0
        """Faults at work."""
        self.reorganised = False
        """Whether it ever changed its mind."""
        self.forgeries: set[str] = set()
        """Transactions of :meth:`forge`."""
        self._deposits: dict[int, list[int]] = {}
        self._forged: list[BatchTransaction] = []
        loop.later(block_s, self._tick)

    def handle(self, method: str, params: list[Any]) -> Any:
        """Answer as an L1 node does."""
        return getattr(self.chain, method)(*params)

    def deposit(self, chain_id: int, account: int) -> None:
        """In the next block."""
        self._deposits.setdefault(chain_id, []).append(account)

    def reorganise(self, depth: int, *, keep: bool) -> None:
        """Go back, and on with one block at once."""
        self.reorganised = True
        self.chain.go_back(depth, keep=keep)
        self.mine()

    def forge(self, kind: str) -> None:
        """Put something into the inbox that must not count."""
        superbatches = [
            decode_superbatch(batch.data)
            for block in self.chain.blocks
            for batch in block.batches
            if batch.sender == BATCHER and batch.hash not in self.forgeries
        ]
        if not superbatches:
            return
        last = superbatches[-1]
        data = encode_superbatch(last.number, last.parent, last.term, last.slots)
        following = last.number + 1
        if kind == "deposed":
            data = encode_superbatch(following, to_hex(keccak256(data)), last.term - 1, ())
        elif kind == "parent":
            data = encode_superbatch(following, to_hex(keccak256(b"another")), last.term, ())
        sender = "0x" + "5a" * 20 if kind == "stranger" else BATCHER
        digest = to_hex(keccak256(b"%d" % len(self._forged) + kind.encode() + data))
        self.forgeries.add(digest)
        self._forged.append(BatchTransaction(digest, sender, self._inbox, data))

    def mine(self) -> None:
        """One block."""
        deposits, self._deposits = self._deposits, {}
        forged, self._forged = tuple(self._forged), []
        pool = self.chain.pool
        if self.held:
            self.chain.pool = {}
        self.chain.mine(deposits, forged, timestamp=int(Clock.EPOCH + self._loop.time()))
        if self.held:
            self.chain.pool = pool

    def _tick(self) -> None:
        if not self.stalled:
            self.mine()
        self._loop.later(self._block_s, self._tick)


class Follower:
    """Tells a node what is new on L1, over the network.

    Args:
        layer1: followed.
        client: the node's way to it.
        poll_s: between two looks.
    """

    def __init__(self, layer1: Layer1, client: Client, poll_s: float) -> None:
        self._toy, self._client, self._poll_s = ToyFollower(layer1.chain), client, poll_s
        self.finalized = 0

    async def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """See :class:`bridge.wire.l1.L1Changes`."""
        while True:
            try:
                await self._client.call("eth_blockNumber")
            except (PeerUnreachable, RpcError):
                pass
            else:
                async for change in self._toy.changes():
                    yield change
            await asyncio.sleep(self._poll_s)
