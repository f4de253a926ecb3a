"""Stand-in for tests: one life of a sequencer, from the recovery of its log to its death."""

from collections import Counter
from types import SimpleNamespace

import orjson

from bridge.wire.keccak import to_hex
from bridge.wire.testing import MemoryJournal
from shared_sequencer.admission import Admission
from shared_sequencer.mempool import Item
from shared_sequencer.node import _place, _repeat_last_decisions, recover
from shared_sequencer.ordering import FirstComeFirstServed
from shared_sequencer.rpc import SequencerRpc
from shared_sequencer.sequencer import Sequencer
from shared_sequencer.testing import MemoryLog, ToySet


class Life:
    """One life of a sequencer on a log and a set of nodes that outlive it."""

    def __init__(self, log: MemoryLog, toys: ToySet, block_time_s: float = 10**9) -> None:
        self.log, self.toys = log, toys
        found = recover(log)
        self.mempool, self.slots, self.term, self.publishing = (
            found.mempool,
            found.slots,
            found.term + 1,
            found.publishing,
        )
        self.journal = MemoryJournal("sequencer", "sequencer")
        _repeat_last_decisions(found, self.journal, {})
        self.rollups = toys.rollups(block_time_s, up=False)
        for rollup in self.rollups.values():
            rollup.number, rollup.hash, rollup.head = 0, None, {}
        _place(list(self.rollups.values()), found.slots)
        self.sequencer = Sequencer(
            term=self.term,
            slot_s=0.2,
            rollups=list(self.rollups.values()),
            mempool=self.mempool,
            slots=self.slots,
            wal=log,
            journal=self.journal,
            policy=FirstComeFirstServed(),
        )
        self.admission = Admission(list(self.rollups.values()), self.mempool, log, self.journal, 1_000)
        self.rpc = SequencerRpc(
            sequencer=self.sequencer,
            admission=self.admission,
            mempool=self.mempool,
            slots=self.slots,
            publisher=SimpleNamespace(superbatches=[], published_slots=0),  # type: ignore[arg-type]
            rollups=list(self.rollups.values()),
        )

    async def begin(self) -> "Life":
        """What the node does before its loop: a term of its own, greetings, and nodes that fetch what they missed."""
        await self.log.append([{"kind": "term", "term": self.term}])
        await self.greet()
        return self

    async def greet(self) -> None:
        """Greet whoever is not up; nodes follow the log in between."""
        for chain, rollup in self.rollups.items():
            if not rollup.up:
                await rollup._greet(self.term)  # noqa: SLF001 - white box, as tests are
                if rollup.state == "behind":
                    await self.follow(chain)
                    await rollup._greet(self.term)  # noqa: SLF001 - white box, as tests are

    async def follow(self, chain: int) -> None:
        """A node asks for the blocks that it missed."""
        node = self.toys.nodes[chain]
        for message in await self.rpc.handle("rollnet_getBlocks", [chain, node.gate["number"] + 1, 100]):
            node.commit(orjson.loads(orjson.dumps(message)))

    async def admit(self, item: Item) -> None:
        """Acknowledge an item (its checks are another file's matter)."""
        await self.log.append([item.to_record()])
        self.mempool.add(item)


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
