"""Stand-in for tests: one life of a sequencer, from the recovery of its log to its death or to a cut of the log."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

import orjson

from bridge.wire.derivation import Derivation
from bridge.wire.keccak import to_hex
from bridge.wire.testing import MemoryJournal
from shared_sequencer.admission import Admission
from shared_sequencer.availability import Calldata
from shared_sequencer.errors import CutNeeded
from shared_sequencer.l1 import L1View
from shared_sequencer.mempool import Item
from shared_sequencer.node import _note_forced, _place, _repeat_last_decisions
from shared_sequencer.ordering import FirstComeFirstServed
from shared_sequencer.publisher import Publisher
from shared_sequencer.recovery import recover
from shared_sequencer.rpc import SequencerRpc
from shared_sequencer.sequencer import Sequencer
from shared_sequencer.testing import MemoryLog, ToySet
from shared_sequencer.testing_l1 import BATCHER_KEY, L1_CHAIN, ToyFollower


class Life:
    """One life of a sequencer on a log, a set of nodes and an L1 that outlive it."""

    def __init__(
        self, log: MemoryLog, toys: ToySet, block_time_s: float = 10**9, *, confirmations: int = 0
    ) -> None:
        self.log, self.toys = log, toys
        self._again = (block_time_s, confirmations)
        found = recover(log.records())
        self.mempool, self.slots, self.term = found.mempool, found.slots, found.term + 1
        self.journal = MemoryJournal("sequencer", "sequencer")
        _repeat_last_decisions(found, self.journal, {})
        self.rollups = toys.rollups(block_time_s, up=False)
        for rollup in self.rollups.values():
            rollup.head = {}
        _place(self.rollups.values(), self.slots)
        self.follower = ToyFollower(toys.l1)
        self.derivation = Derivation(toys.rules)
        self.view = L1View(self.derivation, confirmations, self.slots, log)
        self.sequencer = Sequencer(
            term=self.term,
            slot_s=0.2,
            rollups=list(self.rollups.values()),
            mempool=self.mempool,
            slots=self.slots,
            l1=self.view,
            wal=log,
            journal=self.journal,
            policy=FirstComeFirstServed(),
        )
        self.publisher = Publisher(
            l1=toys.l1,
            private_key=BATCHER_KEY,
            every_s=1.0,
            term=self.term,
            slots=self.slots,
            derivation=self.derivation,
            availability=Calldata(toys.l1, L1_CHAIN, BATCHER_KEY, toys.rules.inbox),
            wal=log,
            journal=self.journal,
            superbatches=found.superbatches,
            signed=found.signed.values(),
        )
        self.admission = Admission(list(self.rollups.values()), self.mempool, log, self.journal, 1_000)
        self.rpc = SequencerRpc(
            sequencer=self.sequencer,
            admission=self.admission,
            mempool=self.mempool,
            slots=self.slots,
            publisher=self.publisher,
            rollups=list(self.rollups.values()),
        )
        self.view.listeners.append(self._on_l1)

    async def begin(self) -> "Life":
        """What the node does before its loop: a term of its own, L1 as it is, greetings, and nodes that fetch what they missed.

        Returns:
            The life that goes on: L1 may cut the log at first sight, and that begins another.
        """
        await self.log.append([{"kind": "term", "term": self.term}])
        life = await self.look()
        if life is self:
            await self.greet()
        return life

    async def look(self) -> "Life":
        """Read L1 to its head; returns the life that goes on."""
        try:
            await self.view.follow(self.follower, self.toys.l1)
        except CutNeeded:
            block_time_s, confirmations = self._again
            return await Life(self.log, self.toys, block_time_s, confirmations=confirmations).begin()
        return self

    async def greet(self) -> None:
        """Greet whoever is not up; nodes follow the log in between."""
        for chain, rollup in self.rollups.items():
            if not rollup.up:
                await rollup._greet(self.term, self.slots.cancelled)  # noqa: SLF001 - white box, as tests are
                if rollup.state == "behind":
                    await self.follow(chain)
                    await rollup._greet(self.term, self.slots.cancelled)  # noqa: SLF001 - white box, as tests are
                if rollup.up:
                    await self.admission.refresh(rollup)

    async def follow(self, chain: int) -> None:
        """A node asks for the blocks that it missed."""
        node = self.toys.nodes[chain]
        if node.unreachable:
            return
        for message in await self.rpc.handle("rollnet_getBlocks", [chain, node.gate["number"] + 1, 100]):
            node.commit(orjson.loads(orjson.dumps(message)))

    async def admit(self, item: Item) -> None:
        """Acknowledge an item (its checks are another file's matter)."""
        await self.log.append([item.to_record()])
        self.mempool.add(item)

    @contextlib.asynccontextmanager
    async def publishing(self) -> AsyncIterator[None]:
        """The publisher at work; cut off in the middle of whatever it does."""
        task = asyncio.create_task(self.publisher.run())
        try:
            yield
        finally:
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(ended, asyncio.CancelledError), ended

    async def _on_l1(self) -> None:
        _note_forced(self.rollups.values(), self.slots)


def effects(toys: ToySet) -> Counter[str]:
    """How often each transaction is seen by readers, by hash."""
    return Counter(digest for node in toys.nodes.values() for digest in node.visible())


def hashes(item: Item) -> list[str]:
    """Of an item's transactions."""
    return [to_hex(leg.hash) for leg in item.legs]


async def drain(life: Life, limit: int = 30) -> None:
    """Slots until there is nothing left to decide."""
    for _ in range(limit):
        await life.greet()
        if await life.sequencer.slot() is None:
            return
